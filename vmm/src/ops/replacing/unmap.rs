//! `unmap`: `munmap` of pages in use, and a new mapping in the same place. Whoever comes by in between meets a hole.

use super::{pipe::PagePipe, thrown::Thrown};
use crate::live::Plant;
use crate::memory::{Backing, Frame, Retired, Span};
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall, wait::until_written};
use crate::oracle::dirty::Written;
use nostale_guest::page::GENERATION;
use nostale_notifier::event::Stage;
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "unmap",
    summary: "munmap and map again in the same place: nobody writes in between, nor to the old pages of private memory",
    usual: &[Backing::ANON],
    more: &[Backing::MEMFD, Backing::FILE_PRIVATE, Backing::HUGETLB_2M, Backing::ANON_THP, Backing::MEMFD_THP],
    effect: |backing| if backing.is_shared() { Effect::Preserves } else { Effect::Discards },
    make: |_, _| Ok(Box::new(Unmap { pipe: PagePipe::new().ok() })),
    not_hugetlb: None,
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

/// How long to wait for the guest to meet the pages before they go: who has no translation of them has none that could be stale.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long to leave the hole open, at times, for somebody to get through who must not.
const OPEN: Duration = Duration::from_millis(5);

struct Unmap {
    pipe: Option<PagePipe>,
}

impl HostOperation for Unmap {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=PagePipe::MOST).min(bed.arena.pages()) };
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        if rng.random_bool(0.5) {
            until_written(bed.system, &claim.pages().collect::<Vec<_>>(), 1, PATIENCE);
        }
        if bed.arena.backing().is_shared() {
            shared(bed, &claim, rng)?;
        } else if !self.private(bed, &claim, rng)? {
            return Ok(Done::Busy);
        }
        Ok(Done::Pages(claim.range().pages()))
    }
}

/// Takes the mapping away, waits a little, and sees that no vCPU has got through.
fn hole(bed: &Bed<'_>, claim: &Span, rng: &mut Rng, opened: impl FnOnce(&mut Rng)) -> Result<(), OperationError> {
    syscall::unmap(claim.range())?;
    let written = Written::since(bed.system, claim.pages());
    opened(rng);
    if rng.random_range(0..8) == 0 {
        until_written(bed.system, &claim.pages().collect::<Vec<_>>(), 2 * bed.system.vcpus() as u32, OPEN);
    }
    bed.judge_closed("nothing was mapped there", &written.must_be_dirty(bed.system));
    let again = bed.arena.map_again(claim);
    again.map_err(OperationError::io("mapping pages again where they were unmapped"))
}

/// The file's pages lie still while they are not mapped, and the witness sees them.
fn shared(bed: &Bed<'_>, claim: &Span, rng: &mut Rng) -> Result<(), OperationError> {
    let generation = bed.arena.next_generation();
    bed.note(Stage::OperationStart, claim.range(), generation);
    hole(bed, claim, rng, |rng| {
        let retired: Vec<(Frame, Retired)> = bed
            .watched(claim)
            .filter_map(|page| Some((page, bed.arena.frame_of(page)?)))
            .map(|(page, frame)| (frame, Retired { page, generation, snapshot: bed.arena.snapshot_frame(frame) }))
            .collect();
        bed.note(Stage::Returned, claim.range(), generation);
        bed.publish(claim, generation);
        bed.dwell(rng);
        retired.iter().for_each(|(frame, retired)| bed.judge_frame(*frame, retired));
        bed.note(Stage::Witnessed, claim.range(), generation);
        // Back home they must be as new as was promised.
        let stamp = |page| {
            bed.arena.frame_of(page).is_some_and(|frame| bed.arena.store_frame_word(frame, GENERATION, generation).is_ok())
        };
        if !claim.pages().all(stamp) {
            bed.take_back(claim);
        }
    })?;
    bed.note(Stage::Restored, claim.range(), generation);
    Ok(())
}

impl Unmap {
    /// The old pages are gone for good; a pipe may still see them.
    fn private(&mut self, bed: &Bed<'_>, claim: &Span, rng: &mut Rng) -> Result<bool, OperationError> {
        let Some(thrown) = Thrown::begin(bed, claim, self.pipe.as_ref(), rng) else { return Ok(false) };
        hole(bed, claim, rng, |rng| bed.dwell(rng))?;
        thrown.returned(bed, claim);
        thrown.end(bed, claim, self.pipe.as_mut(), rng)?;
        Ok(true)
    }
}
