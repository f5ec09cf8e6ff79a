//! `guest-memfd`: a part of guest memory comes from a guest_memfd for a while (`KVM_MEM_GUEST_MEMFD`), and holes are punched into it.
//! KVM takes such pages from the file itself: no VMA and no mmu_notifier is between, and `kvm_gmem_punch_hole` has to invalidate
//! by its own hand (`kvm_gmem_invalidate_begin`).
//!
//! Shared and private pages (`KVM_SET_MEMORY_ATTRIBUTES`) are no part of it: ordinary VMs have only shared ones, and a guest that
//! the VMM cannot look into could not be judged.

use super::{cut::Cut, memslot_delete, shut};
use crate::{
    live::Plant,
    machine::{Demands, Slot, SlotFlags, Vm},
    memory::{Backing, Span},
    ops::{
        Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, replacing::pipe::PagePipe, syscall, wait::until_written,
    },
};
use nostale_notifier::{HvaRange, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;
use std::{
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "guest-memfd",
    summary: "put a guest_memfd behind a part of guest memory and punch holes into it",
    usual: &[Backing::ANON],
    more: &[Backing::MEMFD],
    effect: |_| Effect::Discards,
    needs: |facts, _| facts.need_guest_memfd(),
    // A page of a guest_memfd belongs to one memslot.
    machine: Demands { once: true, unplugs: true, ..Demands::VM },
    make: |_, _| Ok(Box::new(GuestMemfd { fd: None, pipe: PagePipe::new().ok() })),
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

/// Pages that a pipe holds by default.
const MOST: u64 = 16;
/// Holes that are punched before the arena's own memory comes back.
const HOLES: u32 = 4;
/// How long to wait for the guest to have used new pages.
const PATIENCE: Duration = Duration::from_millis(5);

struct GuestMemfd {
    fd: Option<OwnedFd>,
    pipe: Option<PagePipe>,
}

impl HostOperation for GuestMemfd {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let vm = bed.vm()?;
        let Some(_only) = vm.memslots().reserve() else { return Ok(Done::Busy) };
        let pages = rng.random_range(1..=MOST).min(bed.arena.pages());
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        let Some(aside) = bed.arena.aside(claim.first(), pages) else { return Ok(Done::Busy) };
        let fd = self.file(vm, bed)?;
        let offset = claim.first() * PAGE_SIZE;
        syscall::map_file(aside, fd, offset, libc::PROT_READ | libc::PROT_WRITE)?;
        syscall::punch_hole(aside, fd, offset)?;
        let generation = bed.arena.next_generation();
        if !bed.stamp_generation(aside, generation) {
            return Ok(Done::Busy);
        }
        bed.note(Stage::OperationStart, claim.range(), generation);
        bed.take_back(&claim);
        // The claim lies in one memslot, or in several: each takes its pages from its own place in the file.
        let instead = |part: Slot| {
            let first = part.hva().start().offset_from(bed.arena.home().start())? / PAGE_SIZE;
            let slot = Slot::aside(part.gpa(), bed.arena, first, part.pages())?;
            Some((slot.of_guest_memfd(fd, first * PAGE_SIZE), SlotFlags::default()))
        };
        let cut = Cut::out(vm, &claim, instead)?;
        bed.note(Stage::Returned, claim.range(), generation);
        bed.publish(&claim, generation);
        shut::linger(bed, &claim, rng);
        shut::inspect(bed, &claim, claim.range(), generation, "a guest_memfd had taken its place", |_| true);
        for _ in 0..rng.random_range(1..=HOLES) {
            // Where nobody has used the pages there is nothing to invalidate.
            until_written(bed.system, &claim.pages().collect::<Vec<_>>(), 1, PATIENCE);
            self.punch(bed, &claim, aside, rng)?;
        }
        memslot_delete::back(bed, &claim, aside, cut, rng)?;
        drop(claim);
        shut::settle(bed);
        Ok(Done::Pages(pages))
    }
}

impl GuestMemfd {
    fn file(&mut self, vm: &Vm, bed: &Bed<'_>) -> Result<i32, OperationError> {
        if self.fd.is_none() {
            let refused = |errno| OperationError::Kvm { call: "KVM_CREATE_GUEST_MEMFD", errno };
            self.fd = Some(vm.guest_memfd(bed.arena.pages()).map_err(refused)?);
        }
        Ok(self.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd))
    }

    /// Throws the pages at `aside` away and judges whether anybody still uses them.
    fn punch(&mut self, bed: &Bed<'_>, claim: &Span, aside: HvaRange, rng: &mut Rng) -> Result<(), OperationError> {
        let fd = self.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let generation = bed.arena.next_generation();
        // Third threads look at the arena's own pages, and nothing is announced to them.
        bed.take_back(claim);
        // A pipe keeps the old pages visible, where the kernel lends them out.
        let held = self.pipe.as_ref().is_some_and(|pipe| pipe.hold(aside));
        bed.note(Stage::OperationStart, claim.range(), generation);
        syscall::punch_hole(aside, fd, claim.first() * PAGE_SIZE)?;
        bed.note(Stage::Returned, claim.range(), generation);
        if bed.stamp_generation(aside, generation) {
            bed.publish(claim, generation);
        }
        shut::linger(bed, claim, rng);
        let (true, Some(pipe)) = (held, &mut self.pipe) else { return Ok(()) };
        pipe.inspect(bed, claim, generation)?;
        bed.note(Stage::Witnessed, claim.range(), generation);
        Ok(())
    }
}
