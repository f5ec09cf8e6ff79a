//! `mremap`: pages go away and come back. `move_page_tables` in the kernel, with its short cuts for whole PMDs.

use crate::live::Plant;
use crate::memory::Backing;
use crate::memory::Span;
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall};
use nostale_notifier::{Hva, HvaRange, event::Stage};
use rand::RngExt;

/// All ways of moving there and back.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "mremap",
    summary: "move pages away and back: ranges, single pages, onto an occupied place, whole PMDs, into an earlier VMA",
    usual: &[Backing::ANON, Backing::HUGETLB_2M],
    more: &[Backing::ANON_THP, Backing::ANON_MTHP, Backing::MEMFD, Backing::FILE_PRIVATE, Backing::HUGETLB_1G],
    effect: |_| Effect::Preserves,
    make: |_, _| Ok(Box::new(Mremap { only: None })),
    not_hugetlb: None,
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

/// Only the way of seed S0: the second half of a range follows the first, so that its destination merges into the VMA that the
/// first half has made, an *earlier* one in the list that rmap walks.
pub(in crate::ops) static MERGE: Operation = Operation {
    name: "mremap-merge",
    summary: "move pages so that the destination merges into an earlier VMA (the bad order of rmap_walk)",
    effect: |_| Effect::Preserves,
    make: |_, _| Ok(Box::new(Mremap { only: Some(Way::Merge) })),
    not_hugetlb: None,
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

#[derive(Clone, Copy, Debug)]
enum Way {
    Range,
    Single,
    Occupied,
    Pmd,
    Merge,
}

struct Mremap {
    only: Option<Way>,
}

impl HostOperation for Mremap {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let way = self.only.unwrap_or_else(|| match rng.random_range(0..16) {
            0..6 => Way::Single,
            6..10 => Way::Range,
            10..12 => Way::Occupied,
            12..15 => Way::Merge,
            _ => Way::Pmd,
        });
        let claim = match way {
            Way::Single | Way::Occupied => bed.pick(rng, 1, 1),
            Way::Range => {
                let pages = rng.random_range(2..=32).min(bed.arena.pages());
                bed.pick(rng, pages, 1)
            }
            Way::Merge => {
                let halves = 2 * bed.arena.unit() * if bed.arena.unit() == 1 { rng.random_range(1..=8) } else { 1 };
                bed.pick(rng, halves.min(bed.arena.pages()), 1)
            }
            Way::Pmd => bed.pick_pmd(rng),
        };
        let Some(claim) = claim else { return Ok(Done::Busy) };
        let away = bed.arena.away(claim.first(), claim.range().pages());
        let Some(away) = away else { return Ok(Done::Busy) };
        if matches!(way, Way::Occupied) && !bed.arena.backing().is_hugetlb() {
            // Something that was used must make room: its pages are unmapped in the same call.
            syscall::map_anonymous(away)?;
            bed.stamp_generation(away, 1);
        }
        let generation = bed.arena.next_generation();
        bed.note(Stage::OperationStart, claim.range(), generation);
        // A single huge page has no halves.
        let pieces = if matches!(way, Way::Merge) && claim.range().pages() > bed.arena.unit() { 2 } else { 1 };
        transfer(claim.range(), away, pieces)?;
        watch_away(bed, &claim, away, generation, rng);
        transfer(away, claim.range(), pieces)?;
        bed.note(Stage::Restored, claim.range(), generation);
        Ok(Done::Pages(claim.range().pages()))
    }
}

/// Moves `from` to `to` in `pieces` calls.
fn transfer(from: HvaRange, to: HvaRange, pieces: u64) -> Result<(), OperationError> {
    let each = from.pages().div_ceil(pieces);
    for first in (0..from.pages()).step_by(each as usize) {
        let pages = each.min(from.pages() - first);
        if let (Some(from), Some(to)) = (from.part(first, pages), to.part(first, pages)) {
            syscall::move_pages_to(from, to.start(), 0)?;
        }
    }
    Ok(())
}

/// The claimed pages were just moved to `away`. Publishes that, sees that nobody writes them there, and prepares their return.
pub(in crate::ops) fn watch_away(bed: &Bed<'_>, claim: &Span, away: HvaRange, generation: u64, rng: &mut Rng) {
    let retired: Vec<(Hva, _)> = bed.retire(claim, away, generation);
    bed.note(Stage::Returned, claim.range(), generation);
    bed.publish(claim, generation);
    bed.dwell(rng);
    bed.go_astray(away.start());
    bed.inspect(&retired);
    bed.note(Stage::Witnessed, away, generation);
    // Back home they must be as new as was promised.
    if !bed.stamp_generation(away, generation) {
        bed.take_back(claim);
    }
}
