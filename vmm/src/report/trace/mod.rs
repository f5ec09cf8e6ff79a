//! The profile of a recording, in the forms in which people and machines read it.

mod forms;
mod human;

pub use forms::render;
pub(crate) use human::brief;

use nostale_notifier::trace::profile::{OrderVerdict, Profile};

/// How it is shown to people.
#[derive(Clone, Copy, Debug)]
pub struct TraceShown {
    /// Columns.
    pub width: usize,
    /// Whether colours are allowed.
    pub color: bool,
}

/// The exit status of a call that came to this.
#[must_use]
pub const fn exit_status(profile: &Profile) -> u8 {
    match profile.verdict {
        OrderVerdict::Held => 0,
        OrderVerdict::Broken => 1,
        OrderVerdict::Vacuous => 3,
    }
}

/// Its name in results.
pub(crate) const fn verdict_name(verdict: OrderVerdict) -> &'static str {
    match verdict {
        OrderVerdict::Held => "held",
        OrderVerdict::Broken => "broken",
        OrderVerdict::Vacuous => "vacuous",
    }
}
