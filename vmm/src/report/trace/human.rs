//! A profile for people: the verdict first, then the rules, then what the kernel did and how long it took.

use super::{TraceShown, verdict_name};
use crate::report::{
    columns::{Column, Columns},
    human::paint::{header, painted},
    text::{clean, hanging},
    units,
};
use anstyle::{AnsiColor, Style};
use nostale_notifier::trace::profile::{
    Break, EventLine, OperationProfile, OrderVerdict, Profile, RuleResult, RuleState, Signature, Stage,
};

/// Breaks of a rule that are shown.
const BREAKS: usize = 2;
/// Orders of an operation that are shown.
const ORDERS: usize = 4;
/// Operations whose times are shown.
const OPERATIONS: usize = 12;
/// The times that say most; all are in the JSON results.
const TIMES: [(Stage, Stage); 4] = [
    (Stage::Start, Stage::Return),
    (Stage::Start, Stage::End),
    (Stage::SetMigration, Stage::RemoveMigration),
    (Stage::Start, Stage::Install),
];

/// The verdict in a few lines and what was broken, for results of something else.
pub(crate) fn brief(profile: &Profile, width: usize, color: bool) -> Vec<String> {
    let mut lines = verdict("order of events ", profile, width, color);
    for rule in profile.broken() {
        lines.extend(hanging("  ", &format!("{}: {}", rule.name, rule.says), width));
        lines.extend(breaks(rule, width));
    }
    lines.extend(warnings(profile).iter().flat_map(|note| hanging("  note: ", note, width)));
    lines
}

fn verdict(before: &str, profile: &Profile, width: usize, color: bool) -> Vec<String> {
    let mut lines = hanging("", &format!("{before}{}", summary(profile)), width);
    if let Some(first) = lines.first_mut() {
        let name = verdict_name(profile.verdict);
        *first = first.replacen(name, &painted(name, style(profile.verdict), color), 1);
    }
    lines
}

pub(super) fn render(profile: &Profile, shown: &TraceShown) -> String {
    let TraceShown { width, color } = *shown;
    let mut lines = verdict("", profile, width, color);
    lines.push(String::new());
    lines.extend(rules(profile, width, color));
    for rule in profile.broken() {
        lines.push(String::new());
        lines.push(header(&format!("{}: {}", rule.name, rule.says), color));
        lines.extend(breaks(rule, width));
    }
    if !profile.operations.is_empty() {
        lines.push(String::new());
        lines.extend(orders(profile, width, color));
        lines.push(String::new());
        lines.extend(times(profile, width, color));
    }
    let notes = warnings(profile).into_iter().chain(profile.notes.iter().map(|note| clean(note)));
    let notes: Vec<_> = notes.flat_map(|note| hanging("note: ", &note, width)).collect();
    if !notes.is_empty() {
        lines.push(String::new());
        lines.extend(notes);
    }
    lines.join("\n") + "\n"
}

const fn style(verdict: OrderVerdict) -> Style {
    match verdict {
        OrderVerdict::Held => AnsiColor::Green.on_default(),
        OrderVerdict::Broken => AnsiColor::Red.on_default().bold(),
        OrderVerdict::Vacuous => AnsiColor::Yellow.on_default(),
    }
}

fn summary(profile: &Profile) -> String {
    let of = |state| profile.rules.iter().filter(|rule| rule.state == state).count();
    let (held, broken, not_asked) = (of(RuleState::Held), of(RuleState::Broken), of(RuleState::NotAsked));
    let invalidations: u64 = profile.operations.iter().map(|operation| operation.invalidations).sum();
    let rules = match profile.verdict {
        OrderVerdict::Broken => format!("{broken} of {} rules", broken + held),
        OrderVerdict::Held => format!("{held} rules"),
        OrderVerdict::Vacuous => "nothing that was installed was ever invalidated".to_owned(),
    };
    let unasked = if not_asked > 0 { format!(", {not_asked} not asked") } else { String::new() };
    format!(
        "{}: {rules}{unasked}; {} events in {}, {} invalidations of what was installed (kernel {}, {} MMU, {})",
        verdict_name(profile.verdict),
        units::count(profile.events),
        units::seconds(profile.seconds),
        units::count(invalidations),
        clean(&profile.kernel),
        match profile.mmu {
            nostale_notifier::trace::head::Mmu::Shadow => "shadow",
            nostale_notifier::trace::head::Mmu::Tdp => "TDP",
        },
        if profile.probes { "tracepoints and probes" } else { "tracepoints" },
    )
}

fn warnings(profile: &Profile) -> Vec<String> {
    let lost: u64 = profile.lost.iter().map(|lost| lost.events).sum();
    let cpus: Vec<_> = profile.lost.iter().map(|lost| format!("{} on CPU {}", lost.events, lost.cpu)).collect();
    let lost = (lost > 0).then(|| format!("{lost} events were lost ({}): around them nothing was asked", cpus.join(", ")));
    let truncated = profile.truncated.as_ref().map(|why| format!("the recording breaks off: {}", clean(why)));
    // Every recording on a host that permits no probes lacks them all: the rules say what that means.
    let probes = |name: &str| name.starts_with("nostale_trace/");
    let missing = profile.missing.iter().filter(|(name, _)| profile.probes || !probes(name));
    let missing = missing.map(|(name, why)| format!("not recorded: {} ({})", clean(name), clean(why)));
    lost.into_iter().chain(truncated).chain(missing).collect()
}

