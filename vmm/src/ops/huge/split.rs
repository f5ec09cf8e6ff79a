//! `split`: a huge translation is cut up because a part of it is treated differently (`__split_huge_pmd`).

use crate::live::Plant;
use crate::memory::Backing;
use crate::memory::Span;
use crate::ops::{Bed, Done, HostOperation, Operation, OperationError, Rng, huge, moving::mremap, syscall};
use nostale_notifier::event::Stage;
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "split",
    summary: "cut a huge page up by protecting or moving a part of it, then collapse it again",
    usual: &[Backing::ANON_THP, Backing::MEMFD_THP],
    effect: huge::huge_only,
    needs: |facts, _| facts.need_collapse(),
    make: |_, _| Ok(Box::new(Split)),
    not_hugetlb: Some("hugetlb pages are never cut up"),
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

struct Split;

impl HostOperation for Split {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let Some(claim) = bed.pick_pmd(rng) else { return Ok(Done::Busy) };
        // Nothing to split otherwise; a failure only means that the pages are small already.
        let huge = huge::collapse(claim.range())?;
        bed.note(Stage::OperationStart, claim.range(), 0);
        if rng.random_bool(0.5) {
            huge::cut_up(claim.range(), rng)?;
        } else {
            by_moving(bed, &claim, rng)?;
        }
        bed.note(Stage::Returned, claim.range(), 0);
        Ok(if huge { Done::Pages(claim.range().pages()) } else { Done::Busy })
    }
}

/// Unmaps one page from the middle by moving it away, and brings it back.
fn by_moving(bed: &Bed<'_>, claim: &Span, rng: &mut Rng) -> Result<(), OperationError> {
    let middle = rng.random_range(1..claim.range().pages() - 1);
    let (Some(page), Some(away)) = (claim.part(middle, 1), bed.arena.away(claim.first() + middle, 1)) else { return Ok(()) };
    let generation = bed.arena.next_generation();
    syscall::move_pages_to(page.range(), away.start(), 0)?;
    mremap::watch_away(bed, &page, away, generation, rng);
    syscall::move_pages_to(away, page.range().start(), 0)
}
