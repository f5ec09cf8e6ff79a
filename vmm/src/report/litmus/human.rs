//! Litmus tests for people: a table for each, and a line that sums them up.

use super::{LitmusReport, Options, StateRow, TestResult, Verdict};
use crate::report::{
    columns::{Column, Columns},
    human::paint,
    text::{clean, hanging},
    trace, units,
};
use anstyle::{AnsiColor, Style};
use std::collections::BTreeSet;

/// The narrowest output.
const NARROWEST: usize = 40;

pub(super) fn render(report: &LitmusReport, options: &Options) -> String {
    let width = options.width.max(NARROWEST);
    let mut parts: Vec<Vec<String>> = report.tests.iter().map(|test| whole(test, width, options.color)).collect();
    let broken = report.errors.iter().map(|error| {
        let variant = error.variant.as_deref().map(|variant| format!(" {variant}")).unwrap_or_default();
        format!("{}{variant}: {}", error.path, error.message)
    });
    parts.push(broken.flat_map(|line| hanging("not run: ", &line, width)).collect());
    parts.push(report.trace.iter().flat_map(|profile| trace::brief(profile, width, options.color)).collect());
    parts.push(report.alarms.iter().flat_map(|alarm| hanging("kernel: ", &clean(alarm), width)).collect());
    parts.push(vec![summary(report, options.color)]);
    parts.retain(|part| !part.is_empty());
    parts.into_iter().map(|part| part.join("\n") + "\n").collect::<Vec<_>>().join("\n")
}

fn whole(test: &TestResult, width: usize, color: bool) -> Vec<String> {
    let title = format!("{} {}: {}", clean(&test.path), clean(&test.name()), clean(&test.model));
    let mut lines = hanging("", &title, width);
    lines.extend(table(test, width, color));
    if let Some(reason) = &test.reason {
        let verdict = paint::painted(test.verdict.name(), style(test.verdict), color);
        let mut said = hanging(&format!("{}: ", test.verdict.name()), &clean(reason), width);
        if let Some(first) = said.first_mut() {
            *first = first.replacen(test.verdict.name(), &verdict, 1);
        }
        lines.extend(said);
        lines.push(format!("replay: {}", test.replay));
    }
    lines
}

/// The states of a test, and how fast it ran.
pub(super) fn table(test: &TestResult, width: usize, color: bool) -> Vec<String> {
    let places: Vec<&str> = [("soft", test.soft.is_some()), ("kvm", test.kvm.is_some())]
        .into_iter()
        .filter(|(_, ran)| *ran)
        .map(|(place, _)| place)
        .collect();
    let kinds = test.columns.iter().map(|_| Column::Word).chain([Column::Word]);
    let seen = places.iter().flat_map(|_| [Column::Number; 3]);
    let mut columns = Columns::new(kinds.chain(seen).chain([Column::Text(16)]));
    let mut header: Vec<String> = test.columns.iter().map(|column| clean(column)).collect();
    header.push("model".to_owned());
    header.extend(places.iter().flat_map(|place| [place, "in a million", "first"]).map(str::to_owned));
    header.push(String::new());
    columns.header(header.iter().map(|title| paint::header(title, color)).collect());
    for row in &test.states {
        columns.row(cells(test, row, color));
    }
    let mut lines = columns.lines(width);
    lines.extend(rates(test).into_iter().flat_map(|line| hanging("", &line, width)));
    for never in &test.never_seen {
        lines.extend(hanging("warning: ", &format!("allowed, but never seen on {}: {}", never.on, clean(&never.state)), width));
    }
    lines
}

fn cells(test: &TestResult, row: &StateRow, color: bool) -> Vec<String> {
    let mut cells: Vec<String> = row.values.iter().map(|value| clean(value)).collect();
    // A state that is no finished one has no values: it is named behind the row.
    cells.resize(test.columns.len(), "-".to_owned());
    let times = row.times();
    let is_bad = row.violates.is_some();
    let style = match (&*row.model, is_bad, times) {
        ("allowed", false, _) => Style::new(),
        ("allowed", true, _) => AnsiColor::Yellow.on_default(),
        (_, _, 0) => Style::new().dimmed(),
        _ => AnsiColor::Red.on_default().bold(),
    };
    cells.push(paint::painted(&row.model, style, color));
    for seen in row.soft.iter().chain(&row.kvm) {
        let rate = if seen.times == 0 { "-".to_owned() } else { per_million(seen.per_million) };
        cells.extend([units::count(seen.times), rate, seen.first_us.map_or("-".to_owned(), units::microseconds)]);
    }
    let mut notes = Vec::new();
    if row.end != "finished" {
        notes.push(clean(&row.state));
    } else if let Some(why) = &row.violates {
        notes.push(clean(why));
    }
    if !row.allowed_under.is_empty() {
        notes.push(format!("allowed under {}", row.allowed_under.join(", ")));
    }
    if row.model != "allowed" && times > 0 {
        notes.push("SEEN, NOT ALLOWED".to_owned());
    }
    cells.push(notes.join("; "));
    cells
}

