//! Exchanging one page of the arena's file for another, under the eyes of third threads: what `remap` and `remap-file-pages`
//! have in common. They differ in the system call.

use crate::memory::{Frame, Retired};
use crate::ops::{Bed, Done, OperationError, Rng};
use nostale_guest::page::GENERATION;
use nostale_notifier::{HvaRange, event::Stage};

/// Puts another frame in the place of a page, by `exchange(place, frame)`.
pub(in crate::ops) fn perform(
    bed: &Bed<'_>,
    rng: &mut Rng,
    exchange: impl Fn(HvaRange, Frame) -> Result<(), OperationError>,
) -> Result<Done, OperationError> {
    let Some(claim) = bed.pick(rng, 1, 1) else { return Ok(Done::Busy) };
    let page = claim.first();
    let Some(old) = bed.arena.frame_of(page) else { return Ok(Done::Exhausted) };
    let Some((seen, parked)) = bed.arena.pool().take() else { return Ok(Done::Busy) };

    // It has lain still for as long as any: was it written?
    if let Some(retired) = parked {
        bed.judge_frame(seen, &retired);
    }
    // Of a huge page one part was looked at when it was taken out; all of it comes back.
    let new = Frame(seen.0 - seen.0 % bed.arena.unit() as u32);
    let part = |of: Frame, page: u64| Frame(of.0 + (page - claim.first()) as u32);
    let generation = bed.arena.next_generation();
    if claim.pages().any(|page| bed.arena.store_frame_word(part(new, page), GENERATION, generation).is_err()) {
        // The file has no room for this page: a hole that `discard` made, on a full disk.
        bed.arena.pool().park(new, None);
        return Ok(Done::Busy);
    }
    bed.note(Stage::OperationStart, claim.range(), generation);
    if let Err(error) = exchange(claim.range(), new) {
        bed.arena.pool().park(new, None);
        return Err(error);
    }
    // First of all the look at the old page: whatever is written from here on is too late.
    let looked = bed.watched(&claim).next().unwrap_or(page);
    let snapshot = bed.arena.snapshot_frame(part(old, looked)).filter(|_| !bed.is_silent());
    bed.note(Stage::Returned, claim.range(), generation);
    claim.pages().for_each(|page| bed.arena.set_frame(page, part(new, page)));
    bed.publish(&claim, generation);
    bed.arena.pool().park(part(old, looked), Some(Retired { page: looked, generation, snapshot }));
    Ok(Done::Pages(claim.range().pages()))
}
