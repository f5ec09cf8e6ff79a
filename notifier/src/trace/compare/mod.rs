//! What two recordings of a kernel's invalidations differ in: orders that are new or gone, frequencies and times that have moved, rules
//! that no longer hold.
//!
//! ```text
//! profile A ─┐                        ┌─▶ rules
//!            ├─▶ environment, stages ─┼─▶ orders ──▶ relevance ─┐
//! profile B ─┘   that both can see    └─▶ times ────────────────┴─▶ Holm ──▶ verdict
//! ```
//!
//! *Relevance needs no statistics*: an order that puts a stage where the [table](order::RELEVANT) does not want it, and that the first
//! recording never has for that operation, is a finding if it came up once. Everything else is a matter of how often and how long, where
//! events of one batch are not independent and batches nearly are: it is tested on batches, corrected for all that was tested, and it
//! decides nothing, because the load of a host moves frequencies and times as well as a change of the kernel does.

mod conclude;
mod diff;
mod environment;
pub mod order;
mod orders;
mod project;
mod rules;
mod slices;
mod times;
mod valid;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use diff::*;
pub use valid::{BadProfile, check};

use super::profile::{OperationProfile, OrderVerdict, Profile};
use crate::stats;
use orders::{Baseline, compare_orders};
use project::Projection;
use times::compare_times;

/// Version of the schema.
pub const VERSION: u32 = 1;

/// How everything was tested: the same for all.
pub const METHOD: &str = "exact two-sample permutation tests on batches of equal weight: square roots of shares, presence for orders that \
                          only one recording has, ranks of medians for times; Holm's correction over all tests that could show anything";

/// A recording to compare, and what it is called.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Where it came from.
    pub path: &'a str,
    /// What its analysis came to.
    pub profile: &'a Profile,
}

/// What the second recording has different from the first one. With at most the probability `alpha`, one or more of all differences of
/// frequency and time that are said to be confident are none.
#[must_use]
pub fn compare(a: Recorded<'_>, b: Recorded<'_>, alpha: f64) -> Comparison {
    let projection = Projection::of(a.profile, b.profile);
    let baseline = Baseline::of(b.profile, &projection, [a.profile, b.profile]);
    let (mut operations, mut only_in_a) = (Vec::new(), Vec::new());
    let find = |profile: &Profile, name: &str| profile.operations.iter().position(|operation| operation.name == name);
    for one in &a.profile.operations {
        match find(b.profile, &one.name) {
            Some(at) => operations.push(compare_operation(one, &b.profile.operations[at], &projection, &baseline, alpha)),
            None => only_in_a.push(Alone { name: one.name.clone(), invalidations: one.invalidations }),
        }
    }
    let alone = b.profile.operations.iter().filter(|operation| find(a.profile, &operation.name).is_none());
    let only_in_b = alone.map(|one| Alone { name: one.name.clone(), invalidations: one.invalidations }).collect();
    judge(&mut operations, alpha);
    let mut comparison = Comparison {
        version: VERSION,
        verdict: ComparisonVerdict::NothingRelevant,
        reason: None,
        method: METHOD.to_owned(),
        alpha,
        a: Side::of(a),
        b: Side::of(b),
        differences: environment::differences(a.profile, b.profile),
        projected: projection.dropped(),
        rules: rules::compare(&a.profile.rules, &b.profile.rules),
        operations,
        only_in_a,
        only_in_b,
        notes: environment::notes(b.profile),
    };
    (comparison.verdict, comparison.reason) = verdict(&comparison);
    comparison
}

fn compare_operation(
    a: &OperationProfile,
    b: &OperationProfile,
    projection: &Projection,
    base: &Baseline,
    alpha: f64,
) -> OperationDiff {
    OperationDiff {
        name: a.name.clone(),
        invalidations_a: a.invalidations,
        invalidations_b: b.invalidations,
        orders: compare_orders(projection.orders(a), projection.orders(b), base, alpha),
        latencies: compare_times(&projection.latencies(a), &projection.latencies(b), alpha),
    }
}

/// Looks at all tests together. Those that could not have shown anything, whatever came of them, are not counted (R. E. Tarone, *A modified
/// Bonferroni method for discrete data*, 1990).
fn judge(operations: &mut [OperationDiff], alpha: f64) {
    let mut evidence: Vec<&mut Evidence> = Vec::new();
    for operation in &mut *operations {
        evidence.extend(operation.orders.iter_mut().map(|order| &mut order.evidence));
        evidence.extend(operation.latencies.iter_mut().map(|latency| &mut latency.evidence));
    }
    evidence.retain(|evidence| evidence.least_p.is_some_and(|least| least <= alpha));
    let values: Vec<f64> = evidence.iter().filter_map(|evidence| evidence.p).collect();
    for (evidence, p) in evidence.iter_mut().zip(stats::holm(&values)) {
        evidence.p_of_all = Some(p);
        evidence.confident = p <= alpha;
    }
    for operation in operations {
        operation.orders.iter_mut().for_each(OrderDiff::judge);
        operation.latencies.iter_mut().for_each(LatencyDiff::judge);
    }
}

fn verdict(comparison: &Comparison) -> (ComparisonVerdict, Option<String>) {
    let is_vacuous = |side: &Side| side.verdict == OrderVerdict::Vacuous;
    let nothing = |why: &str| (ComparisonVerdict::Incomparable, Some(why.to_owned()));
    if comparison.relevant_orders().next().is_some() || comparison.rules.iter().any(|rule| rule.relevant) {
        (ComparisonVerdict::Relevant, None)
    } else if comparison.operations.is_empty() {
        nothing("no operation is in both recordings; record the same operations on both sides")
    } else if is_vacuous(&comparison.a) && is_vacuous(&comparison.b) {
        nothing(
            "both recordings are vacuous: no invalidation met anything installed; let the guest use its memory while they are made",
        )
    } else {
        (ComparisonVerdict::NothingRelevant, None)
    }
}
