//! What became of the rules.

use super::diff::{RuleChange, RuleDiff};
use crate::trace::profile::{RuleResult, RuleState};

/// Every rule that either side knows: those of the first, and then what only the second one has.
pub(super) fn compare(a: &[RuleResult], b: &[RuleResult]) -> Vec<RuleDiff> {
    let find = |rules: &'_ [RuleResult], name: &str| rules.iter().position(|rule| rule.name == name);
    let first = a.iter().map(|rule| (Some(rule), find(b, &rule.name).map(|at| &b[at])));
    let rest = b.iter().filter(|rule| find(a, &rule.name).is_none()).map(|rule| (None, Some(rule)));
    first.chain(rest).filter_map(|(a, b)| diff(a, b)).collect()
}

fn diff(a: Option<&RuleResult>, b: Option<&RuleResult>) -> Option<RuleDiff> {
    let any = b.or(a)?;
    let change = change(a.map(|rule| rule.state), b.map(|rule| rule.state));
    Some(RuleDiff {
        name: any.name.clone(),
        says: any.says.clone(),
        because: any.because.clone(),
        a: a.map(|rule| rule.state),
        b: b.map(|rule| rule.state),
        checks_a: a.map_or(0, |rule| rule.checks),
        checks_b: b.map_or(0, |rule| rule.checks),
        breaks_a: a.map_or(0, |rule| rule.breaks),
        breaks_b: b.map_or(0, |rule| rule.breaks),
        change,
        relevant: change == RuleChange::Broken,
        example: b.and_then(|rule| rule.examples.first().cloned()),
    })
}

fn change(a: Option<RuleState>, b: Option<RuleState>) -> RuleChange {
    use RuleState::{Broken, Held, NotAsked};
    match (a.unwrap_or(NotAsked), b.unwrap_or(NotAsked)) {
        (Held, Held) | (Broken, Broken) | (NotAsked, NotAsked) => RuleChange::Same,
        (Held, Broken) => RuleChange::Broken,
        (NotAsked, Broken) => RuleChange::BrokenUnasked,
        (Broken, Held) => RuleChange::Mended,
        (NotAsked, Held) => RuleChange::Asked,
        (Held | Broken, NotAsked) => RuleChange::Unasked,
    }
}
