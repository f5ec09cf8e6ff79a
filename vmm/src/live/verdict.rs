//! From what is known of a scenario to its verdict.

use super::{Config, Scenario, judge, watching::Watching, writer::HostWriter};
use crate::{
    host::clock,
    machine::Sample,
    memory::System,
    ops::OperationError,
    oracle::{Findings, Watch, vacuity},
    report::{ScenarioResult, Verdict},
};
use nostale_guest::page::LINES;
use nostale_notifier::addr::PAGE_SIZE;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What happened while operations ran.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) operations: AtomicU64,
    pub(super) pages: AtomicU64,
}

/// What is known when a scenario's threads have ended.
pub(super) struct Run<'a> {
    pub(super) system: &'a System,
    pub(super) watch: &'a Watch,
    pub(super) writers: &'a [HostWriter],
    pub(super) seconds: f64,
    pub(super) start_us: f64,
    pub(super) check_us: f64,
    pub(super) lost: u64,
    pub(super) kvm: Sample,
    pub(super) method: Option<String>,
    pub(super) watching: Watching,
    pub(super) failed: Vec<OperationError>,
    pub(super) tally: Tally,
}

/// The verdict on a scenario, and everything that is known about it.
pub(super) fn conclude(scenario: &Scenario, config: &Config, run: Run<'_>) -> ScenarioResult {
    let Run { system, watch, writers, seconds, start_us, check_us, lost, kvm, method, watching, failed, tally } = run;
    let (visits, write_visits) = judge::visits(system);
    let host_visits: u64 = writers.iter().map(|writer| writer.visits.load(Relaxed)).sum();
    let operations = tally.operations.load(Relaxed);
    let Findings { violations, counts, stale_writes } = watch.take();
    let stale_reads: u64 = system.all_vcpus().map(|vcpu| vcpu.counts.findings.load(Relaxed)).sum();
    let Watching { stuck, failure, huge_bytes, efaults, .. } = watching;

    let vacuous = vacuity::judge(&kvm, visits, operations);
    let (verdict, reason) = if !counts.is_empty() {
        let oracles: Vec<_> = counts.iter().map(|(oracle, n)| format!("{oracle} ({n})")).collect();
        (Verdict::Violation, Some(oracles.join(", ")))
    } else if let Some(failure) = failure {
        // A vCPU that failed before it had a single translation says nothing about coherency.
        if kvm.installs() == 0 {
            (Verdict::Vacuous, Some(format!("no translation was installed, and then {failure}")))
        } else {
            (Verdict::Violation, Some(failure))
        }
    } else if let Some(stuck) = stuck {
        (Verdict::Stuck, Some(format!("no progress: {stuck}")))
    } else if let Some(error) = failed.first() {
        (Verdict::Vacuous, Some(format!("an operation failed: {error}")))
    } else if let Some(reason) = vacuous {
        (Verdict::Vacuous, Some(reason))
    } else {
        (Verdict::Coherent, None)
    };
    let lines = LINES as u64;
    let longest = system.all_vcpus().map(|vcpu| vcpu.counts.longest_gap.load(Relaxed)).max().unwrap_or(0);
    ScenarioResult {
        name: scenario.name(),
        backing: scenario.backing.name().to_owned(),
        verdict,
        reason,
        method,
        seconds,
        operations,
        operations_per_second: operations as f64 / seconds,
        pages: tally.pages.load(Relaxed),
        guest_writes: write_visits * lines,
        host_writes: host_visits * lines,
        writes_per_second: ((write_visits + host_visits) * lines) as f64 / seconds,
        lost_writes: lost,
        stale_writes,
        stale_reads,
        longest_stall_us: clock::microseconds(longest),
        invalidations: kvm.invalidations(),
        installs: kvm.installs(),
        efaults,
        huge_bytes,
        start_us,
        check_us,
        kvm,
        violations,
        replay: replay(scenario, config, seconds),
    }
}

/// The line that runs this scenario alone, with the same choices.
pub(super) fn replay(scenario: &Scenario, config: &Config, seconds: f64) -> String {
    let plant = config.plant.map_or(String::new(), |plant| format!(" --plant {plant}"));
    format!(
        "nostale run --ops {} --backing {} --vcpus {} --host-writers {} --memory {} --seconds {} --seed {:#x}{plant}",
        scenario.name(),
        scenario.backing,
        config.vcpus,
        config.host_writers,
        memory(config.pages * PAGE_SIZE),
        seconds.ceil().max(1.0),
        config.seed,
    )
}

/// Bytes as `--memory` takes them.
fn memory(bytes: u64) -> String {
    let units = [(30, "G"), (20, "M"), (10, "K")];
    let unit = units.into_iter().find(|&(shift, _)| bytes.trailing_zeros() >= shift && bytes > 0);
    unit.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::memory;

    #[test]
    fn memory_is_written_in_the_largest_unit_that_loses_nothing() {
        assert_eq!([memory(64 << 20), memory(8 << 30), memory(1028 << 10), memory(4097)], ["64M", "8G", "1028K", "4097"]);
    }
}
