//! A matrix for people: the kernels side by side, what could not run, the kernels themselves, what went wrong, and one line.

use super::{KernelResult, MatrixReport, kernels, skipped, table};
use crate::report::{
    HumanOptions, ScenarioResult, Verdict,
    human::{NARROWEST, describe, paint, summary},
    text::{clean, hanging},
    trace,
};

/// All of it, ending in a newline.
pub(super) fn render(report: &MatrixReport, options: &HumanOptions) -> String {
    let width = options.width.max(NARROWEST);
    let mut parts = vec![table::render(&report.kernels, width, options.color), skipped::render(&report.kernels, width)];
    parts.push(kernels::render(&report.kernels, width, options.color));
    parts.extend(report.kernels.iter().flat_map(|kernel| details(kernel, width, options.color)));
    parts.push(notes(report, width));
    parts.push(vec![summary(report, options.color)]);
    let parts = parts.into_iter().filter(|part| !part.is_empty()).map(|part| part.join("\n") + "\n");
    parts.collect::<Vec<_>>().join("\n")
}

/// What went wrong in a kernel: a part for each scenario, or one for all of it.
fn details(kernel: &KernelResult, width: usize, color: bool) -> Vec<Vec<String>> {
    let titled = |verdict: Verdict, title: &str| {
        let mut lines = hanging(&format!("{verdict}: "), title, width);
        // Coloured only now: escape sequences take no columns.
        lines[0] = lines[0].replacen(verdict.name(), &paint::verdict(verdict, color), 1);
        lines
    };
    let mut parts = Vec::new();
    for scenario in &kernel.scenarios {
        if !matches!(scenario.verdict, Verdict::Coherent | Verdict::Skipped) {
            let mut lines = titled(scenario.verdict, &format!("{}: {} on {}", kernel.name(), scenario.name, scenario.backing));
            lines.extend(describe(scenario, width, kernel.logs.ticks_per_us));
            parts.push(lines);
        }
    }
    if let (true, Some(reason)) = (kernel.scenarios.is_empty(), &kernel.reason) {
        parts.push(titled(kernel.verdict, &format!("{}: {reason}", kernel.name())));
    }
    if let Some(profile) = &kernel.trace {
        let mut lines = trace::brief(profile, width, color);
        if let Some(first) = lines.first_mut() {
            *first = format!("{}: {first}", kernel.name());
        }
        parts.push(lines);
    }
    let said = last_words(kernel, width);
    match parts.last_mut() {
        Some(last) if kernel.verdict != Verdict::Coherent => last.extend(said),
        _ => {}
    }
    parts
}

/// What a kernel said when it died.
pub(super) fn last_words(kernel: &KernelResult, width: usize) -> Vec<String> {
    let said = &kernel.logs.last_words;
    if said.is_empty() {
        return Vec::new();
    }
    let title = "  its console:".to_owned();
    let cut = |line: &str| clean(line).chars().take(width.saturating_sub(4)).collect::<String>();
    let lines = said.iter().map(|line| format!("    {}", cut(line)).trim_end().to_owned());
    std::iter::once(title).chain(lines).collect()
}

/// Notes on the whole, and those of kernels: what several say, once.
fn notes(report: &MatrixReport, width: usize) -> Vec<String> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for kernel in &report.kernels {
        for note in own_notes(kernel) {
            match all.iter_mut().find(|(known, _)| *known == note) {
                Some((_, kernels)) => kernels.push(kernel.name()),
                None => all.push((note, vec![kernel.name()])),
            }
        }
    }
    let of_kernels = all.iter().map(|(note, kernels)| format!("{}: {note}", kernels.join(", ")));
    of_kernels.chain(report.notes.iter().cloned()).flat_map(|note| hanging("note: ", &note, width)).collect()
}

/// What should be known about a kernel beside its results.
pub(super) fn own_notes(kernel: &KernelResult) -> Vec<String> {
    let mut notes = kernel.notes.clone();
    if kernel.confirmed == Some(true) {
        notes.push("what went wrong was seen again in a second machine".to_owned());
    }
    match kernel.damaged.len() {
        0 => {}
        1 => notes.push(format!("a line that came out of the machine was no message: {}", kernel.damaged[0])),
        n => notes.push(format!("{n} lines that came out of the machine were no messages, the first: {}", kernel.damaged[0])),
    }
    notes
}

fn summary(report: &MatrixReport, color: bool) -> String {
    let all: Vec<&ScenarioResult> = report.kernels.iter().flat_map(|kernel| &kernel.scenarios).collect();
    let interrupted = if report.interrupted { "interrupted, so far " } else { "" };
    let kernels = if report.kernels.len() == 1 { "1 kernel".to_owned() } else { format!("{} kernels", report.kernels.len()) };
    let came_to = if all.is_empty() { "nothing ran".to_owned() } else { summary::came_to(&all) };
    format!("{interrupted}{}: {kernels}, {came_to} (seed {:#x})", paint::verdict(report.verdict, color), report.seed)
}
