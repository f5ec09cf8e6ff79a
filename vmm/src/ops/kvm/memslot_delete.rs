//! `memslot-delete`: memslots are deleted and made anew with other host memory behind a part of them, and back again. A translation
//! that survives (`kvm_arch_flush_shadow_memslot`, `kvm_mmu_zap_all_fast`) leads to the old memory.

use super::{cut::Cut, shut};
use crate::live::Plant;
use crate::{
    machine::{Demands, Slot, SlotFlags},
    memory::{Backing, Span},
    ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall},
};
use nostale_guest::page::LINES;
use nostale_notifier::{HvaRange, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "memslot-delete",
    summary: "delete memslots, make them anew with other memory behind a part of them, and look whether the old one is still written",
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP, Backing::MEMFD],
    effect: |_| Effect::Gathers,
    machine: Demands { unplugs: true, ..Demands::VM },
    make: |_, _| Ok(Box::new(Delete)),
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

struct Delete;

impl HostOperation for Delete {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let vm = bed.vm()?;
        let Some(_only) = vm.memslots().reserve() else { return Ok(Done::Busy) };
        let pages = rng.random_range(1..=32).min(bed.arena.pages());
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        let Some(aside) = bed.arena.aside(claim.first(), pages) else { return Ok(Done::Busy) };
        let generation = bed.arena.next_generation();
        syscall::map_anonymous(aside)?;
        if !bed.stamp_generation(aside, generation) {
            return Ok(Done::Busy);
        }
        bed.note(Stage::OperationStart, claim.range(), generation);
        bed.take_back(&claim);
        let first = |part: Slot| part.hva().start().offset_from(bed.arena.home().start()).map(|bytes| bytes / PAGE_SIZE);
        let other = |part: Slot| Slot::aside(part.gpa(), bed.arena, first(part)?, part.pages());
        let cut = Cut::out(vm, &claim, |part| Some((other(part)?, SlotFlags::default())))?;
        bed.note(Stage::Returned, claim.range(), generation);
        bed.publish(&claim, generation);
        shut::linger(bed, &claim, rng);
        shut::inspect(bed, &claim, claim.range(), generation, "other memory had taken its place", |_| true);
        bed.note(Stage::Witnessed, claim.range(), generation);
        back(bed, &claim, aside, cut, rng)?;
        drop(claim);
        shut::settle(bed);
        Ok(Done::Pages(pages))
    }
}

/// The arena's own pages take their place again; the others are watched, counted and given up.
pub(super) fn back(bed: &Bed<'_>, claim: &Span, aside: HvaRange, cut: Cut<'_>, rng: &mut Rng) -> Result<(), OperationError> {
    let generation = bed.arena.next_generation();
    bed.take_back(claim);
    cut.mend()?;
    let retired = bed.retire(claim, aside, generation);
    // Not before: third threads look at the arena's own pages, and what they see they announce.
    if bed.stamp_generation(claim.range(), generation) {
        bed.publish(claim, generation);
    }
    bed.note(Stage::Restored, claim.range(), generation);
    shut::linger(bed, claim, rng);
    bed.go_astray(aside.start());
    bed.inspect(&retired);
    for (page, at) in claim.pages().zip(aside.iter()) {
        let counters = bed.arena.snapshot(at).map_or([0; LINES], |page| page.counters());
        bed.ledger.add(page, counters);
    }
    syscall::unmap(aside)
}
