//! The machine on real KVM: it runs natively, it pauses, it stops, and a stuck vCPU has a name.

use nostale_guest::abi::{Program, layout};
use nostale_notifier::Gpa;
use nostale_vmm::{
    machine::{GuestFinding, Machine, MachineConfig, Observer, Privilege, Slot},
    memory::{Arena, Backing, Role, System},
};
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

struct Nobody;
impl Observer for Nobody {
    fn finding(&self, finding: GuestFinding) {
        panic!("{finding:?}");
    }
}

#[test]
fn probe() {
    for privilege in [Privilege::User, Privilege::Supervisor] {
        let arena = Arena::new(Backing::ANON, 16384, Path::new("/tmp")).unwrap();
        for program in [Program::Bare, Program::Storm] {
            let roles = [Role { program, seed: 1, arena: layout::ARENA }, Role { program, seed: 2, arena: layout::ARENA }];
            let begin = Instant::now();
            let system = System::new(arena.pages(), &roles).unwrap();
            let slots = [Slot { gpa: Gpa::new(layout::ARENA), hva: arena.home() }];
            let mut machine = Machine::new(&MachineConfig { system: &system, slots: &slots, privilege }).unwrap();
            let observer: Arc<dyn Observer> = Arc::new(Nobody);
            machine.start(&observer).unwrap();
            while system.vcpu(0).unwrap().counts.write_visits.load(Relaxed) == 0 {
                std::hint::spin_loop();
            }
            println!("first write after {:?}", begin.elapsed());
            for view in machine.views() {
                println!("tsc {}", view.ready_tsc().0 as i64 - system.vcpu(0).unwrap().counts.last_tsc.load(Relaxed) as i64);
            }
            std::thread::sleep(Duration::from_millis(1000));
            let before: u64 = system.all_vcpus().map(|v| v.counts.write_visits.load(Relaxed)).sum();
            std::thread::sleep(Duration::from_millis(1000));
            let after: u64 = system.all_vcpus().map(|v| v.counts.write_visits.load(Relaxed)).sum();
            println!(
                "{program:?} {privilege:?}: {:.1} M writes/s, {:?}",
                (after - before) as f64 * 8e-6,
                machine.sample().unwrap()
            );
            for view in machine.views() {
                println!("{:?} {}", view.state(), view.efaults());
            }
            println!("{:?}", machine.stop(Duration::from_secs(2)));
            machine.join(Duration::from_secs(2)).unwrap();
        }
    }
}
