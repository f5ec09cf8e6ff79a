//! A comparison for people: the verdict, what qualifies it, rules, what is relevant, and then what moved.

use super::{
    Options,
    tables::{self, per_hundred},
};
use crate::report::{
    human::{NARROWEST, paint},
    text::{clean, hanging},
    units,
};
use anstyle::{AnsiColor, Style};
use nostale_notifier::trace::{
    compare::{Comparison, ComparisonVerdict, LatencyChange, OperationDiff, OrderChange, OrderDiff, RuleChange, RuleDiff, Side},
    head::Mmu,
    profile::{OrderVerdict, RuleState, Stage},
};

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

pub(super) fn render(comparison: &Comparison, options: &Options) -> String {
    let (width, color) = (options.width.max(NARROWEST), options.color);
    let mut parts = vec![verdict(comparison, width, color), sides(comparison, width), differences(comparison, width)];
    parts.push(rules(comparison, width, color));
    parts.extend(comparison.relevant_orders().map(|(operation, order)| finding(operation, order, width, color)));
    parts.push(tables::come_and_gone(comparison, width, color));
    parts.push(tables::frequencies(comparison, width, color));
    parts.push(tables::times(comparison, width, color));
    parts.push(rest(comparison, width));
    parts.retain(|part| !part.is_empty());
    parts.into_iter().map(|part| part.join("\n") + "\n").collect::<Vec<_>>().join("\n")
}

pub(super) const fn mmu(mmu: Mmu) -> &'static str {
    match mmu {
        Mmu::Shadow => "shadow",
        Mmu::Tdp => "tdp",
    }
}

/// An order in words.
pub(super) fn words(order: &[Stage]) -> String {
    if order.is_empty() {
        "(none of these stages)".to_owned()
    } else {
        order.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(" ")
    }
}

