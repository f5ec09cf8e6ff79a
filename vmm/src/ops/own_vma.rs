//! A range cut out as a VMA of its own, which the guest has mapped again since.
//!
//! Cutting a VMA invalidates by itself: vma_adjust_trans_huge → split_huge_pmd_address (mm/huge_memory.c) calls the notifier for
//! the whole PMD around the cut, even where nothing is huge. An operation that cuts first and forgets to invalidate afterwards is
//! hidden by that, but for the moment in between. On a range that is a VMA already it stands alone.

use super::{Bed, OperationError, syscall, wait::until_written};
use crate::memory::Span;
use nostale_notifier::HvaRange;
use std::time::Duration;

/// How long to wait for the guest. Hot pages are met within microseconds; under emulation, within milliseconds.
const BOUND: Duration = Duration::from_millis(2);

/// The range, until it is dropped.
pub(super) struct OwnVma(HvaRange);

impl OwnVma {
    /// Cuts the claimed pages out and waits until a vCPU has written to one of them, but not for ever.
    pub(super) fn cut(bed: &Bed<'_>, claim: &Span) -> Result<Self, OperationError> {
        // A flag of the VMA that changes nothing but core dumps: neighbours without it are not merged with.
        syscall::advise("madvise(DONTDUMP)", claim.range(), libc::MADV_DONTDUMP)?;
        let own = Self(claim.range());
        until_written(bed.system, &claim.pages().collect::<Vec<_>>(), 1, BOUND);
        Ok(own)
    }
}

impl Drop for OwnVma {
    fn drop(&mut self) {
        // Where this fails the VMA only stays as it is, out of core dumps.
        let _ = syscall::advise("madvise(DODUMP)", self.0, libc::MADV_DODUMP);
    }
}
