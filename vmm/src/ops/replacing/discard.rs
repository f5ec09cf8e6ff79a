//! `discard`: contents are thrown away under the guest. `MADV_DONTNEED` on private memory, a punched hole in a file.

use super::{pipe::PagePipe, thrown::Thrown};
use crate::live::Plant;
use crate::memory::{Backing, Span};
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall};
use nostale_notifier::addr::PAGE_SIZE;
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "discard",
    summary: "throw contents away: MADV_DONTNEED on private memory, a punched hole in a file",
    usual: &[Backing::ANON, Backing::ANON_THP, Backing::MEMFD, Backing::HUGETLB_2M_SHARED],
    more: &[Backing::FILE_PRIVATE, Backing::HUGETLB_2M, Backing::HUGETLB_1G_SHARED],
    effect: |_| Effect::Discards,
    make: |_, _| Ok(Box::new(Discard { pipe: PagePipe::new().ok() })),
    not_hugetlb: None,
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

/// Most pages at once.
const MOST: u64 = PagePipe::MOST;

/// How long a huge page is left to readers. It ends for all of them with the first write of any guest.
const FIRST_READS: Duration = Duration::from_micros(50);

struct Discard {
    pipe: Option<PagePipe>,
}

impl HostOperation for Discard {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=MOST).min(bed.arena.pages()) };
        let whole = if bed.arena.backing().is_thp() && rng.random_range(0..8) == 0 { bed.pick_pmd(rng) } else { None };
        let huge = whole.is_some() && !bed.arena.backing().is_shared();
        let Some(claim) = whole.or_else(|| bed.pick(rng, pages, 1)) else { return Ok(Done::Busy) };
        // Of a huge page none is held: readers are to come at once.
        let pipe = self.pipe.as_ref().filter(|_| !huge);
        let Some(thrown) = Thrown::begin(bed, &claim, pipe, rng) else { return Ok(Done::Busy) };
        throw_away(bed, &claim)?;
        thrown.returned(bed, &claim);
        if huge {
            read_first(bed, &claim);
        }
        thrown.end(bed, &claim, self.pipe.as_mut(), rng)?;
        Ok(Done::Pages(claim.range().pages()))
    }
}

/// Where whoever comes first only reads, the huge zero page takes the place of a huge page. Guests come to read it, too, before the first
/// write replaces it (do_huge_pmd_wp_page).
fn read_first(bed: &Bed<'_>, claim: &Span) {
    let _ = bed.arena.primary().load(claim.range().start());
    std::thread::sleep(FIRST_READS);
}

fn throw_away(bed: &Bed<'_>, claim: &Span) -> Result<(), OperationError> {
    if bed.arena.backing().is_shared() {
        // Pages of one claim need not be neighbours in the file once `remap` has been at work.
        let unit = bed.arena.unit();
        for page in claim.pages().step_by(unit as usize) {
            let range = claim.part(page - claim.first(), unit).map(|part| part.range());
            let (Some(frame), Some(range)) = (bed.arena.frame_of(page), range) else { continue };
            syscall::punch_hole(range, bed.arena.file_fd(), u64::from(frame.0) * PAGE_SIZE)?;
        }
        Ok(())
    } else {
        syscall::advise("madvise(DONTNEED)", claim.range(), libc::MADV_DONTNEED)
    }
}
