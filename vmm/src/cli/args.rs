//! What can be said on the command line.

mod compare;
mod litmus;
mod litmus_generate;
mod machine;
mod matrix;
mod mutate;
mod report;
mod trace;

pub(super) use compare::CompareOptions;
pub(super) use litmus::{LitmusOptions, Place};
pub(super) use machine::{AccelChoice, MachineOptions};
pub(super) use matrix::MatrixOptions;
pub(super) use mutate::MutateOptions;
pub(super) use report::ReportOptions;
pub(super) use trace::{Disturb, ExportTo, FileThere, TraceOptions};

use super::size::{Size, parse_seconds, parse_seed};
use crate::{live::Plant, machine::Layout, report::Format};
use clap::{Args, Parser, Subcommand, ValueEnum, builder::PossibleValue};
use nostale_notifier::compile::MemoryModel;
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
  0  every oracle held; every model is as expected
  1  a violation, or a vCPU that is stuck; a model is not as expected
  2  usage or environment: nothing was tested; a model could not be read
  3  vacuous or inconclusive: nothing was proved
  4  everything was skipped";

const CHECK_STATUS: &str = "\
Exit status:
  0  every model is as expected
  1  a model is not as expected
  2  usage; a model could not be read
  3  nothing is wrong, but not everything was proved: vacuous, bounded, random or interrupted";

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
    /// Run the same scenarios inside other kernels, in QEMU, and compare what they come to
    Matrix(MatrixOptions),
    /// Check models of invalidate orderings: every interleaving of their steps
    #[command(after_help = CHECK_STATUS)]
    Check(CheckOptions),
    /// Run litmus tests: which final states the model allows, and how often real threads come to them
    #[command(after_help = litmus::STATUS)]
    Litmus(LitmusOptions),
    /// What two recordings of a kernel's invalidations differ in: orders that are new or gone, frequencies, times, rules
    #[command(after_help = compare::STATUS)]
    Compare(CompareOptions),
    /// Put models into the layout that the language has
    Fmt(FmtOptions),
    /// Record what the kernel does to the memory of any running VM, and hold the order of its events against the rules
    #[command(after_help = trace::STATUS)]
    Trace(TraceOptions),
    /// Delete one notifier call at a time from a running kernel: does the testbed notice?
    #[command(after_help = mutate::STATUS)]
    Mutate(MutateOptions),
    /// Make one page of HTML from results that --out has kept: everything in it, to be read in a browser or sent on
    #[command(after_help = report::STATUS)]
    Report(ReportOptions),
}

/// Options of `nostale run`.
#[derive(Args, Debug)]
pub(super) struct RunOptions {
    /// Operations, or several at once on the same pages (mremap+migrate), `all`, or `storm` [default: each where it reaches what no
    /// other does; live-migrate-log, live-migrate-post and offline run only by name]
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
    /// Stop at the first violation
    #[arg(long)]
    pub(super) until_violation: bool,
    #[arg(long, value_name = "FAULT", value_parser = |name: &str| name.parse::<Plant>(), help = faults())]
    pub(super) plant: Option<Plant>,
    /// How memory appears in the guest: plain, split (several memslots), alias (twice), unaligned (no huge page fits)
    /// [default: drawn from the seed for each scenario]
    #[arg(long, value_name = "LAYOUT", value_parser = |name: &str| name.parse::<Layout>())]
    pub(super) layout: Option<Layout>,
    /// Record the kernel's own events meanwhile, and hold their order against the rules; with --out, the recording is kept
    #[arg(long)]
    pub(super) trace: bool,
}

fn faults() -> String {
    format!("See an oracle fail: plant a fault ({})", Plant::ALL.map(Plant::name).join(", "))
}

/// Options of `nostale check`.
#[derive(Args, Debug)]
pub(super) struct CheckOptions {
    /// Model files, directories of which all *.nst files are checked, or - for standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(super) paths: Vec<PathBuf>,
    /// Only this ordering [default: all]
    #[arg(long, value_name = "NAME")]
    pub(super) ordering: Option<String>,
    /// Only this memory model [default: those that a file names, else sc]
    #[arg(long, value_enum, value_name = "MODEL")]
    pub(super) memory_model: Option<Memory>,
    /// Stop where more states than this would be kept [default: as many as fit into memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_states: Option<u64>,
    /// Stop where states would take more memory than this: each is kept exactly [default: half of what is available]
    #[arg(long, value_name = "SIZE")]
    pub(super) max_memory: Option<Size>,
    /// Worker threads; the result is the same for every number [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) workers: Option<u16>,
    /// Show the way to every failure, also to those that were expected [default: for a single file]
    #[arg(long)]
    pub(super) trace: bool,
    /// Walk at random instead, from this seed: for models that are too large. It can find failures, and proves nothing
    #[arg(long, value_name = "SEED", value_parser = parse_seed, conflicts_with_all = ["max_states", "max_memory", "workers"])]
    pub(super) random: Option<u64>,
    /// Random walks
    #[arg(long, value_name = "N", default_value_t = 10_000, requires = "random", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) walks: u64,
    /// The most steps of a random walk
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "random", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) steps: u32,
    /// Do not check: write the model for rumur (Murphi) or spin (Promela), to standard output or into --out
    #[arg(long, value_enum, value_name = "LANGUAGE", conflicts_with_all = ["random", "max_states", "max_memory", "workers", "trace"])]
    pub(super) export: Option<Export>,
}

/// A memory model, by its name in model files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory(pub(super) MemoryModel);

impl ValueEnum for Memory {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(MemoryModel::Sc), Self(MemoryModel::Tso), Self(MemoryModel::Weak)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

/// The languages of other checkers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Export {
    Murphi,
    Promela,
}

/// Options of `nostale fmt`.
#[derive(Args, Debug)]
pub(super) struct FmtOptions {
    /// Model files, directories of which all *.nst files are meant, or - for standard input to standard output
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(super) paths: Vec<PathBuf>,
    /// Change nothing, and name the files that would change: exit status 1 if there are any
    #[arg(long)]
    pub(super) check: bool,
}
