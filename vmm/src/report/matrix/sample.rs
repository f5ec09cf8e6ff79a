//! A made-up matrix for tests: a kernel that is coherent, one with every verdict, one without KVM and one that died.

use super::{AlarmResult, KernelLogs, KernelResult, MachineShape, MatrixReport, MatrixSetup};
use crate::report::{
    ScenarioResult, Setup, Verdict,
    sample::{self, TICKS},
};

pub(in crate::report) fn kernel(asked: &str, release: &str, scenarios: Vec<ScenarioResult>) -> KernelResult {
    KernelResult {
        release: Some(release.to_owned()),
        origin: Some(format!("Debian linux-image-{release} 1-1")),
        accelerator: "tcg".to_owned(),
        emulator: "QEMU 7.2.22".to_owned(),
        mmu: Some("npt".to_owned()),
        host: Some(sample::run().host),
        boot_seconds: Some(4.2),
        seconds: 38.1,
        verdict: Verdict::of(scenarios.iter().map(|scenario| scenario.verdict)),
        reason: None,
        logs: KernelLogs { ticks_per_us: TICKS, ..KernelLogs::default() },
        scenarios,
        ..KernelResult::without_run(asked, Verdict::Skipped, String::new())
    }
}

/// The sample run, replayed in a kernel.
pub(in crate::report) fn scenarios(asked: &str) -> Vec<ScenarioResult> {
    let mut scenarios = sample::run().scenarios;
    for scenario in &mut scenarios {
        scenario.replay = scenario.replay.replace("nostale run", &format!("nostale matrix --kernel {asked}"));
    }
    scenarios
}

pub(in crate::report) fn matrix() -> MatrixReport {
    let mut good = scenarios("6.1");
    good.truncate(5);
    good.remove(3);
    for scenario in &mut good {
        (scenario.verdict, scenario.reason, scenario.stale_writes) = (Verdict::Coherent, None, 0);
        scenario.violations.clear();
    }
    let mut bad = kernel("6.12", "6.12.95-amd64", scenarios("6.12"));
    bad.confirmed = Some(true);
    bad.reason = Some("mremap on memfd: finality: 1 write after the operation had returned".to_owned());
    bad.damaged = vec!["not a message: \"[ 1.0] noise\"".to_owned()];
    bad.alarms = vec![AlarmResult { kind: "BUG".to_owned(), text: "kernel BUG at tdp_mmu.c:485!".to_owned(), signature: true }];
    let mut dead = kernel("/boot/bzImage", "7.2.0-mine", Vec::new());
    (dead.verdict, dead.reason, dead.mmu) =
        (Verdict::Vacuous, Some("7.2.0-mine did not come up: the guest reset itself".into()), None);
    (dead.boot_seconds, dead.host) = (None, None);
    dead.logs.consoles = vec!["[ 0.1] first\n\n[ 0.2] Kernel panic - not syncing: \x1b[31mno init\n".to_owned()];
    dead.logs.last_words = vec!["[ 0.2] Kernel panic - not syncing: \x1b[31mno init".to_owned()];
    let unfound = KernelResult::without_run("6.17", Verdict::Skipped, "cannot fetch kernel 6.17: no network".to_owned());
    let kernels = vec![kernel("6.1", "6.1.0-50-amd64", good), bad, dead, unfound];
    MatrixReport {
        version: 1,
        verdict: Verdict::of(kernels.iter().map(|kernel| kernel.verdict)),
        seed: 0x5eed,
        setup: MatrixSetup {
            run: Setup { vcpus: 2, host_writers: 1, memory_bytes: 16 << 20 },
            seconds: 30.0,
            plant: None,
            machine: MachineShape { cpus: 2, memory_bytes: 2 << 30, nodes: 2, append: Vec::new() },
        },
        interrupted: false,
        kernels,
        notes: vec!["a note on the whole".to_owned()],
    }
}
