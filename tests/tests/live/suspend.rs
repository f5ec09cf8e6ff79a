//! vCPUs stop at any instruction, and go on there: in place, and as the vCPUs of another VM on the same memory.

use crate::{Bench, PAGES, trial};
use libtest_mimic::{Failed, Trial};
use nostale_guest::abi::{Program, layout};
use nostale_notifier::Gpa;
use nostale_vmm::{
    machine::{CpuState, Demands, GuestFinding, Machine, MachineConfig, Observer, Privilege, Slot, VcpuView},
    memory::{Arena, Backing, Role, System},
};
use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

const BOUND: Duration = Duration::from_secs(30);

pub(crate) fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    vec![
        trial(bench, "suspend::stops_at_any_instruction_and_goes_on_in_place", None, |_| in_place()),
        trial(bench, "suspend::goes_on_in_another_vm", None, |_| in_another_vm()),
        trial(bench, "suspend::stops_between_the_halves_of_an_increment", None, |_| between_halves()),
    ]
}

struct Nobody;

impl Observer for Nobody {
    fn finding(&self, finding: GuestFinding) {
        panic!("nothing is replaced here: {finding:?}");
    }
}

struct Rig {
    arena: Arena,
    system: System,
}

impl Rig {
    fn new() -> Result<Self, Failed> {
        let arena = Arena::new(Backing::ANON, PAGES, &std::env::temp_dir())?;
        let role = |seed| Role { program: Program::Storm, seed, arena: layout::ARENA };
        Ok(Self { system: System::new(PAGES, &[role(1), role(2), role(3)])?, arena })
    }

    fn machine(&self) -> Result<Machine, Failed> {
        let slots = [Slot::home(Gpa::new(layout::ARENA), &self.arena)];
        Ok(Machine::new(&MachineConfig {
            system: &self.system,
            slots: &slots,
            privilege: Privilege::User,
            demands: Demands::default(),
            told: None,
        })?)
    }

    fn visits(&self) -> Vec<u64> {
        self.system.all_vcpus().map(|vcpu| vcpu.counts.visits.load(Relaxed)).collect()
    }

    fn wait_for_all(&self) -> Result<(), Failed> {
        let start = self.visits();
        for _ in 0..30_000 {
            if self.visits().iter().zip(&start).all(|(now, then)| now > then) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Err(format!("vCPUs do not go on: {start:?}, then {:?}", self.visits()).into())
    }

    /// Every visit that was tallied is on the page, and no other.
    fn judge(&self) {
        for page in 0..PAGES {
            let tallied: u32 = (0..3).map(|vcpu| self.system.tally(vcpu)[page as usize].load(Relaxed)).sum();
            let found = self.arena.snapshot(self.arena.hva(page)).expect("mapped").counters();
            assert_eq!(found, [u64::from(tallied); 8], "page {page}");
        }
    }
}

fn in_place() -> Result<(), Failed> {
    let rig = Rig::new()?;
    let mut machine = rig.machine()?;
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    machine.start(&observer)?;
    let (vcpus, mut places) = (machine.vcpus(), HashSet::new());
    for _ in 0..200 {
        rig.wait_for_all()?;
        let states = vcpus.suspend(BOUND)?;
        places.extend(states.iter().map(CpuState::rip));
        let stopped = rig.visits();
        std::thread::sleep(Duration::from_micros(200));
        assert_eq!(rig.visits(), stopped, "a stopped vCPU does nothing");
        vcpus.go_on();
        // Stopped without having been asked for its state, and at once again.
        vcpus.hold(BOUND)?;
        vcpus.go_on();
    }
    assert!(places.len() > 10, "always at the same instructions: {places:x?}");
    machine.stop(BOUND)?;
    rig.judge();
    Ok(machine.join(BOUND)?)
}

fn in_another_vm() -> Result<(), Failed> {
    let rig = Rig::new()?;
    let (mut here, mut there) = (rig.machine()?, rig.machine()?);
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    here.start(&observer)?;
    let (mut runs, mut rests) = (here.vcpus(), there.start_suspended(&observer, BOUND)?);
    for _ in 0..200 {
        rig.wait_for_all()?;
        let states = runs.suspend(BOUND)?;
        // As another process would get them.
        let states = states.iter().map(|state| CpuState::from_bytes(&state.to_bytes())).collect::<Result<_, _>>()?;
        rests.put(states, BOUND)?;
        rests.go_on();
        std::mem::swap(&mut runs, &mut rests);
    }
    rig.wait_for_all()?;
    here.stop(BOUND)?;
    rig.judge();
    here.join(BOUND)?;
    Ok(there.join(BOUND)?)
}

/// While there is no memslot, vCPUs wait with an increment of which KVM has handed out the read. If they are to stop when they go on,
/// the write is handed out while they settle.
fn between_halves() -> Result<(), Failed> {
    let rig = Rig::new()?;
    let mut machine = rig.machine()?;
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    machine.start(&observer)?;
    let (vm, vcpus) = (Arc::clone(machine.vm()), machine.vcpus());
    let carried_out = || machine.views().map(VcpuView::carried_out).sum::<u64>();
    for _ in 0..50 {
        rig.wait_for_all()?;
        let arena = vm.memslots().over(rig.arena.home());
        let known = arena.first().ok_or("the arena has a memslot")?;
        vm.memslots().change().remove(known.id)?;
        // All of them come by.
        std::thread::sleep(Duration::from_millis(2));
        std::thread::scope(|scope| {
            let states = scope.spawn(|| vcpus.suspend(BOUND));
            std::thread::sleep(Duration::from_millis(2));
            // The read may be carried out now, but there is still no memslot for the write.
            vm.memslots().change().open();
            states.join().expect("it does not panic")?;
            Ok::<_, Failed>(())
        })?;
        vm.memslots().change().insert(known.slot, known.flags)?;
        vcpus.go_on();
    }
    assert!(carried_out() >= 100, "hardly anything was carried out: {}", carried_out());
    machine.stop(BOUND)?;
    rig.judge();
    Ok(machine.join(BOUND)?)
}
