//! When a run of real threads has seen enough.

use std::time::Duration;

/// When a run has seen enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// After so many instances, or a few more.
    Instances(u64),
    /// After so long.
    For(Duration),
}

impl Until {
    /// Whether so many instances in so much time are enough.
    #[must_use]
    pub fn is_enough(self, instances: u64, elapsed: Duration) -> bool {
        match self {
            Self::Instances(wanted) => instances >= wanted,
            Self::For(time) => elapsed >= time,
        }
    }
}
