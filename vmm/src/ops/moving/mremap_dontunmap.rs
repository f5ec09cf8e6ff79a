//! `mremap(MREMAP_DONTUNMAP)`: pages go away, and their place stays mapped. On private memory the guest goes on with fresh
//! pages there; afterwards both are put together again.

use crate::live::Plant;
use crate::memory::{Backing, Span};
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall};
use nostale_guest::page::GENERATION;
use nostale_notifier::event::Stage;
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "mremap-dontunmap",
    summary: "move pages away but leave their place mapped; writers go on there with fresh pages",
    usual: &[Backing::ANON],
    more: &[Backing::MEMFD],
    effect: |backing: Backing| if backing.is_shared() { Effect::Preserves } else { Effect::Gathers },
    needs: |facts, backing| {
        if backing.is_shared() { facts.need_mremap_dontunmap_shared() } else { facts.need_mremap_dontunmap() }
    },
    make: |_, _| Ok(Box::new(DontUnmap)),
    not_hugetlb: Some("the kernel refuses MREMAP_DONTUNMAP on hugetlbfs"),
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

struct DontUnmap;

impl HostOperation for DontUnmap {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=16).min(bed.arena.pages()) };
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        let Some(away) = bed.arena.away(claim.first(), pages) else { return Ok(Done::Busy) };
        if bed.arena.backing().is_shared() {
            shared(bed, &claim, away)?;
        } else {
            private(bed, &claim, away, rng)?;
        }
        Ok(Done::Pages(pages))
    }
}

/// The file's pages fault in again at home: contents never change, translations do.
fn shared(bed: &Bed<'_>, claim: &Span, away: nostale_notifier::HvaRange) -> Result<(), OperationError> {
    bed.note(Stage::OperationStart, claim.range(), 0);
    syscall::move_pages_to(claim.range(), away.start(), libc::MREMAP_DONTUNMAP)?;
    bed.note(Stage::Returned, claim.range(), 0);
    syscall::unmap(away)
}

fn private(bed: &Bed<'_>, claim: &Span, away: nostale_notifier::HvaRange, rng: &mut Rng) -> Result<(), OperationError> {
    date(bed, claim)?;
    let generation = bed.arena.next_generation();
    bed.announce(claim, generation);
    bed.note(Stage::OperationStart, claim.range(), generation);
    syscall::move_pages_to(claim.range(), away.start(), libc::MREMAP_DONTUNMAP)?;
    let retired = bed.retire(claim, away, generation);
    bed.note(Stage::Returned, claim.range(), generation);
    bed.deliver(claim, generation);
    bed.dwell(rng);
    bed.go_astray(away.start());
    bed.inspect(&retired);
    bed.note(Stage::Witnessed, away, generation);
    bring_back(bed, claim, away, rng)
}

/// Sees that no page has generation 0, by which fresh ones are told from it.
pub(in crate::ops) fn date(bed: &Bed<'_>, claim: &Span) -> Result<(), OperationError> {
    let lost = |at| OperationError::Lost { what: bed.actor.1, at };
    let before = bed.arena.next_generation();
    for at in claim.range().iter() {
        let word = nostale_notifier::Hva::new(at.get() + nostale_guest::page::word_offset(GENERATION));
        if bed.arena.primary().load(word).map_err(|_| lost(at))? == 0 {
            bed.arena.store_word(at, GENERATION, before).map_err(|_| lost(at))?;
        }
    }
    Ok(())
}

/// The way back: the fresh pages leave, the old ones return from `away`, and what the fresh ones counted goes to the ledger.
pub(in crate::ops) fn bring_back(
    bed: &Bed<'_>,
    claim: &Span,
    away: nostale_notifier::HvaRange,
    rng: &mut Rng,
) -> Result<(), OperationError> {
    let Some(aside) = bed.arena.aside(claim.first(), claim.range().pages()) else { return Ok(()) };
    let back = bed.arena.next_generation();
    syscall::move_pages_to(claim.range(), aside.start(), 0)?;
    let fresh = bed.retire(claim, aside, back);
    bed.publish(claim, back);
    if !bed.stamp_generation(away, back) {
        bed.take_back(claim);
    }
    syscall::move_pages_to(away, claim.range().start(), 0)?;
    bed.dwell(rng);
    bed.inspect(&fresh);
    for (_, page) in &fresh {
        if let Some(snapshot) = &page.snapshot {
            bed.ledger.add(page.page, snapshot.counters());
        }
    }
    bed.note(Stage::Restored, claim.range(), back);
    syscall::unmap(aside)
}
