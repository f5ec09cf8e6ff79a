//! `memslot-move`: memslots go to another guest-physical address in one call each (`KVM_MR_MOVE`), and the vCPUs follow, or are left
//! behind for a moment: whoever still reaches the memory at its old address has a translation that KVM forgot to zap.

use super::shut;
use crate::{
    machine::{Demands, Registered, SlotError, Vm},
    memory::Backing,
    ops::{Bed, Done, HostOperation, Operation, OperationError, Rng},
};
use nix::errno::Errno;
use nostale_guest::abi::layout;
use nostale_notifier::{Gpa, event::Stage};
use rand::RngExt;
use std::sync::atomic::Ordering::Relaxed;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "memslot-move",
    summary: "move memslots to another guest-physical address and the vCPUs after them; nobody may reach the old one",
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP, Backing::MEMFD],
    machine: Demands { unplugs: true, ..Demands::VM },
    make: |_, _| Ok(Box::new(Move)),
    ..Operation::USUAL
};

struct Move;

impl HostOperation for Move {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let vm = bed.vm()?;
        let Some(_only) = vm.memslots().reserve() else { return Ok(Done::Busy) };
        let pages = rng.random_range(1..=32).min(bed.arena.pages());
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        let view = views(vm, bed);
        let base = view[rng.random_range(0..view.len())];
        let Some(other) = other_base(vm, bed, base) else { return Ok(Done::Busy) };
        let generation = bed.arena.next_generation();
        if !bed.stamp_generation(claim.range(), generation) {
            return Ok(Done::Busy);
        }
        // Those who have a way of their own to the same memory go on.
        let elsewhere: Vec<u64> = view.into_iter().filter(|&at| at != base).collect();
        let left_behind =
            |vcpu: usize| bed.system.vcpu(vcpu).is_some_and(|block| !elsewhere.contains(&block.arena.load(Relaxed)));

        bed.note(Stage::OperationStart, claim.range(), generation);
        let there = of_view(vm, bed, base);
        there.iter().try_for_each(|known| move_one(vm, known, known.slot.gpa().get() - base + other))?;
        bed.note(Stage::Returned, claim.range(), generation);
        bed.publish(&claim, generation);
        shut::linger(bed, &claim, rng);
        shut::inspect(bed, &claim, claim.range(), generation, "its memslot had been moved", left_behind);
        bed.note(Stage::Witnessed, claim.range(), generation);
        for block in bed.system.all_vcpus().filter(|block| block.arena.load(Relaxed) == base) {
            block.arena.store(other, Relaxed);
        }
        // Visits that began at the old place end there, on the same memory.
        vm.memslots().change().open();
        bed.note(Stage::Restored, claim.range(), generation);
        drop(claim);
        shut::settle(bed);
        Ok(Done::Pages(pages))
    }
}

fn move_one(vm: &Vm, known: &Registered, gpa: u64) -> Result<(), SlotError> {
    let mut change = vm.memslots().change();
    match change.move_to(known.id, Gpa::new(gpa)) {
        // Kernels in which somebody else tracks guest pages may refuse to move any memslot.
        Err(SlotError::Refused { errno: Errno::EINVAL | Errno::EOPNOTSUPP, .. }) => {
            change.remove(known.id)?;
            change.insert(known.slot.at(Gpa::new(gpa)), known.flags).map(|_| ())
        }
        moved => moved,
    }
}

/// Guest-physical addresses at which the arena can be found, from its first page to its last.
fn views(vm: &Vm, bed: &Bed<'_>) -> Vec<u64> {
    let first = vm.memslots().over(bed.arena.home());
    let first = first.iter().filter(|known| known.slot.hva().start() == bed.arena.home().start());
    first.map(|known| known.slot.gpa().get()).collect()
}

/// The memslots that make up the view of the arena from `base`.
fn of_view(vm: &Vm, bed: &Bed<'_>, base: u64) -> Vec<Registered> {
    let end = base + bed.arena.home().bytes();
    let over = vm.memslots().over(bed.arena.home());
    over.into_iter().filter(|known| (base..end).contains(&known.slot.gpa().get())).collect()
}

/// Where the view at `base` goes: behind everything, or back into a gap.
fn other_base(vm: &Vm, bed: &Bed<'_>, base: u64) -> Option<u64> {
    let bytes = bed.arena.home().bytes();
    let all = vm.memslots().all();
    let free = |from: u64| all.iter().all(|known| known.slot.end().get() <= from || from + bytes <= known.slot.gpa().get());
    let offset = base % (1 << 30);
    let candidates = (layout::ARENA >> 30..vm.reach() >> 30).map(|gib| (gib << 30) + offset);
    { candidates }.find(|&from| from != base && from + bytes <= vm.reach() && free(from))
}
