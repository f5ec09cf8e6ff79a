//! Which pages really left: reclaim takes what it likes, and guests take it back at once.

use crate::{memory::Entry, memory::Pagemap, ops::OperationError};
use nostale_notifier::HvaRange;

/// A range as it was before somebody took pages from it.
pub(super) struct Before {
    range: HvaRange,
    entries: Vec<Entry>,
}

/// The eyes for it.
pub(super) struct Eyes(Pagemap);

const FILE: &str = "/proc/self/pagemap";

impl Eyes {
    pub(super) fn open() -> Result<Self, OperationError> {
        Ok(Self(Pagemap::open().map_err(|source| OperationError::Io { what: FILE, source })?))
    }

    fn look(&self, range: HvaRange) -> Result<Vec<Entry>, OperationError> {
        self.0.entries(range).map_err(|source| OperationError::Io { what: FILE, source })
    }

    pub(super) fn before(&self, range: HvaRange) -> Result<Before, OperationError> {
        Ok(Before { range, entries: self.look(range)? })
    }

    /// Pages that were there then, and have left since: they are absent, or back in another physical page.
    pub(super) fn gone(&self, before: &Before) -> Result<u64, OperationError> {
        Ok(count(&before.entries, &self.look(before.range)?))
    }
}

fn count(before: &[Entry], after: &[Entry]) -> u64 {
    let left = |(before, after): &(&Entry, &Entry)| before.is_present() && (!after.is_present() || before.pfn() != after.pfn());
    before.iter().zip(after).filter(left).count() as u64
}
