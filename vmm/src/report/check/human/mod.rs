//! A check for people: the table, the ways to what failed, and one line that sums it up.

mod finding;
mod steps;
mod summary;
mod table;

pub(super) use finding::{describe, expectation, what};

use super::{Agreement, CheckReport};
use crate::report::text::hanging;

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Columns of the terminal, of which at least 40 are used. Lines that replay and the summary stay whole.
    pub width: usize,
    /// Whether escape sequences for colour are allowed.
    pub color: bool,
    /// Show the way to every failure, and not only to those that nobody expected.
    pub trace: bool,
}

/// The narrowest output.
const NARROWEST: usize = 40;

/// All of it, ending in a newline.
pub(super) fn render(report: &CheckReport, options: &Options) -> String {
    let width = options.width.max(NARROWEST);
    let mut parts = vec![table::heading(&report.files, width), table::render(&report.files, width, options.color)];
    for case in &report.files {
        let shown = match case.agreement {
            Agreement::Agrees => options.trace && case.violated.is_some(),
            Agreement::Disagrees | Agreement::Vacuous => true,
            // There is nothing to see: one line for all of them is enough.
            Agreement::Undecided => false,
        };
        if shown {
            let mut lines = finding::title(case, width, options.color);
            lines.extend(describe(case, width, options.color));
            parts.push(lines);
        }
    }
    parts.push(table::undecided(&report.files, width));
    let broken = report.errors.iter().map(|error| {
        let variant = error.variant.as_deref().map(|variant| format!(" {variant}")).unwrap_or_default();
        format!("{}{variant}: {}", error.path, error.message)
    });
    parts.push(broken.flat_map(|line| hanging("not checked: ", &line, width)).collect());
    parts.push(vec![summary::line(report, options.color)]);
    parts.retain(|part| !part.is_empty());
    parts.into_iter().map(|part| part.join("\n") + "\n").collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
