//! The last line: what the whole run came to.

use super::paint;
use crate::report::{RunReport, ScenarioResult, Verdict, text::clean, units};

pub(super) fn line(report: &RunReport, color: bool) -> String {
    let verdict = paint::verdict(report.verdict, color);
    let interrupted = if report.interrupted { "interrupted, so far " } else { "" };
    let (kernel, mmu) = (clean(&report.host.kernel), clean(&report.host.mmu));
    format!(
        "{interrupted}{verdict}: {} (seed {:#x}, kernel {kernel}, {mmu} MMU)",
        came_to(&report.scenarios.iter().collect::<Vec<_>>()),
        report.seed
    )
}

/// What all these scenarios came to.
pub(in crate::report) fn came_to(all: &[&ScenarioResult]) -> String {
    let ran: Vec<_> = all.iter().copied().filter(|scenario| scenario.verdict != Verdict::Skipped).collect();
    let skipped = all.len() - ran.len();
    if all.is_empty() {
        return "no scenario was chosen".to_owned();
    }
    if ran.is_empty() {
        return format!("none of {} could run", scenarios(skipped));
    }
    let total = |of: fn(&ScenarioResult) -> u64| ran.iter().map(|scenario| of(scenario)).fold(0, u64::saturating_add);
    let times = ran.iter().map(|scenario| scenario.seconds).filter(|seconds| seconds.is_finite());
    // A sum of nothing would be -0.
    let seconds = times.fold(0.0, |sum, seconds| sum + seconds);
    format!(
        "{}{} in {}, {} verified writes, {} lost, {} stale, {skipped} skipped",
        scenarios(ran.len()),
        exceptions(&ran),
        units::seconds(seconds),
        units::count(total(|s| s.guest_writes.saturating_add(s.host_writes))),
        units::count(total(|s| s.lost_writes)),
        units::count(total(|s| s.stale_writes.saturating_add(s.stale_reads))),
    )
}

/// How many of them were not coherent, if any: the verdict in front is only the worst.
fn exceptions(ran: &[&ScenarioResult]) -> String {
    let kinds = [Verdict::Violation, Verdict::Stuck, Verdict::Vacuous];
    let counts = kinds.map(|kind| (kind, ran.iter().filter(|scenario| scenario.verdict == kind).count()));
    let counts: Vec<_> = counts.iter().filter(|(_, n)| *n > 0).map(|(kind, n)| format!("{n} {kind}")).collect();
    if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) }
}

fn scenarios(n: usize) -> String {
    if n == 1 { "1 scenario".to_owned() } else { format!("{n} scenarios") }
}
