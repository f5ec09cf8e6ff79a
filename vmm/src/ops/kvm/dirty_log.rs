//! `dirty-log`: KVM's bitmap of the pages that the guest wrote (`kvm_vm_ioctl_get_dirty_log`, `kvm_vm_ioctl_clear_dirty_log`,
//! `kvm_mmu_slot_remove_write_access`), in all three ways of clearing it. An SPTE that is left writable is a write that live
//! migration loses.

use super::logged::{self, Logged};
use crate::live::Plant;
use crate::{
    host::facts::Facts,
    machine::{Bitmap, Clearing, Demands, Memslots, Tracking},
    memory::Backing,
    ops::{Bed, Done, HostOperation, Made, Operation, OperationError, Rng},
    oracle::dirty::Written,
};
use nostale_notifier::event::Stage;
use rand::RngExt;
use std::time::Instant;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "dirty-log",
    summary: "KVM's dirty log on, read and cleared (by reading, by hand, by hand from full) and off; each written page must be in it",
    share: 2,
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP, Backing::MEMFD],
    machine: Demands { tracking: Some(Tracking::Log), ..Demands::VM },
    make,
    faults: &[Plant::MissedDirty],
    ..Operation::USUAL
};

/// Readings between two times at which the log is turned off.
const READINGS: u32 = 6;

fn make(_: &Bed<'_>, facts: &Facts) -> Made {
    let by_hand = facts.kvm.device.capabilities().is_some_and(|capabilities| capabilities.manual_dirty_log);
    Ok(Box::new(DirtyLog { by_hand }))
}

struct DirtyLog {
    by_hand: bool,
}

impl HostOperation for DirtyLog {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let vm = bed.vm()?;
        let Some(_only) = vm.memslots().reserve() else { return Ok(Done::Busy) };
        let clearing = if self.by_hand { Clearing::ALL[rng.random_range(0..Clearing::ALL.len())] } else { Clearing::ByReading };
        if self.by_hand {
            let call = "KVM_ENABLE_CAP(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)";
            vm.memslots().set_clearing(clearing).map_err(|errno| OperationError::Kvm { call, errno })?;
        }
        bed.note(Stage::OperationStart, bed.arena.home(), 0);
        let logged = Logged::on(vm, bed)?;
        bed.note(Stage::Returned, bed.arena.home(), 0);
        // With the log full from the beginning, it holds everything until it is cleared.
        let mut written = logged::watch(bed, rng);
        if clearing == Clearing::ByHandFromFull {
            let log = Log::read(bed, vm.memslots(), &logged)?;
            let all: Vec<u64> = (0..bed.arena.pages()).collect();
            bed.judge_log("the log that begins full", &all, |page| log.contains(page));
        }
        let (mut judged, begin) = (0, Instant::now());
        for _ in 0..rng.random_range(1..=READINGS) {
            if rng.random_range(0..4) == 0 {
                bed.dwell(rng);
            }
            let must = logged::await_writes(bed.system, &written, rng, || {});
            let mut log = Log::read(bed, vm.memslots(), &logged)?;
            bed.lost_from_log(&must).into_iter().for_each(|page| log.pages.remove(page));
            bed.judge_log("the dirty log", &must, |page| log.contains(page));
            judged += must.len() as u64;
            if judged > 0 && begin.elapsed() > logged::LONG {
                break;
            }
            written = if clearing == Clearing::ByReading {
                logged::watch(bed, rng)
            } else {
                log.clear(bed, vm.memslots(), &logged, rng)?
            };
        }
        bed.note(Stage::Witnessed, bed.arena.home(), 0);
        drop(logged);
        Ok(if judged == 0 { Done::Busy } else { Done::Pages(judged) })
    }
}

/// What the memslots of the arena have logged.
struct Log {
    pages: Bitmap,
    /// As KVM gave it.
    by_slot: Vec<Bitmap>,
}

impl Log {
    fn read(bed: &Bed<'_>, memslots: &Memslots, logged: &Logged<'_>) -> Result<Self, OperationError> {
        let mut pages = Bitmap::new(bed.arena.pages());
        let mut by_slot = Vec::new();
        for known in logged.slots() {
            let log = memslots.dirty_log(known.id)?;
            log.pages().filter_map(|page| logged::arena_page(bed, known, page)).for_each(|page| pages.insert(page));
            by_slot.push(log);
        }
        Ok(Self { pages, by_slot })
    }

    fn contains(&self, page: u64) -> bool {
        self.pages.contains(page)
    }

    /// Clears it, all of it or a part, and begins to watch what is written then. What was not cleared stays in the log.
    fn clear(&self, bed: &Bed<'_>, memslots: &Memslots, logged: &Logged<'_>, rng: &mut Rng) -> Result<Written, OperationError> {
        for (known, log) in logged.slots().iter().zip(&self.by_slot) {
            let all = known.slot.pages();
            let first = if rng.random_bool(0.5) { 0 } else { rng.random_range(0..all) };
            let end = if rng.random_bool(0.5) { all } else { rng.random_range(first..all) + 1 };
            memslots.clear_dirty_log(known.id, first..end, log)?;
        }
        Ok(logged::watch(bed, rng))
    }
}
