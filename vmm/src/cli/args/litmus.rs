//! Options of `nostale litmus`.

use super::{
    super::size::{parse_probability, parse_seconds, parse_seed},
    MachineOptions, Memory,
    litmus_generate::GenerateOptions,
};
use clap::{Args, ValueEnum};
use std::{path::PathBuf, time::Duration};

pub(in super::super) const STATUS: &str = "\
Exit status:
  0  every state that was seen is allowed, and no ordering that is expected to hold allows a bad one
  1  a state was seen that is not allowed, or an ordering that is expected to hold allows a bad one
  2  usage; a test could not be read, or does not run where it was to
  3  nothing is wrong, but not everything was explored, or it was interrupted
States that are allowed and were never seen are warned of; they are no failure.

Exit status of --diff:
  0  no difference that is more than chance
  1  a difference with confidence 1 - alpha: a state is new or gone or, on the software MMU, its rate has moved; or B has seen, if only
     once, what its model does not allow and A has not seen
  2  usage; a recording could not be read
  3  nothing could be compared: no test in common, recordings that are too short, or older ones without batches";

/// Options of `nostale litmus`.
#[derive(Args, Debug)]
pub(in super::super) struct LitmusOptions {
    /// Tests, directories of which all *.nst files are run, or - for standard input
    #[arg(required_unless_present_any = ["diff", "generate"], value_name = "FILE|DIR")]
    pub(in super::super) paths: Vec<PathBuf>,
    /// Where to run them
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST", default_value = "model,soft")]
    pub(in super::super) on: Vec<Place>,
    /// Only this ordering [default: all]
    #[arg(long, value_name = "NAME")]
    pub(in super::super) ordering: Option<String>,
    /// Which final states are allowed under this memory model; real threads run under sc only [default: those that a file names, else
    /// sc]
    #[arg(long, value_enum, value_name = "MODEL")]
    pub(in super::super) memory_model: Option<Memory>,
    /// Instances of each ordering of each test
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in super::super) runs: Option<u64>,
    /// Time for each ordering of each test
    #[arg(long, value_name = "S", default_value = "1", value_parser = parse_seconds)]
    pub(in super::super) seconds: Duration,
    /// Where everything random comes from [default: a new one each time]
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    pub(in super::super) seed: Option<u64>,
    /// Processors that carry the threads of a test [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(in super::super) workers: Option<u16>,
    /// Record the kernel's own events while tests run on KVM, and hold their order against the rules; with --out, the recording is kept
    #[arg(long)]
    pub(in super::super) trace: bool,
    /// See a test fail on KVM: the guest keeps the page that was mapped first, whatever the host does
    #[arg(long, value_enum, value_name = "FAULT")]
    pub(in super::super) plant: Option<Fault>,
    /// Run on KVM in another kernel, which is booted in QEMU: a Debian version (6.1, 6.12.95, fetched with apt), a .deb, a directory, or
    /// a bzImage, with :DIR for its modules
    #[arg(long, value_name = "NAME|PATH", conflicts_with_all = ["on", "ordering", "memory_model", "workers", "plant", "generate", "diff", "trace"])]
    pub(in super::super) kernel: Option<String>,
    #[command(flatten, next_help_heading = "The machine of --kernel")]
    pub(in super::super) machine: MachineOptions,
    /// Stop exploring where a test has more states than this
    #[arg(long, value_name = "N", default_value_t = 1 << 22, value_parser = clap::value_parser!(u64).range(1..))]
    pub(in super::super) max_states: u64,
    #[command(flatten)]
    pub(in super::super) generate: GenerateOptions,
    /// Run nothing, and compare two recordings (a result of --format json, or a directory of --out); of one with several orderings, a
    /// single one is chosen by its name
    #[arg(
        long,
        num_args = 2,
        value_names = ["A[:ORDERING]", "B[:ORDERING]"],
        conflicts_with_all = ["paths", "on", "ordering", "memory_model", "runs", "seconds", "seed", "workers", "plant", "max_states"],
    )]
    pub(in super::super) diff: Option<Vec<PathBuf>>,
    /// The probability of one false alarm or more in a comparison, at the most
    #[arg(long, value_name = "P", default_value = "0.01", requires = "diff", value_parser = parse_probability)]
    pub(in super::super) alpha: f64,
}

/// Where a litmus test can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum Place {
    /// The model: every interleaving
    Model,
    /// The software MMU: real threads, real memory
    Soft,
    /// Guests on real KVM
    Kvm,
}

/// What can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum Fault {
    /// A KVM that misses every invalidation
    StaleTranslation,
}