/// Two digits of what is rare, and no more of what is not.
pub(super) fn per_million(rate: f64) -> String {
    if rate >= 100.0 {
        format!("{rate:.0}")
    } else if rate >= 1.0 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.2e}")
    }
}

fn rates(test: &TestResult) -> Vec<String> {
    let explored = test.explored.iter().map(|explored| {
        let all = if explored.exhausted { "all" } else { "the first" };
        format!("model: {all} {} states in {}", units::count(explored.states), units::microseconds(explored.seconds * 1e6))
    });
    let soft = test.soft.iter().map(|ran| {
        let (count, time) = (units::count(ran.instances), units::microseconds(ran.seconds * 1e6));
        format!("soft: {count} instances in {time}, {} a second", units::rate(ran.instances_per_second))
    });
    let kvm = test.kvm.iter().map(|ran| {
        let (count, time) = (units::count(ran.instances), units::microseconds(ran.seconds * 1e6));
        let (calls, installs, dropped) = (units::count(ran.operations), units::count(ran.installs), units::count(ran.invalidations));
        let rate = units::rate(ran.instances_per_second);
        format!("kvm: {count} instances in {time}, {rate} a second; {calls} system calls, {installs} SPTEs installed, {dropped} flushes")
    });
    let skipped = test.kvm_skipped.iter().map(|why| format!("kvm: skipped: {}", clean(why)));
    explored.chain(soft).chain(kvm).chain(skipped).collect()
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Agrees => AnsiColor::Green.on_default(),
        Verdict::Forbidden | Verdict::Unexpected => AnsiColor::Red.on_default().bold(),
        Verdict::Bounded | Verdict::Vacuous => AnsiColor::Yellow.on_default(),
    }
}

fn summary(report: &LitmusReport, color: bool) -> String {
    let interrupted = if report.interrupted { "interrupted, so far " } else { "" };
    let broken = if report.errors.is_empty() { String::new() } else { format!("; {} could not be run", report.errors.len()) };
    let files: BTreeSet<_> = report.tests.iter().map(|test| &test.path).collect();
    let kinds = [
        (Verdict::Forbidden, "in which a state was seen that is not allowed"),
        (Verdict::Unexpected, "of which the model allows a bad state"),
        (Verdict::Bounded, "that were not explored to the end"),
        (Verdict::Vacuous, "that were vacuous on real KVM"),
    ];
    let kernel = report.host.iter().filter(|_| report.tests.iter().any(|test| test.kvm.is_some()));
    let kernel: String = kernel.map(|host| format!(" of {} ({})", clean(&host.kernel), host.mmu)).collect();
    let count = |verdict| report.tests.iter().filter(|test| test.verdict == verdict).count();
    let exceptions = kinds.into_iter().filter(|(verdict, _)| count(*verdict) > 0);
    let mut exceptions: Vec<_> = exceptions
        .map(|(verdict, words)| paint::painted(&format!("{} {words}", count(verdict)), style(verdict), color))
        .collect();
    if exceptions.is_empty() {
        exceptions.push(paint::painted("all agree", style(Verdict::Agrees), color));
    }
    let never: usize = report.tests.iter().map(|test| test.never_seen.len()).sum();
    let never = if never > 0 { format!("; {never} allowed states were never seen") } else { String::new() };
    let soft: u64 = report.tests.iter().filter_map(|test| test.soft.as_ref()).map(|ran| ran.instances).sum();
    let kvm: u64 = report.tests.iter().filter_map(|test| test.kvm.as_ref()).map(|ran| ran.instances).sum();
    let ran = |instances: u64, place: &str| {
        if instances > 0 { format!("; {} instances on {place}", units::count(instances)) } else { String::new() }
    };
    let ran = ran(soft, "soft") + &ran(kvm, &format!("kvm{kernel}"));
    let (orderings, tests) = (report.tests.len(), files.len());
    let s = |n: usize| if n == 1 { "" } else { "s" };
    format!(
        "{interrupted}{tests} test{}, {orderings} ordering{}: {}{never}{ran} (seed {:#x}){broken}",
        s(tests),
        s(orderings),
        exceptions.join(", "),
        report.seed
    )
}
