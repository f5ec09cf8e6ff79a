//! What a scenario that is not coherent came to: why, the first violations with the events around them, and how to see it again.

use crate::{
    oracle::Violation,
    report::{
        ScenarioResult,
        text::{clean, hanging},
        units,
    },
};
use nostale_notifier::event::{Event, Tsc};

/// Violations shown of each scenario.
const VIOLATIONS: usize = 3;
/// Events shown with each violation.
const EVENTS: usize = 6;
/// Columns of the longest stage.
const STAGE: usize = 15;
/// From here on stages have a column of their own.
const WIDE: usize = 80;

/// The lines, of which all but the last are at most `width` columns wide.
pub(in crate::report) fn describe(scenario: &ScenarioResult, width: usize, ticks_per_us: f64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = &scenario.reason {
        lines.extend(hanging("  ", reason, width));
    }
    for violation in scenario.violations.iter().take(VIOLATIONS) {
        lines.extend(one(violation, width, ticks_per_us));
    }
    let more = scenario.violations.len().saturating_sub(VIOLATIONS);
    if more > 0 {
        let violations = if more == 1 { "violation is" } else { "violations are" };
        lines.extend(hanging("  ", &format!("{more} more {violations} in the JSON results"), width));
    }
    // Last and alone on its line, whole: it is there to be copied.
    lines.push("  replay with:".to_owned());
    lines.push(format!("    {}", clean(&scenario.replay)));
    lines
}

fn one(violation: &Violation, width: usize, ticks_per_us: f64) -> Vec<String> {
    let page = violation.page.map(|page| format!(" on page {page}")).unwrap_or_default();
    let writer = violation.writer.as_deref().map(|writer| format!(" by {}", clean(writer))).unwrap_or_default();
    let title = format!("{}{page}{writer}, during {}", violation.oracle, clean(&violation.operation));
    let mut lines = hanging("  * ", &title, width);
    lines.extend(hanging("    ", &violation.detail, width));
    // Rules without a promise (a complaint of the kernel) leave both at the same value.
    if violation.expected != violation.found {
        let (expected, found) = (value(violation.expected), value(violation.found));
        lines.extend(hanging("    ", &format!("expected {expected}, found {found}"), width));
    }
    for event in nearest(&violation.events, violation.tsc) {
        // The stage's name in results is its only name.
        let stage = serde_json::to_value(event.stage).ok();
        let stage = stage.as_ref().and_then(serde_json::Value::as_str).unwrap_or("?");
        let time = relative(event.tsc, violation.tsc, ticks_per_us);
        let text = format!("{} {}{}", event.actor, event.range, generation(event.generation));
        lines.extend(match width {
            WIDE.. => hanging(&format!("    {time:>12}  {stage:<STAGE$}  "), &text, width),
            _ => hanging(&format!("    {time:>12}  "), &format!("{stage} {text}"), width),
        });
    }
    lines
}

/// The events closest to `at`, oldest first.
fn nearest(events: &[Event], at: Tsc) -> Vec<&Event> {
    let mut events: Vec<_> = events.iter().collect();
    events.sort_by_key(|event| event.tsc.0.abs_diff(at.0));
    events.truncate(EVENTS);
    events.sort_by_key(|event| event.tsc);
    events
}

/// How long after (or, negative, before) the violation it happened.
fn relative(event: Tsc, violation: Tsc, ticks_per_us: f64) -> String {
    let sign = if event < violation { '-' } else { '+' };
    let ticks = event.0.abs_diff(violation.0);
    let us = ticks as f64 / ticks_per_us;
    // Microseconds throughout, so that the eye can compare; without a known rate, ticks are better than nothing.
    match us {
        us if !us.is_finite() || us < 0.0 => format!("{sign}{} ticks", units::count(ticks)),
        us if us < 1e7 => format!("{sign}{us:.1} µs"),
        us => format!("{sign}{}", units::microseconds(us)),
    }
}

/// A generation or a count in decimal; what may be a pattern, in hexadecimal as well.
fn value(value: u64) -> String {
    if value >> 32 == 0 { value.to_string() } else { format!("{value} ({value:#x})") }
}

fn generation(generation: u64) -> String {
    if generation == 0 { String::new() } else { format!(" generation {generation}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_signed_and_survive_any_rate() {
        let at = |event, rate| relative(Tsc(event), Tsc(1_000_000), rate);
        assert_eq!(at(997_000, 3000.0), "-1.0 µs");
        assert_eq!(at(1_000_000, 3000.0), "+0.0 µs");
        assert_eq!(at(1_001_500, 3000.0), "+0.5 µs");
        assert_eq!(at(999_000, 0.0), "-1000 ticks");
        assert_eq!(at(999_000, f64::NAN), "-1000 ticks");
        assert_eq!(at(999_000, -1.0), "-1000 ticks");
        assert_eq!(at(u64::MAX, 3000.0), "+102 M min");
    }
}
