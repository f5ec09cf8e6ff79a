//! What can be said on the command line.

use super::size::{Size, parse_seconds, parse_seed};
use crate::{live::Plant, report::Format};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};

/// Finds out whether any guest can still use a translation that the host has already replaced.
#[derive(Debug, Parser)]
#[command(name = "nostale", version, after_help = EXIT_STATUS, propagate_version = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) common: Common,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  every oracle held
  1  a violation, or a vCPU that is stuck
  2  usage or environment: nothing was tested
  3  vacuous or inconclusive: nothing was proved
  4  everything was skipped";

/// What all commands understand.
#[derive(Args, Debug)]
pub(super) struct Common {
    /// Keep everything this run produces in a new directory
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub(super) format: Format,
    /// No progress bar, and nothing but results
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    /// Colours: `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub(super) color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What this host can and cannot test, and how to enable the rest
    Doctor,
    /// Run host operations under guest writers on real KVM, and judge what the guest saw
    Run(RunOptions),
}

/// Options of `nostale run`.
#[derive(Args, Debug)]
pub(super) struct RunOptions {
    /// Operations, or several at once on the same pages (mremap+migrate), or `all` [default: a plan that covers each]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) ops: Option<Vec<String>>,
    /// Kinds of guest memory, or `all` [default: those on which an operation takes different paths through the kernel]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) backing: Option<Vec<String>>,
    /// vCPUs of each VM [default: one for each CPU, at most 4]
    #[arg(long, value_name = "N")]
    pub(super) vcpus: Option<usize>,
    /// Host threads that write beside the guest
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) host_writers: usize,
    /// Guest memory under test, in bytes or with K, M, G
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub(super) memory: Size,
    /// Time for the whole plan
    #[arg(long, value_name = "S", default_value = "30", value_parser = parse_seconds)]
    pub(super) seconds: Duration,
    /// Where everything random comes from [default: a new one each time]
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    pub(super) seed: Option<u64>,
    /// Where backing files are made [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(super) file_dir: Option<PathBuf>,
    /// How long a vCPU may be without progress before it counts as stuck
    #[arg(long, value_name = "S", default_value = "10", value_parser = parse_seconds)]
    pub(super) stall_bound: Duration,
    /// See an oracle fail: plant a fault (old-copy, stale-translation, still-running, unwritten-value, held-vcpu, ring0,
    /// kernel-message)
    #[arg(long, value_name = "FAULT", value_parser = |name: &str| name.parse::<Plant>())]
    pub(super) plant: Option<Plant>,
}
