//! The machine on which a kernel under test runs.

use super::super::size::Size;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Options of all commands that boot kernels in QEMU.
#[derive(Args, Debug)]
pub(in crate::cli) struct MachineOptions {
    /// CPUs of the machine on which a kernel runs
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(in crate::cli) cpus: u32,
    /// Memory of that machine
    #[arg(long, value_name = "SIZE", default_value = "2G")]
    pub(in crate::cli) machine_memory: Size,
    /// NUMA nodes among which both are divided
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(in crate::cli) nodes: u32,
    /// A word for the kernel's command line; again for more
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(in crate::cli) append: Vec<String>,
    /// How machines are run: by the host's KVM where it nests, else by software emulation
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub(in crate::cli) accel: AccelChoice,
    /// Machines at once [default: as many as have CPUs of their own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(in crate::cli) jobs: Option<u16>,
    /// Where fetched and unpacked kernels are kept [default: $NOSTALE_CACHE, or nostale in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) cache: Option<PathBuf>,
}

/// How machines are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AccelChoice {
    Auto,
    Kvm,
    Tcg,
}
