//! `mremap-grow`: a mapping becomes longer and shorter, where it is and on its way to another place (seeds S0 and S3).
//!
//! Growing in place takes a hole behind the mapping: the last of some pages are moved away, and the VMA before the hole grows into it
//! until it meets, and merges with, the VMA behind. What the guest then finds are fresh pages, on private memory, and those of
//! the file, on shared memory.

use crate::live::Plant;
use crate::memory::{Backing, Span};
use crate::ops::{
    Bed, Done, Effect, HostOperation, Operation, OperationError, Rng,
    moving::{mremap, mremap_dontunmap},
    protecting::look_twice::LookTwice,
    syscall,
};
use nix::errno::Errno;
use nostale_notifier::{HvaRange, event::Stage};
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "mremap-grow",
    summary: "mremap mappings longer and shorter, in place until they merge with their neighbours and while they move",
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP, Backing::MEMFD],
    effect: |backing| if backing.is_shared() { Effect::Preserves } else { Effect::Gathers },
    make: |_, _| Ok(Box::new(Grow)),
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

struct Grow;

impl HostOperation for Grow {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let (head, tail) = (rng.random_range(1..=8), rng.random_range(1..=8));
        // Where pages are huge, sometimes a whole one moves. It need not stay one: the VMA that grows has no alignment to keep.
        let whole = if bed.arena.backing().is_thp() && rng.random_range(0..16) == 0 { bed.pick_pmd(rng) } else { None };
        let Some(claim) = whole.or_else(|| bed.pick(rng, head + tail, 1)) else { return Ok(Done::Busy) };
        let all = claim.range().pages();
        let (Some(head), Some(tail)) = (claim.part(0, all - tail), claim.part(all - tail, tail)) else { return Ok(Done::Busy) };
        if rng.random_bool(0.5) {
            if !on_the_move(bed, &claim, &head, rng)? {
                return Ok(Done::Busy);
            }
        } else if bed.arena.backing().is_shared() {
            return shared_in_place(bed, &head, &tail, rng);
        } else {
            private_in_place(bed, &head, &tail, rng)?;
        }
        Ok(Done::Pages(all))
    }
}

/// Moves the first pages of the claim to a place where they have as much room as the whole claim, and back to less. `false` where
/// they are of several VMAs, which no call moves and resizes at once.
fn on_the_move(bed: &Bed<'_>, claim: &Span, head: &Span, rng: &mut Rng) -> Result<bool, OperationError> {
    let pages = head.range().pages();
    let Some(roomy) = bed.arena.away(claim.first(), claim.range().pages()) else { return Ok(false) };
    let Some(away) = roomy.part(0, pages) else { return Ok(false) };
    let generation = bed.arena.next_generation();
    bed.note(Stage::OperationStart, head.range(), generation);
    match syscall::resize_to(head.range(), roomy) {
        Err(OperationError::Call { errno: Errno::EFAULT, .. }) => return Ok(false),
        moved => moved?,
    }
    mremap::watch_away(bed, head, away, generation, rng);
    if rng.random_bool(0.5) {
        syscall::resize(roomy, pages)?;
        syscall::move_pages_to(away, head.range().start(), 0)?;
    } else {
        // Both in one call: what is too much is unmapped first.
        syscall::resize_to(roomy, head.range())?;
    }
    bed.note(Stage::Restored, head.range(), generation);
    Ok(true)
}

/// The last page of `head` and those behind it, which have just left.
fn grown(head: &Span, tail: &Span) -> Option<(HvaRange, u64)> {
    let last = head.part(head.range().pages() - 1, 1)?;
    Some((last.range(), 1 + tail.range().pages()))
}

fn private_in_place(bed: &Bed<'_>, head: &Span, tail: &Span, rng: &mut Rng) -> Result<(), OperationError> {
    let Some(away) = bed.arena.away(tail.first(), tail.range().pages()) else { return Ok(()) };
    let Some((last, pages)) = grown(head, tail) else { return Ok(()) };
    mremap_dontunmap::date(bed, tail)?;
    let generation = bed.arena.next_generation();
    bed.announce(tail, generation);
    bed.note(Stage::OperationStart, tail.range(), generation);
    syscall::move_pages_to(tail.range(), away.start(), 0)?;
    let retired = bed.retire(tail, away, generation);
    syscall::resize(last, pages)?;
    bed.note(Stage::Returned, tail.range(), generation);
    bed.deliver(tail, generation);
    bed.dwell(rng);
    bed.go_astray(away.start());
    bed.inspect(&retired);
    bed.note(Stage::Witnessed, away, generation);
    mremap_dontunmap::bring_back(bed, tail, away, rng)
}

fn shared_in_place(bed: &Bed<'_>, head: &Span, tail: &Span, rng: &mut Rng) -> Result<Done, OperationError> {
    let Some(away) = bed.arena.away(tail.first(), tail.range().pages()) else { return Ok(Done::Busy) };
    let Some((last, pages)) = grown(head, tail) else { return Ok(Done::Busy) };
    // What grows shows the pages that follow in the file. Once `remap` has been at work these may be others.
    let frames = |page: u64| bed.arena.frame_of(page).map(|frame| u64::from(frame.0));
    let before = frames(tail.first() - 1);
    if before.is_none() || !tail.pages().zip(1..).all(|(page, distance)| frames(page) == before.map(|frame| frame + distance)) {
        return Ok(Done::Busy);
    }
    bed.note(Stage::OperationStart, tail.range(), 0);
    syscall::move_pages_to(tail.range(), away.start(), 0)?;
    bed.note(Stage::Returned, tail.range(), 0);
    // Nothing is mapped there, so nobody writes.
    let look = LookTwice::first(bed, tail, true);
    bed.dwell(rng);
    look.second(bed);
    syscall::resize(last, pages)?;
    bed.note(Stage::Restored, tail.range(), 0);
    syscall::unmap(away)?;
    Ok(Done::Pages(tail.range().pages()))
}
