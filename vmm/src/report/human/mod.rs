//! A run for people: the table, what went wrong and how to see it again, and one line that sums it up.

mod finding;
pub(super) mod paint;
mod storm;
pub(super) mod summary;
pub(super) mod table;

pub(super) use finding::describe;
pub(super) use table::reasons;

use super::{RunReport, Verdict, text::hanging, trace};

/// The narrowest output: below it every column that still says something would have to go.
pub(super) const NARROWEST: usize = 40;

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct HumanOptions {
    /// Columns of the terminal, of which at least 40 are used. Two kinds of line stay whole, whatever it is: those that replay,
    /// because they are copied, and the summary, because it is searched for.
    pub width: usize,
    /// Whether escape sequences for colour are allowed. The caller knows about `NO_COLOR` and about terminals.
    pub color: bool,
    /// Rate of the time stamp counter, for times of events.
    pub ticks_per_us: f64,
}

/// All of it, ending in a newline.
#[must_use]
pub fn render(report: &RunReport, options: &HumanOptions) -> String {
    let width = options.width.max(NARROWEST);
    let mut lines = table::render(&report.scenarios, width, options.color);
    let skipped = table::skipped(&report.scenarios, width);
    if !skipped.is_empty() {
        lines.push(String::new());
        lines.extend(skipped);
    }
    let storms = storm::lines(&report.scenarios, width);
    if !storms.is_empty() {
        lines.push(String::new());
        lines.extend(storms);
    }
    for (scenario, figures) in report.scenarios.iter().filter_map(|scenario| Some((scenario, scenario.migration.as_ref()?))) {
        lines.push(String::new());
        lines.extend(hanging(&format!("{} on {}: ", scenario.name, scenario.backing), &figures.to_string(), width));
    }
    for scenario in &report.scenarios {
        if !matches!(scenario.verdict, Verdict::Coherent | Verdict::Skipped) {
            lines.push(String::new());
            let (verdict, title) = (scenario.verdict, format!("{} on {}", scenario.name, scenario.backing));
            let mut title = hanging(&format!("{verdict}: "), &title, width);
            // Coloured only now: escape sequences take no columns.
            title[0] = title[0].replacen(verdict.name(), &paint::verdict(verdict, options.color), 1);
            lines.extend(title);
            lines.extend(describe(scenario, width, options.ticks_per_us));
        }
    }
    if let Some(profile) = &report.trace {
        lines.push(String::new());
        lines.extend(trace::brief(profile, width, options.color));
    }
    if !report.notes.is_empty() {
        lines.push(String::new());
        lines.extend(report.notes.iter().flat_map(|note| hanging("note: ", note, width)));
    }
    lines.push(String::new());
    lines.push(summary::line(report, options.color));
    lines.into_iter().skip_while(String::is_empty).flat_map(|line| [line, "\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests;
