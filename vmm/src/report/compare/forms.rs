//! A comparison as test tools see it: a test for each rule and each operation, which passes if nothing relevant has changed.

use super::{human, replay};
use crate::report::test::{Ending, Test};
use nostale_notifier::trace::compare::{Comparison, ComparisonVerdict, OperationDiff, OrderDiff, RuleChange, RuleDiff};

/// Why there are no tests.
pub(super) const NOTHING: &str = "neither recording has rules, and no operation is in both";

pub(super) fn tests(comparison: &Comparison) -> Vec<Test<'_>> {
    let rules = comparison.rules.iter().map(|rule| of_rule(comparison, rule));
    rules.chain(comparison.operations.iter().map(|operation| of_operation(comparison, operation))).collect()
}

pub(super) fn properties(comparison: &Comparison) -> [(&'static str, String); 9] {
    let (a, b) = (&comparison.a, &comparison.b);
    [
        ("verdict", comparison.verdict.name().to_owned()),
        ("a", a.path.clone()),
        ("a.kernel", a.kernel.clone()),
        ("a.mmu", human::mmu(a.mmu).to_owned()),
        ("b", b.path.clone()),
        ("b.kernel", b.kernel.clone()),
        ("b.mmu", human::mmu(b.mmu).to_owned()),
        ("alpha", comparison.alpha.to_string()),
        ("method", comparison.method.clone()),
    ]
}

pub(super) fn notes(comparison: &Comparison) -> Vec<String> {
    let differences =
        comparison.differences.iter().map(|one| format!("{}: {} in A, {} in B: {}", one.what, one.a, one.b, one.means));
    let projected = comparison.projected.iter().map(|one| format!("{} was left out: {}", one.stage.name(), one.why));
    let alone = [("A", &comparison.only_in_a), ("B", &comparison.only_in_b)];
    let alone = alone.into_iter().flat_map(|(side, all)| all.iter().map(move |one| format!("only in {side}: {}", one.name)));
    differences.chain(projected).chain(alone).chain(comparison.notes.iter().cloned()).chain(comparison.reason.clone()).collect()
}

fn of_rule<'a>(comparison: &'a Comparison, rule: &'a RuleDiff) -> Test<'a> {
    let (ending, verdict, reason) = match rule.change {
        RuleChange::Broken => (Ending::Failed, "broken", "it held in A, and is broken in B"),
        RuleChange::BrokenUnasked => (Ending::Unjudged, "broken", "it is broken in B, and A could not ask it"),
        RuleChange::Unasked => (Ending::Skipped, "not asked", "B could not ask it"),
        RuleChange::Same if rule.checks_a == 0 && rule.checks_b == 0 => (Ending::Skipped, "not asked", "neither could ask it"),
        RuleChange::Same | RuleChange::Mended | RuleChange::Asked => (Ending::Passed, "same", "it is not broken where it held"),
    };
    Test {
        name: rule.name.clone(),
        group: "rules".to_owned(),
        title: format!("rule {}", rule.name),
        ending,
        verdict,
        reason: Some(reason.to_owned()),
        seconds: 0.0,
        describe: Box::new(move |width| human::rule(rule, width)),
        replay: replay(comparison),
    }
}

fn of_operation<'a>(comparison: &'a Comparison, operation: &'a OperationDiff) -> Test<'a> {
    let relevant = || operation.orders.iter().filter(|order| order.relevant);
    let wrong = |order: &OrderDiff| order.inversions.iter().map(|inversion| inversion.says.clone()).collect::<Vec<_>>();
    let (ending, verdict, reason) = if relevant().next().is_some() {
        let mut what: Vec<String> = relevant().flat_map(wrong).collect();
        what.sort();
        what.dedup();
        (Ending::Failed, "relevant", Some(format!("orders that A never has: {}", what.join("; "))))
    } else if comparison.verdict == ComparisonVerdict::Incomparable {
        (Ending::Unjudged, "incomparable", comparison.reason.clone())
    } else {
        (Ending::Passed, "nothing relevant", None)
    };
    Test {
        name: operation.name.clone(),
        group: "orders".to_owned(),
        title: format!("orders of {}", operation.name),
        ending,
        verdict,
        reason,
        seconds: 0.0,
        describe: Box::new(move |width| relevant().flat_map(|order| human::finding(operation, order, width, false)).collect()),
        replay: replay(comparison),
    }
}