fn rules(profile: &Profile, width: usize, color: bool) -> Vec<String> {
    let mut table = Columns::new([Column::Word, Column::Word, Column::Number, Column::Number, Column::Text(24)]);
    table.header(["rule", "", "asked", "broken", "what it says"].map(|name| header(name, color)).to_vec());
    for rule in &profile.rules {
        let (word, style) = match rule.state {
            RuleState::Held => ("held", AnsiColor::Green.on_default()),
            RuleState::Broken => ("broken", AnsiColor::Red.on_default().bold()),
            RuleState::NotAsked => ("not asked", Style::new().dimmed()),
        };
        let says = match (&rule.reason, rule.state) {
            (Some(reason), RuleState::NotAsked) => format!("({})", clean(reason)),
            _ => rule.says.clone(),
        };
        table.row(vec![
            rule.name.clone(),
            painted(word, style, color),
            units::count(rule.checks),
            if rule.breaks > 0 { units::count(rule.breaks) } else { "-".to_owned() },
            says,
        ]);
    }
    table.lines(width)
}

/// The first breaks of a rule, with the events that show them.
pub(super) fn breaks(rule: &RuleResult, width: usize) -> Vec<String> {
    let mut lines = hanging("  ", &format!("because {}", rule.because), width);
    for example in rule.examples.iter().take(BREAKS) {
        lines.extend(one(example, width));
    }
    let more = rule.breaks.saturating_sub(rule.examples.len().min(BREAKS) as u64);
    if more > 0 {
        lines.push(format!("  and {} more", units::count(more)));
    }
    lines
}

fn one(example: &Break, width: usize) -> Vec<String> {
    let title = format!("{}, during {}", clean(&example.what), clean(&example.operation));
    let mut lines = hanging("  * ", &title, width);
    let mut table = Columns::new([Column::Number, Column::Word, Column::Word, Column::Text(30)]);
    for EventLine { at_us, cpu, tid, thread, text, .. } in &example.events {
        let name = clean(thread);
        let who = if *thread == tid.to_string() { name } else { format!("{name}-{tid}") };
        table.row(vec![format!("{:+.1} µs", at_us - example.at_us), format!("cpu {cpu}"), who, clean(text)]);
    }
    lines.extend(table.lines(width.saturating_sub(4)).into_iter().map(|line| format!("    {line}")));
    lines
}

/// An order as people read it.
fn order(stages: &[Stage]) -> String {
    stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(" → ")
}

fn orders(profile: &Profile, width: usize, color: bool) -> Vec<String> {
    let mut table = Columns::new([Column::Word, Column::Number, Column::Number, Column::Text(30)]);
    table.header(["operation", "invalidations", "share", "order"].map(|name| header(name, color)).to_vec());
    for operation in &profile.operations {
        for (n, Signature { order: stages, count, .. }) in operation.signatures.iter().take(ORDERS).enumerate() {
            let name = if n == 0 { clean(&operation.name) } else { String::new() };
            let all = if n == 0 { units::count(operation.invalidations) } else { String::new() };
            let share = 100.0 * *count as f64 / operation.invalidations.max(1) as f64;
            table.row(vec![name, all, format!("{share:.1} %"), order(stages)]);
        }
        let left = operation.signatures.iter().skip(ORDERS);
        let (others, count) = (left.clone().count(), left.map(|signature| signature.count).sum::<u64>());
        if others > 0 {
            let share = 100.0 * count as f64 / operation.invalidations.max(1) as f64;
            table.row(vec![String::new(), String::new(), format!("{share:.1} %"), format!("{others} others")]);
        }
    }
    table.lines(width)
}

fn times(profile: &Profile, width: usize, color: bool) -> Vec<String> {
    let mut table =
        Columns::new([Column::Word, Column::Text(16), Column::Number, Column::Number, Column::Number, Column::Number]);
    table.header(["operation", "time", "times", "median", "99 %", "longest"].map(|name| header(name, color)).to_vec());
    let us = |ns: u64| units::microseconds(ns as f64 / 1e3);
    for OperationProfile { name, latencies, .. } in profile.operations.iter().take(OPERATIONS) {
        let wanted = latencies.iter().filter(|latency| TIMES.contains(&(latency.from, latency.to)));
        for (n, latency) in wanted.enumerate() {
            table.row(vec![
                if n == 0 { clean(name) } else { String::new() },
                format!("{} to {}", latency.from.name(), latency.to.name()),
                units::count(latency.count),
                us(latency.p50_ns),
                us(latency.p99_ns),
                us(latency.max_ns),
            ]);
        }
    }
    table.lines(width)
}
