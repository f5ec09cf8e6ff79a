//! The machine: it runs natively, pauses, stops; a vCPU that cannot go on says why, and one that is stuck has a name.

use crate::{Bench, PAGES, trial};
use libtest_mimic::{Failed, Trial};
use nostale_guest::abi::{Program, layout};
use nostale_notifier::Gpa;
use nostale_vmm::{
    machine::{
        Demands, GuestFinding, Machine, MachineConfig, MachineError, Observer, Privilege, Slot, SlotFlags, VcpuFailure, VcpuState,
    },
    memory::{Arena, Backing, Role, System},
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

const BOUND: Duration = Duration::from_secs(30);

pub(crate) fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    vec![
        trial(bench, "machine::runs_natively_in_ring_3", None, |_| runs_natively()),
        trial(bench, "machine::pauses_resumes_and_stops", None, |_| pauses_resumes_and_stops()),
        trial(bench, "machine::nothing_is_lost_while_memslots_come_and_go", None, |_| memslots_come_and_go()),
        trial(bench, "machine::a_vcpu_that_is_kicked_leaves_the_guest", None, |_| kick()),
        trial(bench, "machine::a_stuck_vcpu_has_a_name", None, |_| a_stuck_vcpu_has_a_name()),
        trial(bench, "machine::an_assertion_carries_file_line_and_operands", None, |_| assertion()),
        trial(bench, "machine::a_triple_fault_is_a_failure", None, |_| triple_fault()),
        trial(bench, "machine::impossible_vcpu_counts_are_refused", None, |_| impossible_vcpu_counts()),
    ]
}

struct Nobody;

impl Observer for Nobody {
    fn finding(&self, finding: GuestFinding) {
        panic!("nothing is replaced here: {finding:?}");
    }
}

struct Rig {
    machine: Machine,
    system: System,
    arena: Arena,
}

/// A started machine whose vCPUs find the arena at `arenas`.
fn start(arenas: &[u64]) -> Result<Rig, Failed> {
    let arena = Arena::new(Backing::ANON, PAGES, &std::env::temp_dir())?;
    let roles: Vec<_> = arenas.iter().map(|&arena| Role { program: Program::Storm, seed: 1, arena }).collect();
    let system = System::new(PAGES, &roles)?;
    let slots = [Slot::home(Gpa::new(layout::ARENA), &arena)];
    let mut machine = Machine::new(&MachineConfig {
        system: &system,
        slots: &slots,
        privilege: Privilege::User,
        demands: Demands::default(),
        told: None,
    })?;
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    machine.start(&observer)?;
    Ok(Rig { machine, system, arena })
}

impl Rig {
    fn visits(&self) -> u64 {
        self.system.all_vcpus().map(|vcpu| vcpu.counts.visits.load(Relaxed)).sum()
    }

