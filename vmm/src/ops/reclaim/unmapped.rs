//! `reclaim-unmapped`: a huge page of shmem goes that no process maps any more. Where its VMA is cut in two, the huge entry is dropped
//! and nothing takes its place (mm/huge_memory.c, `__split_huge_pmd_locked`); and of a page that nobody maps, reclaim tells nobody
//! (mm/vmscan.c, `shrink_folio_list`: `try_to_unmap` if `folio_mapped`). So the one who drops the entry must have told the guest, or it
//! goes on writing to a page that is free.
//!
//! In a control group of version 2 alone: on Linux 6.18.44 with version 1 the kernel lost count of the references to a group whose huge
//! shmem pages were swapped out and collapsed again ("refcount_t: underflow" from `css_killed_work_fn`, then "page_counter underflow").

use super::group::{self, Member};
use crate::host::{facts::Facts, vmstat::Events};
use crate::memory::{Backing, BackingKind, Span};
use crate::ops::{
    Bed, Done, Effect, HostOperation, Made, Operation, OperationError, Rng, eyes, huge, syscall, wait::until_written,
};
use nostale_notifier::event::Stage;
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "reclaim-unmapped",
    summary: "cut the VMA of a huge shmem page, so that nobody maps it, and reclaim it at once",
    usual: &[Backing::MEMFD_THP],
    weight: 4,
    effect: |backing| match (backing.kind, backing.is_thp()) {
        (BackingKind::Memfd, true) => Effect::Preserves,
        _ => Effect::Inapplicable("only the huge entry of a shmem page is dropped when its VMA is cut"),
    },
    needs: |facts, backing| {
        group::needs(facts, backing)?;
        facts.need_unified_memory_group()?;
        facts.need_collapse()
    },
    settings: group::settings,
    make,
    not_hugetlb: Some("hugetlb pages are neither cut up nor reclaimed"),
    ..Operation::USUAL
};

/// Pages at which guests are awaited, so that they have a translation of the huge page.
const MET: usize = 4;
/// How long to wait for them, and for host threads to leave the arena.
const PATIENCE: Duration = Duration::from_millis(5);

fn make(bed: &Bed<'_>, facts: &Facts) -> Made {
    // A host thread that came by would map the page again.
    bed.arena.use_devices();
    Ok(Box::new(Unmapped { group: Member::join(facts)? }))
}

struct Unmapped {
    group: Member,
}

impl HostOperation for Unmapped {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let Some(claim) = bed.pick_pmd(rng) else { return Ok(Done::Busy) };
        if !huge::collapse(claim.range())? {
            return Ok(Done::Busy);
        }
        let met: Vec<u64> = (0..MET).map(|_| rng.random_range(claim.pages())).collect();
        until_written(bed.system, &met, 1, PATIENCE);
        let Some(_still) = bed.arena.devices().and_then(|devices| devices.stop(PATIENCE)) else { return Ok(Done::Busy) };
        if let Some(witness) = bed.arena.witness() {
            syscall::advise("madvise(DONTNEED)", witness, libc::MADV_DONTNEED)?;
        }
        syscall::advise_gently("madvise(COLD)", claim.range(), libc::MADV_COLD)?;
        let Some(part) = claim.part(rng.random_range(1..claim.range().pages() - 1), 1) else { return Ok(Done::Busy) };
        let before = eyes::counted(Events::RECLAIMED)?;
        bed.note(Stage::OperationStart, claim.range(), 0);
        // A flag that means nothing to memory itself: no page table is looked at but to cut it.
        syscall::advise("madvise(DONTDUMP)", part.range(), libc::MADV_DONTDUMP)?;
        let gone = self.reclaim(&claim, before);
        bed.note(Stage::Returned, claim.range(), 0);
        syscall::advise("madvise(DODUMP)", claim.range(), libc::MADV_DODUMP)?;
        Ok(match gone? {
            0 => Done::Busy,
            pages => Done::Pages(pages),
        })
    }

    fn method(&self) -> Option<&'static str> {
        Some(self.group.method())
    }
}

impl Unmapped {
    /// Has as much reclaimed as the span is large, and gives how many of its pages are gone. Those that guests want are back at once.
    fn reclaim(&self, span: &Span, before: u64) -> Result<u64, OperationError> {
        self.group.reclaim(span.range().pages())?;
        let absent = syscall::absent(span.range())?;
        Ok(absent.min(eyes::counted(Events::RECLAIMED)?.saturating_sub(before)))
    }
}
