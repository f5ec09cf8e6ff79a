//! Colour, where it is allowed. It only repeats what the words say.

use crate::report::Verdict;
use anstyle::{AnsiColor, Style};

const HEADER: Style = Style::new().bold();

/// A verdict in its colour.
pub(in crate::report) fn verdict(verdict: Verdict, color: bool) -> String {
    let style = match verdict {
        Verdict::Coherent => AnsiColor::Green.on_default(),
        Verdict::Violation | Verdict::Stuck => AnsiColor::Red.on_default().bold(),
        Verdict::Vacuous => AnsiColor::Yellow.on_default(),
        Verdict::Skipped => Style::new().dimmed(),
    };
    painted(verdict.name(), style, color)
}

/// The line above the columns.
pub(in crate::report) fn header(text: &str, color: bool) -> String {
    painted(text, HEADER, color)
}

pub(in crate::report) fn painted(text: &str, style: Style, color: bool) -> String {
    if color { format!("{style}{text}{style:#}") } else { text.to_owned() }
}
