//! Live tests on real KVM. Where one cannot run it is listed as ignored, with the reason, and counted.

mod litmus;
mod machine;
mod operations;
mod oracles;
mod storm;
mod suspend;
mod trace;

use libtest_mimic::{Arguments, Failed, Trial};
use nostale_vmm::{
    host::{facts::Facts, knobs::Knobs},
    live::{Config, Plant},
};
use std::{process::ExitCode, sync::Arc, time::Duration};

/// What a live test gets.
pub(crate) struct Bench {
    pub(crate) facts: Facts,
    /// The host settings that `nostale run` would hold are held here, too.
    pub(crate) knobs: Option<Knobs>,
}

/// Pages of guest memory in these tests: enough for two PMDs, few enough to be quick.
pub(crate) const PAGES: u64 = 1024;

impl Bench {
    pub(crate) fn config(&self, plant: Option<Plant>) -> Config {
        Config {
            vcpus: 2,
            host_writers: 1,
            pages: PAGES,
            seed: 7,
            file_dir: std::env::temp_dir(),
            // Never reached by a healthy vCPU, however slow the machine; tests of progress choose their own.
            stall_bound: Duration::from_secs(30),
            plant,
            until_violation: false,
            storm_round: false,
            layout: None,
            told: None,
        }
    }
}

/// One live test: skipped, with the reason, where `missing` gives one.
pub(crate) fn trial(
    bench: &Arc<Bench>,
    name: impl Into<String>,
    missing: Option<String>,
    body: impl FnOnce(&Bench) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let missing = missing.or_else(|| bench.facts.need_kvm().err().map(|need| need.to_string()));
    let bench = Arc::clone(bench);
    let trial = Trial::test(name, move || body(&bench));
    match missing {
        // What is missing; `nostale doctor` says what to do.
        Some(reason) => {
            let what = reason.split(": ").next().unwrap_or_default();
            trial.with_kind(format!("skipped: {what}")).with_ignored_flag(true)
        }
        None => trial,
    }
}

fn main() -> ExitCode {
    // Guests of these tests are migrated to this program.
    if let Some(status) = nostale_vmm::migration::entry() {
        return status;
    }
    let mut arguments = Arguments::from_args();
    // Each test loads all CPUs by itself.
    arguments.test_threads.get_or_insert(1);
    let bench = Arc::new(Bench { facts: Facts::gather(), knobs: Knobs::open(Knobs::default_dir()).ok() });
    let trials = [
        litmus::trials(&bench),
        machine::trials(&bench),
        oracles::trials(&bench),
        oracles::until_violation(&bench),
        operations::trials(&bench),
        storm::trials(&bench),
        suspend::trials(&bench),
        trace::trials(&bench),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
