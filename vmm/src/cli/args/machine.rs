//! Options of the machines that other kernels run in.

use crate::{
    cli::size::Size,
    kernels::{Cache, KernelError},
    qemu::{Accel, Installed},
};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Kernels, and machines for them.
#[derive(Args, Debug)]
pub(in crate::cli) struct MachineOptions {
    /// Kernels: a Debian version (6.1, 6.12.95), a package file, an unpacked or build tree, or IMAGE[:MODULES]
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME|PATH")]
    pub(in crate::cli) kernel: Vec<String>,
    /// CPUs of each machine
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(in crate::cli) cpus: u32,
    /// Memory of each machine
    #[arg(long, value_name = "SIZE", default_value = "2G")]
    pub(in crate::cli) machine_memory: Size,
    /// NUMA nodes of each machine
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(in crate::cli) nodes: u32,
    /// A word for the kernels' command line; may be given again
    #[arg(long, value_name = "WORD")]
    pub(in crate::cli) append: Vec<String>,
    /// How machines are run
    #[arg(long, value_enum, default_value_t = Wish::Auto)]
    accel: Wish,
    /// Machines at once [default: as many as the host has cores for]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Where kernels are kept [default: $NOSTALE_CACHE, or nostale in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wish {
    /// KVM where the host can nest, otherwise emulation
    Auto,
    /// The host's KVM
    Kvm,
    /// Software emulation
    Tcg,
}

impl MachineOptions {
    /// How machines are run here.
    pub(in crate::cli) fn accel(&self, installed: &Installed) -> Result<Accel, String> {
        match (self.accel, installed.accel) {
            (Wish::Auto, best) => Ok(best),
            (Wish::Tcg, _) => Ok(Accel::Tcg),
            (Wish::Kvm, Accel::Kvm) => Ok(Accel::Kvm),
            (Wish::Kvm, Accel::Tcg) => Err(format!("--accel kvm: {}", installed.reason)),
        }
    }

    /// Where kernels are kept.
    pub(in crate::cli) fn cache(&self) -> Result<Cache, KernelError> {
        self.cache.as_ref().map_or_else(Cache::open, |dir| Ok(Cache::at(dir)))
    }

    /// How many machines run at once.
    pub(in crate::cli) fn jobs(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        self.jobs.unwrap_or(cores / self.cpus as usize).max(1)
    }
}
