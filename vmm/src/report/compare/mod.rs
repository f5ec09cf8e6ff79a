//! What two recordings of a kernel's invalidations differ in, for people and programs. The JSON schema is
//! [`Comparison`].

mod forms;
mod human;
mod read;
mod tables;
#[cfg(test)]
mod tests;

pub use read::{NoProfile, read};

use super::{Format, json, junit, ktap};
use nostale_notifier::trace::compare::{Comparison, ComparisonVerdict};

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether escape sequences for colour are allowed.
    pub color: bool,
}

/// The exit status: a difference counts if it has to do with the rules.
#[must_use]
pub const fn exit_status(comparison: &Comparison) -> u8 {
    match comparison.verdict {
        ComparisonVerdict::NothingRelevant => 0,
        ComparisonVerdict::Relevant => 1,
        ComparisonVerdict::Incomparable => 3,
    }
}

/// The comparison in this form, ending in a newline.
#[must_use]
pub fn render(comparison: &Comparison, format: Format, options: &Options) -> String {
    match format {
        Format::Human => human::render(comparison, options),
        Format::Json => json::document(comparison),
        Format::Ktap => ktap::document(&forms::tests(comparison), &forms::notes(comparison), forms::NOTHING),
        Format::Junit => junit::document(
            "nostale compare",
            &forms::properties(comparison),
            &forms::tests(comparison),
            &forms::notes(comparison),
        ),
    }
}

/// The line that does it again.
fn replay(comparison: &Comparison) -> String {
    format!("nostale compare {} {} --alpha {}", comparison.a.path, comparison.b.path, comparison.alpha)
}
