//! `pre-fault`: a VMM has KVM install translations that no vCPU has asked for yet (`KVM_PRE_FAULT_MEMORY`), while the same pages move
//! away and back. It is a fault like any other, and has to meet the same retry check; nobody enters a guest behind it, though, to
//! flush or to fault again.

use crate::{
    live::Plant,
    machine::{Demands, Vm},
    memory::{Backing, Span},
    ops::{Bed, Done, HostOperation, Operation, OperationError, Rng, moving::mremap::watch_away, syscall},
};
use nix::errno::Errno;
use nostale_notifier::{Gpa, event::Stage};
use rand::RngExt;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "pre-fault",
    summary: "have KVM install translations beforehand while the pages move away and back",
    usual: &[Backing::ANON],
    more: &[Backing::MEMFD],
    needs: |facts, _| facts.need_pre_fault(),
    machine: Demands { pre_fault: true, ..Demands::VM },
    make: |_, _| Ok(Box::new(PreFault)),
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

struct PreFault;

/// Tells a thread to end when it is dropped.
struct Told<'a>(&'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.store(true, Release);
    }
}

impl HostOperation for PreFault {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let vm = bed.vm()?;
        // Where the pages appear must not change meanwhile.
        let Some(_only) = vm.memslots().reserve() else { return Ok(Done::Busy) };
        let pages = rng.random_range(1..=32).min(bed.arena.pages());
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        let stop = AtomicBool::new(false);
        let (moved, faulted) = std::thread::scope(|scope| {
            let faulting = scope.spawn(|| pre_fault(vm, &claim, &stop));
            // However the move ends, the other thread must.
            let told = Told(&stop);
            let moved = move_there_and_back(bed, &claim, rng);
            drop(told);
            (moved, faulting.join().unwrap_or(Err(Errno::UnknownErrno)))
        });
        moved?;
        match faulted.map_err(|errno| OperationError::Kvm { call: "KVM_PRE_FAULT_MEMORY", errno })? {
            0 => Ok(Done::Busy),
            _ => Ok(Done::Pages(pages)),
        }
    }
}

fn move_there_and_back(bed: &Bed<'_>, claim: &Span, rng: &mut Rng) -> Result<(), OperationError> {
    let Some(away) = bed.arena.away(claim.first(), claim.range().pages()) else { return Ok(()) };
    let generation = bed.arena.next_generation();
    bed.note(Stage::OperationStart, claim.range(), generation);
    syscall::move_pages_to(claim.range(), away.start(), 0)?;
    watch_away(bed, claim, away, generation, rng);
    syscall::move_pages_to(away, claim.range().start(), 0)?;
    bed.note(Stage::Restored, claim.range(), generation);
    // Here, too, they shall be found.
    bed.dwell(rng);
    Ok(())
}

/// Pre-faults the claimed pages, wherever they appear, until `stop`; gives the pages for which that worked.
fn pre_fault(vm: &Vm, claim: &Span, stop: &AtomicBool) -> Result<u64, Errno> {
    let shown = vm.memslots().over(claim.range());
    let shown: Vec<(Gpa, u64)> =
        shown.iter().filter_map(|known| known.slot.showing(claim.range())).map(|s| (s.gpa(), s.pages())).collect();
    let mut done = 0;
    while !stop.load(Acquire) {
        for &(gpa, pages) in &shown {
            match vm.pre_fault(gpa, pages) {
                Ok(pages) => done += pages,
                // The page is away, or was just taken.
                Err(Errno::EFAULT | Errno::EAGAIN | Errno::EINTR | Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(done)
}
