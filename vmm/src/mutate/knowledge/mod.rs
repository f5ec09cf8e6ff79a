//! What is known about the places that call the notifier: what a host does to get there, and what nobody could ever notice.
//!
//! This is read from the source of the kernels, not found in the kernel at hand: each piece names the file it is read from. The list
//! of call sites always comes from the kernel; a function that nothing is known about is an unexplained one, and shown as such.

mod callers;
mod equivalence;
mod reference;
#[cfg(test)]
mod tests;

pub use equivalence::{Equivalence, equivalence};
pub use reference::{REFERENCE, Reference};

use super::Kind;
use std::{fmt, str::FromStr};

/// A kernel's version, as far as it decides what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// 6 in 6.12.
    pub major: u32,
    /// 12 in 6.12.
    pub minor: u32,
}

impl FromStr for Release {
    type Err = String;

    /// Reads what `uname -r` says: `6.12.95+deb12-amd64`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: Option<&str>| {
            let digits: String = part.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
            digits.parse().map_err(|_| format!("not a kernel release: {text:?}"))
        };
        let mut parts = text.split('.');
        Ok(Self { major: number(parts.next())?, minor: number(parts.next())? })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// How a run can get to a function that calls the notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By one of these host operations, the most telling first, with a backing where that decides.
    Operations(&'static [&'static str]),
    /// In no way, for this reason.
    Never(&'static str),
}

/// What is known about a function that calls the notifier.
#[derive(Debug)]
pub struct Caller {
    /// Its names: that in the source, and those of functions that compilers have put it into.
    pub functions: &'static [&'static str],
    /// What it changes under a guest.
    pub what: &'static str,
    /// How to get there.
    pub reach: Reach,
    /// The oracles that notice when both its calls are missing.
    pub oracles: &'static [&'static str],
    /// The source file of the kernel that this is read from.
    pub source: &'static str,
}

impl Caller {
    /// The operations that lead there.
    #[must_use]
    pub const fn operations(&self) -> &'static [&'static str] {
        match self.reach {
            Reach::Operations(names) => names,
            Reach::Never(_) => &[],
        }
    }
}

/// What is known about a function, if anything.
#[must_use]
pub fn caller(function: &str) -> Option<&'static Caller> {
    callers::all().find(|caller| caller.functions.contains(&function))
}

/// The oracles that are expected to kill a mutant of this function.
///
/// A missing end alone is a range in which KVM serves no fault any more; a missing start alone makes KVM's count of invalidations in
/// progress negative, and KVM says so in the kernel log. Both whatever the function is about.
#[must_use]
pub fn oracles(function: &str, kind: &Kind) -> &'static [&'static str] {
    match kind {
        Kind::End => &["progress"],
        Kind::Start => &["kernel"],
        Kind::Both => caller(function).map_or(&[], |caller| caller.oracles),
        Kind::Call(_) => &[],
        Kind::RangeEmpty => &["conservation", "finality", "third thread", "freshness", "permission", "kernel"],
        Kind::Sequence | Kind::Retry | Kind::InProgress => &["conservation", "finality", "freshness", "kernel"],
        Kind::Flush => &["conservation", "finality", "freshness", "permission"],
    }
}
