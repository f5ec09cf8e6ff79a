//! From what is known of a scenario to its verdict.

use super::{Config, Scenario, judge, threads::Ground, watching::Watching};
use crate::{
    host::clock,
    machine::{Layout, Sample},
    ops::{Effect, OperationError},
    oracle::{Findings, Oracle, Violation, vacuity},
    report::{OperationCount, ScenarioResult, Verdict},
};
use nostale_guest::page::LINES;
use nostale_notifier::addr::PAGE_SIZE;
use std::sync::{PoisonError, atomic::Ordering::Relaxed};

/// What is known when a scenario's threads have ended.
pub(super) struct Run<'a> {
    pub(super) ground: &'a Ground,
    pub(super) layout: Layout,
    pub(super) seconds: f64,
    pub(super) start_us: f64,
    pub(super) check_us: f64,
    pub(super) lost: u64,
    pub(super) kvm: Sample,
    pub(super) method: Option<String>,
    pub(super) watching: Watching,
    pub(super) failed: Vec<(&'static str, OperationError)>,
}

/// The verdict on a scenario, and everything that is known about it.
pub(super) fn conclude(scenario: &Scenario, config: &Config, run: Run<'_>) -> ScenarioResult {
    let Run { ground, layout, seconds, start_us, check_us, lost, kvm, method, watching, failed } = run;
    let (visits, write_visits) = judge::visits(&ground.system);
    let host_visits: u64 = ground.writers.iter().map(|writer| writer.visits.load(Relaxed)).sum();
    let by_operation: Vec<_> = ground
        .operations
        .iter()
        .map(|(name, tally)| OperationCount {
            name: (*name).to_owned(),
            operations: tally.operations.load(Relaxed),
            pages: tally.pages.load(Relaxed),
        })
        .collect();
    let operations: u64 = by_operation.iter().map(|count| count.operations).sum();
    let sightings = ground.sightings.load(Relaxed);
    let migration = ground.journeys.lock().unwrap_or_else(PoisonError::into_inner).figures();
    let Findings { mut violations, counts, stale_writes, witnessed, remarks } = ground.watch.take();
    let stale_reads: u64 = ground.system.all_vcpus().map(|vcpu| vcpu.counts.findings.load(Relaxed)).sum();
    let Watching { stuck, failure, huge_bytes, efaults, .. } = watching;

    // The worst first; then what explains the rest.
    let (verdict, reason) = if !counts.is_empty() {
        let oracles: Vec<_> = counts.iter().map(|(oracle, n)| format!("{oracle} ({n})")).collect();
        (Verdict::Violation, Some(oracles.join(", ")))
    } else if let Some((failure, lacking)) = failure {
        if kvm.installs() == 0 && kvm.sptes() == 0 {
            // A vCPU that failed before it had a single translation says nothing about coherency.
            (Verdict::Vacuous, Some(format!("no translation was installed in the secondary MMU, and then {failure}")))
        } else if lacking {
            (Verdict::Vacuous, Some(failure))
        } else {
            violations.push(Violation::new(Oracle::Progress, &scenario.name(), failure.clone()));
            (Verdict::Violation, Some(failure))
        }
    } else if let Some((name, error)) = failed.iter().find(|(_, error)| error.is_hang()) {
        (Verdict::Stuck, Some(format!("no progress: {name}: {error}")))
    } else if let Some((name, error)) = failed.first() {
        (Verdict::Vacuous, Some(format!("{name} failed: {error}")))
    } else if let Some(stuck) = stuck {
        (Verdict::Stuck, Some(format!("no progress: {stuck}")))
    } else if let Some(reason) =
        vacuity::judge(&kvm, visits, operations, scenario.operations.iter().any(|operation| operation.machine.unplugs))
            // Without one of several operations, the others were another scenario.
            .or_else(|| ground.idle().filter(|_| !config.storm_round).map(|name| format!("{name} did nothing")))
            .or_else(|| unseen(scenario, witnessed, sightings))
    {
        (Verdict::Vacuous, Some(reason))
    } else {
        (Verdict::Coherent, None)
    };
    let lines = LINES as u64;
    let longest = ground.system.all_vcpus().map(|vcpu| vcpu.counts.longest_gap.load(Relaxed)).max().unwrap_or(0);
    ScenarioResult {
        name: scenario.name(),
        backing: scenario.backing.name().to_owned(),
        verdict,
        reason,
        method,
        layout: Some(layout.to_string()),
        migration,
        seconds,
        operations,
        operations_per_second: operations as f64 / seconds,
        pages: by_operation.iter().map(|count| count.pages).sum(),
        by_operation,
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
        witnessed_pages: witnessed,
        third_thread_sightings: sightings,
        huge_bytes,
        start_us,
        check_us,
        kvm,
        storm: None,
        litmus: None,
        remarks: remarks.into_iter().map(str::to_owned).collect(),
        violations,
        replay: replay(scenario, config, Some(layout), seconds),
    }
}

/// The oracle that had nothing to look at, in a scenario that is there for it.
fn unseen(scenario: &Scenario, witnessed: u64, sightings: u64) -> Option<String> {
    // Of discarded pages not all can be seen: parts of a large folio are zeroed in place. The guest's own checks remain.
    let replaces = scenario.effects().any(|effect| matches!(effect, Effect::Exchanges | Effect::Gathers));
    let exchanges = scenario.effects().any(|effect| effect == Effect::Exchanges);
    if replaces && witnessed == 0 {
        return Some("no page that was replaced could be looked at again".to_owned());
    }
    (exchanges && sightings == 0).then(|| "no third thread ever saw a new page first".to_owned())
}

/// The line that runs this scenario alone, with the same choices.
pub(super) fn replay(scenario: &Scenario, config: &Config, layout: Option<Layout>, seconds: f64) -> String {
    let mut more = config.plant.map_or(String::new(), |plant| format!(" --plant {plant}"));
    if let Some(layout) = layout.or(config.layout) {
        more += &format!(" --layout {layout}");
    }
    if scenario.backing.has_file() && config.file_dir != std::env::temp_dir() {
        more += &format!(" --file-dir {}", config.file_dir.display());
    }
    format!(
        "nostale run --ops {} --backing {} --vcpus {} --host-writers {} --memory {} --seconds {} --seed {:#x}{more}",
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
pub(crate) fn memory(bytes: u64) -> String {
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
