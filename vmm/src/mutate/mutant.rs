//! Mutants: kernels in which one thing is missing.

use super::Patch;
use std::fmt;

/// Which side of the notifier is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Memory management: somebody does not call the notifier.
    Caller,
    /// KVM: it is called, and does not do what it should.
    Kvm,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A function calls neither `invalidate_range_start` nor `invalidate_range_end`: guests keep what they had.
    Both,
    /// A function does not call `invalidate_range_end`: KVM counts an invalidation that never ends, and no fault in its range
    /// can ever be served again.
    End,
    /// A function does not call `invalidate_range_start`, but ends what it never began: KVM's count falls below zero, which it
    /// notices itself (a `BUG` in 6.1, a `WARN` and a dead VM later).
    Start,
    /// A function does not make its other notifier calls of this name.
    Call(String),
    /// KVM finds nothing to unmap in any range.
    RangeEmpty,
    /// The end of an invalidation does not advance the sequence: a fault that began before or within it is not told to retry,
    /// once the invalidation is over.
    Sequence,
    /// Faults never retry.
    Retry,
    /// Faults do not see that an invalidation is in progress, only that one has ended.
    InProgress,
    /// Nobody flushes the TLBs of other virtual CPUs.
    Flush,
}

impl Kind {
    /// Whether KVM's count of invalidations in progress does not come out even. It counts every range, whether that concerns the guest or
    /// not, and a virtual CPU may wait for an end that never comes. All other mutants let accesses through that should wait.
    #[must_use]
    pub const fn unbalances(&self) -> bool {
        matches!(self, Self::Start | Self::End)
    }

    /// Its part of a mutant's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Both => "both",
            Self::End => "end",
            Self::Start => "start",
            Self::Call(callee) => callee,
            Self::RangeEmpty => "range-empty",
            Self::Sequence => "sequence",
            Self::Retry => "retry",
            Self::InProgress => "in-progress",
            Self::Flush => "flush",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What makes a mutant of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These patches, all of them.
    Patches(Vec<Patch>),
    /// Nothing that is known to be right.
    Unpatchable {
        /// Why.
        reason: String,
    },
}

/// A kernel in which one thing is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its name, the same for the same function in every kernel: `wp_page_copy/both`, `kvm/retry`.
    pub id: String,
    /// The function that it is about, by its name in the source.
    pub function: String,
    /// What is missing.
    pub kind: Kind,
    /// On which side.
    pub group: Group,
    /// How it is made.
    pub change: Change,
}

impl Mutant {
    /// The patches, if it can be made.
    #[must_use]
    pub fn patches(&self) -> Option<&[Patch]> {
        match &self.change {
            Change::Patches(patches) => Some(patches),
            Change::Unpatchable { .. } => None,
        }
    }
}