pub(super) fn s(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn verdict(comparison: &Comparison, width: usize, color: bool) -> Vec<String> {
    let style = match comparison.verdict {
        ComparisonVerdict::NothingRelevant => GREEN,
        ComparisonVerdict::Relevant => RED,
        ComparisonVerdict::Incomparable => YELLOW,
    };
    let orders = comparison.relevant_orders().count();
    let rules = comparison.rules.iter().filter(|rule| rule.relevant).count();
    let what = match (comparison.verdict, &comparison.reason) {
        (_, Some(reason)) => reason.clone(),
        (ComparisonVerdict::Relevant, None) => {
            let orders = (orders > 0).then(|| format!("{orders} order{} in B against the rules that A never has", s(orders)));
            let verb = if rules == 1 { "is" } else { "are" };
            let rules = (rules > 0).then(|| format!("{rules} rule{} that held in A {verb} broken in B", s(rules)));
            orders.into_iter().chain(rules).collect::<Vec<_>>().join("; ")
        }
        _ => "no order against the rules is new in B, and no rule that held in A is broken".to_owned(),
    };
    painted(comparison.verdict.name(), &what, style, width, color)
}

/// `word: text`, with the word in colour, and only once it is clear where lines end: escape sequences take no columns.
fn painted(word: &str, text: &str, style: Style, width: usize, color: bool) -> Vec<String> {
    let mut lines = hanging(&format!("{word}: "), text, width);
    lines[0] = lines[0].replacen(word, &paint::painted(word, style, color), 1);
    lines
}

fn sides(comparison: &Comparison, width: usize) -> Vec<String> {
    let side = |side: &Side| {
        let probes = if side.probes { "probes" } else { "no probes" };
        let verdict = match side.verdict {
            OrderVerdict::Held => "rules held",
            OrderVerdict::Broken => "rules broken",
            OrderVerdict::Vacuous => "vacuous",
        };
        let (cpus, invalidations) = (side.cpus as usize, side.invalidations as usize);
        format!(
            "{}: kernel {}, {} MMU, {probes}, {cpus} CPU{}, {}, {} invalidation{}, {verdict}",
            side.path,
            side.kernel,
            mmu(side.mmu),
            s(cpus),
            units::seconds(side.seconds),
            units::count(side.invalidations),
            s(invalidations),
        )
    };
    [hanging("A  ", &side(&comparison.a), width), hanging("B  ", &side(&comparison.b), width)].concat()
}

fn differences(comparison: &Comparison, width: usize) -> Vec<String> {
    let one = comparison.differences.iter().flat_map(|one| {
        let text = format!("{} in A, {} in B: {}", one.a, one.b, one.means);
        hanging(&format!("{}: ", one.what), &text, width)
    });
    // Stages that are left out for the same reason, in one line.
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for one in &comparison.projected {
        match reasons.iter_mut().find(|(why, _)| *why == one.why) {
            Some((_, stages)) => stages.push(one.stage.name()),
            None => reasons.push((&one.why, vec![one.stage.name()])),
        }
    }
    let projected =
        reasons.iter().flat_map(|(why, stages)| hanging("left out: ", &format!("{}: {why}", stages.join(", ")), width));
    one.chain(projected).collect()
}

fn rules(comparison: &Comparison, width: usize, color: bool) -> Vec<String> {
    let (same, changed): (Vec<&RuleDiff>, Vec<&RuleDiff>) =
        comparison.rules.iter().partition(|rule| rule.change == RuleChange::Same);
    let mut lines: Vec<String> = changed.iter().flat_map(|rule| changed_rule(rule, width, color)).collect();
    let with = |state: RuleState| same.iter().filter(|rule| rule.a.or(rule.b) == Some(state)).count();
    let counts = [(RuleState::Held, "held"), (RuleState::Broken, "broken"), (RuleState::NotAsked, "not asked")];
    let counts = counts.map(|(state, word)| (with(state), word)).into_iter().filter(|(count, _)| *count > 0);
    let counts = counts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ");
    if !counts.is_empty() {
        lines.extend(hanging("rules: ", &format!("{counts} on both sides"), width));
    }
    lines
}

fn changed_rule(rule: &RuleDiff, width: usize, color: bool) -> Vec<String> {
    let style = match rule.change {
        RuleChange::Broken => RED,
        RuleChange::BrokenUnasked => YELLOW,
        RuleChange::Mended => GREEN,
        _ => Style::new(),
    };
    let mut lines = painted(&format!("rule {}", clean(&rule.name)), &change(rule), style, width, color);
    if matches!(rule.change, RuleChange::Broken | RuleChange::BrokenUnasked) {
        lines.extend(self::rule(rule, width));
    }
    lines
}

fn change(rule: &RuleDiff) -> String {
    let of = |breaks: u64, checks: u64| format!("{} of {} times", units::count(breaks), units::count(checks));
    let (a, b) = (of(rule.breaks_a, rule.checks_a), of(rule.breaks_b, rule.checks_b));
    match rule.change {
        RuleChange::Same => "the same on both sides".to_owned(),
        RuleChange::Broken => format!("held in A ({} times asked), broken in B {b}", units::count(rule.checks_a)),
        RuleChange::BrokenUnasked => format!("not asked in A, broken in B {b}: whether that is new, A cannot say"),
        RuleChange::Mended => format!("broken in A {a}, held in B ({} times asked)", units::count(rule.checks_b)),
        RuleChange::Asked => "not asked in A, held in B".to_owned(),
        RuleChange::Unasked if rule.breaks_a > 0 => format!("broken in A {a}, not asked in B"),
        RuleChange::Unasked => "held in A, not asked in B".to_owned(),
    }
}

/// What a rule says, and where it was broken.
pub(super) fn rule(rule: &RuleDiff, width: usize) -> Vec<String> {
    let mut lines = hanging("  ", &format!("{}; because {}", rule.says, rule.because), width);
    if let Some(example) = &rule.example {
        let place = example.hva.map(|hva| format!(" at {hva}")).unwrap_or_default();
        let when = units::microseconds(example.at_us);
        lines.extend(hanging("  ", &format!("first: {}{place}, in {}, {when} into B", example.what, example.operation), width));
    }
    lines
}

/// An order that is relevant, and why.
pub(super) fn finding(operation: &OperationDiff, order: &OrderDiff, width: usize, color: bool) -> Vec<String> {
    let text = format!(
        "{} of {} invalidations in B ({}), none of {} in A",
        units::count(order.b.invalidations),
        units::count(operation.invalidations_b),
        per_hundred(order.b.share),
        units::count(operation.invalidations_a),
    );
    let mut lines = painted(&format!("new in {}", clean(&operation.name)), &text, RED, width, color);
    lines.extend(hanging("  ", &words(&order.order), width));
    for inversion in order.inversions.iter().filter(|inversion| inversion.counts && inversion.invalidations_a == 0) {
        lines.extend(hanging("  ", &format!("{}: {}", inversion.says, inversion.why), width));
    }
    lines
}

fn rest(comparison: &Comparison, width: usize) -> Vec<String> {
    let alone = [("A", &comparison.only_in_a), ("B", &comparison.only_in_b)].into_iter().flat_map(|(side, all)| {
        let names = all.iter().map(|one| format!("{} ({})", one.name, units::count(one.invalidations)));
        let names = names.collect::<Vec<_>>().join(", ");
        if names.is_empty() { Vec::new() } else { hanging(&format!("only in {side}: "), &names, width) }
    });
    let mut lines: Vec<String> = alone.collect();
    lines.extend(comparison.notes.iter().flat_map(|note| hanging("note: ", note, width)));
    let orders = || comparison.operations.iter().flat_map(|operation| &operation.orders);
    let times = || comparison.operations.iter().flat_map(|operation| &operation.latencies);
    let count =
        orders().filter(|order| matches!(order.change, OrderChange::More | OrderChange::Fewer | OrderChange::Spread)).count();
    let moved = times().filter(|time| matches!(time.change, LatencyChange::Longer | LatencyChange::Shorter)).count();
    let tests = comparison.tests();
    let (operations, new, gone) = (
        comparison.operations.len(),
        orders().filter(|order| order.change == OrderChange::New).count(),
        orders().filter(|order| order.change == OrderChange::Gone).count(),
    );
    let text = format!(
        "{operations} operation{}: {new} order{} new, {gone} gone, {count} share{} and {moved} time{} moved (α {}, {tests} test{})",
        s(operations),
        s(new),
        s(count),
        s(moved),
        comparison.alpha,
        s(tests)
    );
    lines.extend(hanging("", &text, width));
    lines
}
