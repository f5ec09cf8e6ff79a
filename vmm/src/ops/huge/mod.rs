//! Huge pages, gathered and cut up. Each operation needs what the other does to start from.

mod collapse;
mod khugepaged;
mod split;
mod unshare;

use super::{Effect, Operation, OperationError, Rng, syscall};
use crate::memory::{Backing, BackingKind};
use nix::errno::Errno;
use nostale_notifier::HvaRange;
use rand::RngExt;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] =
    &[&collapse::OPERATION, &khugepaged::OPERATION, &split::OPERATION, &unshare::OPERATION];

/// Only memory that may have huge pages.
pub(in crate::ops) fn huge_only(backing: Backing) -> Effect {
    match (backing.kind, backing.is_large()) {
        (_, false) => Effect::Inapplicable("advised against huge pages; the -thp backings have them"),
        (BackingKind::Anon | BackingKind::Memfd, true) => Effect::Preserves,
        // include/linux/huge_mm.h and mm/huge_memory.c, file_thp_enabled: read-only files alone, where the kernel has it at all.
        (BackingKind::FileShared | BackingKind::FilePrivate, true) => {
            Effect::Inapplicable("the kernel collapses no file that is open for writing")
        }
    }
}

/// Collapses one PMD's worth of pages. `false` when the kernel could not just now (pages in flight, no free huge page).
pub(crate) fn collapse(range: HvaRange) -> Result<bool, OperationError> {
    const MADV_COLLAPSE: i32 = 25;
    match syscall::advise("madvise(COLLAPSE)", range, MADV_COLLAPSE) {
        Ok(()) => Ok(true),
        // EAGAIN, EBUSY and ENOMEM are for the moment (madvise(2)). So is EINVAL, on a range that could be collapsed a moment ago:
        // mm/khugepaged.c, madvise_collapse_errno, gives it for pages that happen not to be present, too.
        Err(OperationError::Call { errno: Errno::EAGAIN | Errno::EBUSY | Errno::ENOMEM | Errno::EINVAL, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the huge page at `range` itself apart, into base pages with the same contents: a part of it is said to be cold
/// (mm/madvise.c, `madvise_cold_or_pageout_pte_range`). Only if nobody else has it mapped.
pub(in crate::ops) fn take_apart(range: HvaRange, rng: &mut Rng) -> Result<(), OperationError> {
    if let Some(part) = range.part(rng.random_range(1..range.pages() - 1), 1) {
        syscall::advise_gently("madvise(COLD)", part, libc::MADV_COLD)?;
    }
    Ok(())
}

/// Takes write access to one page of `range` away and gives it back: the VMA is cut, and the PMD with it.
pub(in crate::ops) fn cut_up(range: HvaRange, rng: &mut Rng) -> Result<(), OperationError> {
    if let Some(part) = range.part(rng.random_range(1..range.pages() - 1), 1) {
        syscall::protect(part, libc::PROT_READ)?;
        syscall::protect(part, libc::PROT_READ | libc::PROT_WRITE)?;
    }
    Ok(())
}