    /// Waits until the vCPUs have made `more` visits.
    fn wait_for(&self, more: u64) -> Result<(), Failed> {
        let start = self.visits();
        for _ in 0..30_000 {
            if self.visits() >= start + more {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(format!("no {more} visits within 30 s: {:?}", self.machine).into())
    }

    /// The failure of vCPU 0.
    fn failure(&self) -> Result<VcpuFailure, Failed> {
        let view = self.machine.views().next().ok_or("no vCPU")?;
        match view.wait(BOUND, VcpuState::is_final) {
            Some(VcpuState::Failed(failure)) => Ok(failure),
            other => Err(format!("not a failure: {other:?}").into()),
        }
    }
}

fn runs_natively() -> Result<(), Failed> {
    let rig = start(&[layout::ARENA, layout::ARENA])?;
    rig.wait_for(200_000)?;
    let sample = rig.machine.sample()?;
    assert!(sample.installs() > 0 && sample.sptes() > 0, "{sample:?}");
    assert!(sample.insn_emulation < rig.visits() / 100, "{sample:?}");
    // One clock: what the guest read last is neither before its start nor in our future.
    for (view, vcpu) in rig.machine.views().zip(rig.system.all_vcpus()) {
        let (guest, now) = (vcpu.counts.last_tsc.load(Relaxed), nostale_vmm::host::clock::now().0);
        assert!((view.ready_tsc().0..=now).contains(&guest), "guest {guest}, host {:?} to {now}", view.ready_tsc());
    }
    rig.machine.stop(BOUND)?;
    Ok(rig.machine.join(BOUND)?)
}

fn pauses_resumes_and_stops() -> Result<(), Failed> {
    let rig = start(&[layout::ARENA, layout::ARENA])?;
    for _ in 0..3 {
        rig.wait_for(1000)?;
        let pause = rig.machine.pause(BOUND)?;
        let paused = rig.visits();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(rig.visits(), paused, "a paused guest does nothing");
        drop(pause);
    }
    rig.wait_for(1000)?;
    rig.machine.stop(BOUND)?;
    // Stopped at the end of a visit: tallies and counters agree exactly.
    let tallied: u64 = (0..2).flat_map(|vcpu| rig.system.tally(vcpu)).map(|n| u64::from(n.load(Relaxed))).sum();
    let wrote: u64 = rig.system.all_vcpus().map(|vcpu| vcpu.counts.write_visits.load(Relaxed)).sum();
    assert_eq!(tallied, wrote);
    let counted: Result<u64, _> =
        (0..PAGES).map(|page| rig.arena.snapshot(rig.arena.hva(page)).map(|page| page.counters()[7])).sum();
    assert_eq!(counted?, wrote);
    Ok(rig.machine.join(BOUND)?)
}

fn memslots_come_and_go() -> Result<(), Failed> {
    let rig = start(&[layout::ARENA, layout::ARENA])?;
    let memslots = rig.machine.vm().memslots();
    let carried = || rig.machine.views().map(|view| view.carried_out()).sum::<u64>();
    rig.wait_for(1000)?;
    let mut rounds = 0;
    while carried() < 20 {
        let known = *memslots.over(rig.arena.home()).first().ok_or("the arena has no memslot")?;
        memslots.change().remove(known.id)?;
        // In the middle of whatever they are doing, vCPUs find nothing; some are to find it again in the middle of an instruction.
        std::thread::sleep(Duration::from_micros(50 * (rounds % 8)));
        let flags = SlotFlags { readonly: rounds % 3 == 0, ..SlotFlags::default() };
        let id = memslots.change().insert(known.slot, flags)?;
        if flags.readonly {
            std::thread::sleep(Duration::from_micros(100));
            let mut change = memslots.change();
            change.remove(id)?;
            change.insert(known.slot, SlotFlags::default())?;
        }
        rig.wait_for(100)?;
        rounds += 1;
    }
    rig.machine.stop(BOUND)?;
    for page in 0..PAGES {
        let tallied: u64 = (0..2).map(|vcpu| u64::from(rig.system.tally(vcpu)[page as usize].load(Relaxed))).sum();
        assert_eq!(rig.arena.snapshot(rig.arena.hva(page))?.counters(), [tallied; 8], "page {page}");
    }
    Ok(rig.machine.join(BOUND)?)
}

fn kick() -> Result<(), Failed> {
    let rig = start(&[layout::ARENA, layout::ARENA])?;
    rig.wait_for(1000)?;
    let exits = rig.machine.sample()?.exits;
    assert!(rig.machine.vm().kick(BOUND));
    assert!(rig.machine.sample()?.exits > exits, "a vCPU that leaves the guest makes an exit");
    rig.machine.stop(BOUND)?;
    Ok(rig.machine.join(BOUND)?)
}

fn a_stuck_vcpu_has_a_name() -> Result<(), Failed> {
    let rig = start(&[layout::ARENA])?;
    rig.wait_for(1000)?;
    let home = rig.arena.home();
    // SAFETY: takes the arena's pages away for good; nothing here touches them any more.
    unsafe { libc::munmap(home.start().get() as *mut libc::c_void, home.bytes() as usize) };
    let Err(stuck) = rig.machine.stop(Duration::from_millis(300)) else { return Err("it stopped without memory".into()) };
    let text = stuck.to_string();
    assert!(text.starts_with("vCPU 0 (Running") && text.contains("EFAULT retries"), "{text}");
    // However stuck it is, its thread ends when it must.
    Ok(rig.machine.join(BOUND)?)
}

fn assertion() -> Result<(), Failed> {
    let rig = start(&[layout::ARENA + 8])?;
    match rig.failure()? {
        VcpuFailure::Assertion { place, left: 8, right: 0 } if place.contains("src/entry.rs:") => Ok(()),
        other => Err(format!("{other}").into()),
    }
}

fn triple_fault() -> Result<(), Failed> {
    // No page table reaches that far, and there is no handler for the page fault.
    let rig = start(&[1 << 46])?;
    match rig.failure()? {
        VcpuFailure::TripleFault { rip } if rip >= layout::IMAGE => Ok(()),
        other => Err(format!("{other}").into()),
    }
}

fn impossible_vcpu_counts() -> Result<(), Failed> {
    match start(&[]) {
        Err(failed) if failed.message().is_some_and(|text| text.contains("0 vCPUs")) => {}
        _ => return Err("0 vCPUs were accepted".into()),
    }
    let system = System::new(PAGES, &vec![Role { program: Program::Storm, seed: 1, arena: layout::ARENA }; 24])?;
    let config =
        MachineConfig { system: &system, slots: &[], privilege: Privilege::User, demands: Demands::default(), told: None };
    match Machine::new(&config) {
        Ok(machine) => Ok(machine.join(BOUND)?),
        Err(MachineError::Vcpus(_)) => Err("24 vCPUs are possible".into()),
        Err(other) => Err(other.into()),
    }
}
