//! The last line: what the whole check came to.

use super::{
    super::{Agreement, CheckReport},
    table,
};
use crate::report::{human::paint, units};
use std::collections::BTreeSet;

pub(super) fn line(report: &CheckReport, color: bool) -> String {
    let cases = &report.files;
    let interrupted = if report.interrupted { "interrupted, so far " } else { "" };
    if cases.is_empty() {
        return format!("{interrupted}nothing was checked{}", broken(report.errors.len()));
    }
    let models: BTreeSet<_> = cases.iter().map(|case| &case.path).collect();
    let variants: BTreeSet<_> = cases.iter().map(|case| (&case.path, &case.variant)).collect();
    let mut what = format!("{} of {}", number(variants.len(), "variant"), number(models.len(), "model"));
    if variants.len() < cases.len() {
        what = format!("{} of {what}", number(cases.len(), "check"));
    }
    let count = |agreement| cases.iter().filter(|case| case.agreement == agreement).count();
    let kinds = [
        (Agreement::Disagrees, "not as expected"),
        (Agreement::Vacuous, "vacuous"),
        (Agreement::Undecided, "bounded, which proves nothing"),
    ];
    let exceptions = kinds.map(|(kind, words)| (kind, count(kind), words)).into_iter().filter(|(_, count, _)| *count > 0);
    let exceptions: Vec<_> =
        exceptions.map(|(kind, count, words)| paint::painted(&format!("{count} {words}"), table::style(kind), color)).collect();
    let came_to = match (exceptions.is_empty(), cases.len()) {
        (true, 1) => paint::painted("as expected", table::style(Agreement::Agrees), color),
        (true, _) => paint::painted("all as expected", table::style(Agreement::Agrees), color),
        (false, _) => exceptions.join(", "),
    };
    let states = cases.iter().map(|case| case.states).fold(0, u64::saturating_add);
    let seconds = cases.iter().map(|case| case.seconds).filter(|seconds| seconds.is_finite()).fold(0.0, |sum, s| sum + s);
    let (count, time) = (units::count(states), units::microseconds(seconds * 1e6));
    let counted = table::counted(cases);
    let counted = if states == 1 { counted.trim_end_matches('s') } else { counted };
    format!("{interrupted}{what}: {came_to}; {count} {counted} in {time}{}", broken(report.errors.len()))
}

fn broken(errors: usize) -> String {
    if errors == 0 { String::new() } else { format!("; {errors} could not be checked") }
}

fn number(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
