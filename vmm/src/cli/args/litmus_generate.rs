//! Options of `nostale litmus --generate`.

use clap::Args;

/// The largest size: one more takes about ten times as long.
const MOST: u64 = 6;

/// What is to be generated, if anything.
#[derive(Args, Debug)]
pub(in super::super) struct GenerateOptions {
    /// Do not run tests, but make them: all minimal ones that tell a broken ordering from the right one. With --out, a file for each
    #[arg(long, conflicts_with_all = ["paths", "on", "ordering", "memory_model", "runs", "seconds", "seed", "plant", "max_states"])]
    pub(in super::super) generate: bool,
    /// The largest tests to generate: steps of all threads but the one that remaps or migrates. 4 takes seconds, 5 takes minutes
    #[arg(long, value_name = "N", default_value_t = 4, requires = "generate", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub(in super::super) accesses: u64,
}
