//! `dirty-ring`: each vCPU notes the pages that it writes in a ring (`kvm_dirty_ring_push`); what was taken out of it is
//! write-protected again (`kvm_dirty_ring_reset`). Small rings, so that vCPUs meet a full one, too.

use super::logged::{self, Logged};
use crate::live::Plant;
use crate::{
    host::facts::Facts,
    machine::{Bitmap, Demands, Tracking, Vm},
    memory::Backing,
    ops::{Bed, Done, HostOperation, Operation, OperationError, Rng},
};
use nostale_notifier::event::Stage;
use rand::RngExt;
use std::time::{Duration, Instant};

/// Entries of a ring: KVM sets some hundred of them aside (`kvm_dirty_ring_get_rsvd_entries`).
const ENTRIES: u32 = 1024;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "dirty-ring",
    summary: "KVM's dirty rings: taken out and reset while vCPUs fill them; each written page must have been in one",
    share: 2,
    usual: &[Backing::ANON],
    more: &[Backing::MEMFD],
    needs: |facts: &Facts, _| facts.need_dirty_ring(),
    machine: Demands { tracking: Some(Tracking::Ring { entries: ENTRIES }), ..Demands::VM },
    make: |_, _| Ok(Box::new(DirtyRing)),
    faults: &[Plant::MissedDirty],
    ..Operation::USUAL
};

/// Times that rings are emptied before the log is turned off again.
const READINGS: u32 = 6;
/// How long a vCPU may take to leave the guest.
const KICK: Duration = Duration::from_secs(5);

struct DirtyRing;

impl HostOperation for DirtyRing {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let vm = bed.vm()?;
        let Some(_only) = vm.memslots().reserve() else { return Ok(Done::Busy) };
        bed.note(Stage::OperationStart, bed.arena.home(), 0);
        let logged = Logged::on(vm, bed)?;
        bed.note(Stage::Returned, bed.arena.home(), 0);
        let emptied = empty_rings(bed, vm, &logged, rng);
        drop(logged);
        // Nobody logs any more: what is left must not stop vCPUs.
        vm.harvest().map_err(refused)?;
        bed.note(Stage::Restored, bed.arena.home(), 0);
        Ok(match emptied? {
            0 => Done::Busy,
            judged => Done::Pages(judged),
        })
    }
}

fn empty_rings(bed: &Bed<'_>, vm: &Vm, logged: &Logged<'_>, rng: &mut Rng) -> Result<u64, OperationError> {
    let (mut judged, begin) = (0, Instant::now());
    for _ in 0..rng.random_range(1..=READINGS) {
        let written = logged::watch(bed, rng);
        let mut log = Bitmap::new(bed.arena.pages());
        let mut failed = Ok(());
        let often = rng.random_bool(0.5);
        let must = logged::await_writes(bed.system, &written, rng, || {
            // What is taken out in between is in the log as well, and makes room for more.
            if often {
                failed = failed.and_then(|()| take_out(bed, vm, logged, &mut log));
            }
        });
        failed.map_err(refused)?;
        // Of what hardware has logged, the ring learns when the vCPU leaves the guest.
        if !vm.kick(KICK) {
            return Err(OperationError::Kvm { call: "leaving KVM_RUN on a signal", errno: nix::errno::Errno::ETIMEDOUT });
        }
        take_out(bed, vm, logged, &mut log).map_err(refused)?;
        bed.lost_from_log(&must).into_iter().for_each(|page| log.remove(page));
        bed.judge_log("the dirty ring", &must, |page| log.contains(page));
        judged += must.len() as u64;
        if judged > 0 && begin.elapsed() > logged::LONG {
            break;
        }
    }
    Ok(judged)
}

fn take_out(bed: &Bed<'_>, vm: &Vm, logged: &Logged<'_>, log: &mut Bitmap) -> Result<(), nix::errno::Errno> {
    let found = vm.harvest()?;
    found.iter().filter_map(|dirty| logged.arena_page(bed, dirty.slot, dirty.page)).for_each(|page| log.insert(page));
    Ok(())
}

fn refused(errno: nix::errno::Errno) -> OperationError {
    OperationError::Kvm { call: "KVM_RESET_DIRTY_RINGS", errno }
}
