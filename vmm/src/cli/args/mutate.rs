//! Options of `nostale mutate`.

use super::MachineOptions;
use crate::cli::size::{Size, parse_seconds, parse_seed};
use clap::Args;
use std::{path::PathBuf, time::Duration};

pub(super) const STATUS: &str = "\
Exit status:
  0  every mutant was killed, cannot be noticed, or is unreached for a known reason
  1  a mutant survived, is unreached without a reason, or cannot be made; trials contradict each other; a control raised an alarm
  2  usage or environment
  3  interrupted: the next call with the same options goes on";

/// Options of `nostale mutate`.
#[derive(Args, Debug)]
pub(in crate::cli) struct MutateOptions {
    /// A kernel: a Debian version (6.1, 6.12.95, fetched with apt), a .deb, a directory, or a bzImage, with :DIR for its modules
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME|PATH")]
    pub(in crate::cli) kernel: Vec<String>,
    /// Only mutants whose names contain one of these: wp_page_copy, kvm/, /both
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(in crate::cli) only: Vec<String>,
    /// Show calls, mutants and what reaches them, and try none
    #[arg(long)]
    pub(in crate::cli) list: bool,
    /// Operations to choose scenarios from [default: those of `nostale run`]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(in crate::cli) ops: Option<Vec<String>>,
    /// Kinds of guest memory to choose scenarios from
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(in crate::cli) backing: Option<Vec<String>>,
    /// Litmus tests take the place of scenarios: files, or directories of which all *.nst files that run on KVM are taken
    #[arg(long, value_delimiter = ',', value_name = "FILE|DIR", conflicts_with_all = ["ops", "backing"])]
    pub(in crate::cli) litmus: Vec<PathBuf>,
    /// vCPUs of each guest [default: 2, and 4 for mutants of KVM, whose races want vCPUs that are interrupted anywhere]
    #[arg(long, value_name = "N")]
    pub(in crate::cli) vcpus: Option<usize>,
    /// Guest memory under test
    #[arg(long, value_name = "SIZE", default_value = "16M")]
    pub(in crate::cli) memory: Size,
    /// Time under test of each mutant
    #[arg(long, value_name = "S", default_value = "5", value_parser = parse_seconds)]
    pub(in crate::cli) seconds: Duration,
    /// Time under test of its control: the same scenarios in the same machine, before it is changed
    #[arg(long, value_name = "S", default_value = "1.5", value_parser = parse_seconds)]
    pub(in crate::cli) control_seconds: Duration,
    /// Controls of all scenarios that are run in the end, to count false alarms
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(in crate::cli) controls: usize,
    /// How long a vCPU may be without progress before it counts as stuck
    #[arg(long, value_name = "S", default_value = "8", value_parser = parse_seconds)]
    pub(in crate::cli) stall_bound: Duration,
    /// Where everything random comes from [default: a new one each time]
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    pub(in crate::cli) seed: Option<u64>,
    /// Do not use results that an interrupted call has left
    #[arg(long)]
    pub(in crate::cli) afresh: bool,
    /// Record the kernel's own events in there, too, and hold their order against the rules
    #[arg(long)]
    pub(in crate::cli) trace: bool,
    #[command(flatten)]
    pub(in crate::cli) machine: MachineOptions,
}
