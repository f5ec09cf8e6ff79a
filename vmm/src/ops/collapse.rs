//! `collapse`: base pages are copied into one huge page (`MADV_COLLAPSE`), new pfns with the same contents.

use super::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, split, syscall};
use crate::memory::{Backing, BackingKind};
use nix::errno::Errno;
use nostale_notifier::{HvaRange, event::Stage};

/// The operation.
pub(super) static OPERATION: Operation = Operation {
    name: "collapse",
    summary: "MADV_COLLAPSE: copy base pages into a huge page, after cutting the last one up",
    effect: huge_only,
    needs: |facts, _| facts.need_collapse(),
    make: |_, _| Ok(Box::new(Collapse)),
};

/// Only memory that may have huge pages.
pub(super) fn huge_only(backing: Backing) -> Effect {
    match (backing.kind, backing.huge) {
        (_, false) => Effect::Inapplicable("advised against huge pages; the -thp backings have them"),
        (BackingKind::Anon | BackingKind::Memfd, true) => Effect::Preserves,
        // include/linux/huge_mm.h and mm/huge_memory.c, file_thp_enabled: read-only files alone, where the kernel has it at all.
        (BackingKind::FileShared | BackingKind::FilePrivate, true) => {
            Effect::Inapplicable("the kernel collapses no file that is open for writing")
        }
    }
}

struct Collapse;

impl HostOperation for Collapse {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let Some(claim) = bed.pick_pmd(rng) else { return Ok(Done::Busy) };
        split::by_protection(claim.range(), rng)?;
        bed.note(Stage::OperationStart, claim.range(), 0);
        let collapsed = collapse(claim.range())?;
        bed.note(Stage::Returned, claim.range(), 0);
        Ok(if collapsed { Done::Pages(claim.range().pages()) } else { Done::Busy })
    }
}

/// Collapses one PMD's worth of pages. `false` when the kernel could not just now (pages in flight, no free huge page).
pub(super) fn collapse(range: HvaRange) -> Result<bool, OperationError> {
    const MADV_COLLAPSE: i32 = 25;
    match syscall::advise("madvise(COLLAPSE)", range, MADV_COLLAPSE) {
        Ok(()) => Ok(true),
        // EAGAIN, EBUSY and ENOMEM are for the moment (madvise(2)). So is EINVAL, on a range that could be collapsed a moment ago:
        // mm/khugepaged.c, madvise_collapse_errno, gives it for pages that happen not to be present, too.
        Err(OperationError::Call { errno: Errno::EAGAIN | Errno::EBUSY | Errno::ENOMEM | Errno::EINVAL, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
