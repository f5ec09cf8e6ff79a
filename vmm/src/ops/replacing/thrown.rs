//! Contents that are thrown away for good, by whatever call: fresh pages take their place, and the old ones go back to the kernel, where
//! a stale write would hit somebody else's memory. Here is what is done about them before and after.

use super::pipe::PagePipe;
use crate::{
    memory::Span,
    ops::{Bed, OperationError, Rng},
};
use nostale_notifier::event::Stage;

/// Claimed pages on their way out.
pub(super) struct Thrown {
    /// Of the fresh pages.
    pub(super) generation: u64,
    /// Those that a pipe keeps visible.
    held: Option<Span>,
}

impl Thrown {
    /// Announces that the pages go, and has `pipe` hold some of them. `None` if they cannot be written just now.
    pub(super) fn begin(bed: &Bed<'_>, claim: &Span, pipe: Option<&PagePipe>, rng: &mut Rng) -> Option<Self> {
        // A fresh page is told from an old one by its generation, 0.
        let before = bed.arena.next_generation();
        if !bed.stamp_generation(claim.range(), before) {
            return None;
        }
        let generation = bed.arena.next_generation();
        bed.announce(claim, generation);
        let held = pipe.and_then(|pipe| pipe.hold_some(claim, rng));
        if bed.is_astray() {
            // A stamp as new as the operation, as if a write were to come after it.
            let at = held.map_or(claim.range(), |held| held.range()).start();
            let _ = bed.arena.store_stamp(at, generation);
        }
        bed.note(Stage::OperationStart, claim.range(), generation);
        Some(Self { generation, held })
    }

    /// The call has returned.
    pub(super) fn returned(&self, bed: &Bed<'_>, claim: &Span) {
        bed.note(Stage::Returned, claim.range(), self.generation);
    }

    /// Fresh pages are to be had: promises them, and a little later judges the old ones that `pipe` holds.
    pub(super) fn end(
        self,
        bed: &Bed<'_>,
        claim: &Span,
        pipe: Option<&mut PagePipe>,
        rng: &mut Rng,
    ) -> Result<(), OperationError> {
        bed.deliver(claim, self.generation);
        let (Some(pipe), Some(held)) = (pipe, self.held) else { return Ok(()) };
        bed.dwell(rng);
        pipe.inspect(bed, &held, self.generation)?;
        bed.note(Stage::Witnessed, held.range(), self.generation);
        Ok(())
    }
}
