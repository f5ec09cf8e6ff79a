//! What became of pages: where the page tables of this process have them, before and after, and what the kernel says it did.
//!
//! Other operations give pages new places, too, and take them away for a while: a page table by itself does not tell who it was. So an
//! operation claims no more than the kernel has counted of its kind of work in the meantime.

use super::OperationError;
use crate::{
    host::vmstat::{self, Events},
    memory::{Backing, BackingKind, Entry, Pagemap},
};
use nostale_notifier::{HvaRange, Pfn};

pub(super) const PAGEMAP: &str = "/proc/self/pagemap";

/// The eyes for it.
pub(super) struct Eyes(Pagemap);

/// A range as it was before somebody did something to its pages.
pub(super) struct Before {
    range: HvaRange,
    entries: Vec<Entry>,
    events: Events,
    counted: u64,
}

/// What the kernel counts when it reclaims pages of `backing`.
pub(super) fn reclaim_of(backing: Backing) -> Events {
    // Those of a file that guests write to are dirty, and have to be written before they can go.
    if backing.kind == BackingKind::FileShared { Events::UNMAPPED } else { Events::RECLAIMED }
}

/// How often the kernel has counted `events` until now.
pub(super) fn counted(events: Events) -> Result<u64, OperationError> {
    events.count().map_err(OperationError::io(vmstat::FILE))
}

impl Eyes {
    pub(super) fn open() -> Result<Self, OperationError> {
        Pagemap::open().map(Self).map_err(OperationError::io(PAGEMAP))
    }

    /// What the page table has for each page of `range`.
    pub(super) fn entries(&self, range: HvaRange) -> Result<Vec<Entry>, OperationError> {
        self.0.entries(range).map_err(OperationError::io(PAGEMAP))
    }

    /// The physical page behind each page of `range`.
    pub(super) fn pfns(&self, range: HvaRange) -> Result<Vec<Option<Pfn>>, OperationError> {
        self.0.pfns(range).map_err(OperationError::io(PAGEMAP))
    }

    /// Looks at `range`, to which something is about to be done that the kernel counts as `events`.
    pub(super) fn before(&self, range: HvaRange, events: Events) -> Result<Before, OperationError> {
        Ok(Before { range, entries: self.entries(range)?, events, counted: counted(events)? })
    }

    /// Pages that were there then, and have left since: they are absent, or back in another physical page.
    pub(super) fn gone(&self, before: &Before) -> Result<u64, OperationError> {
        self.changed(before, left)
    }

    /// Pages that were there then, and are now in another physical page.
    pub(super) fn moved(&self, before: &Before) -> Result<u64, OperationError> {
        self.changed(before, |then, now| now.is_present() && left(then, now))
    }

    fn changed(&self, before: &Before, how: impl Fn(Entry, Entry) -> bool) -> Result<u64, OperationError> {
        let worked = counted(before.events)?.saturating_sub(before.counted);
        let now = self.entries(before.range)?;
        let changed = before.entries.iter().zip(now).filter(|&(&then, now)| how(then, now)).count() as u64;
        Ok(changed.min(worked))
    }
}

fn left(then: Entry, now: Entry) -> bool {
    then.is_present() && (!now.is_present() || then.pfn() != now.pfn())
}
