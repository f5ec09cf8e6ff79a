//! What testing costs: medians of several runs, as ratios of figures from the same run. Nothing here passes or fails.

use nostale_guest::abi::{Program, layout};
use nostale_notifier::{Gpa, addr::PAGE_SIZE};
use nostale_tests::median::median;
use nostale_vmm::{
    host::facts::Facts,
    live::{self, Config, Scenario},
    machine::{Demands, GuestFinding, Layout, Machine, MachineConfig, Observer, Privilege, Slot},
    memory::{Arena, Backing, Role, System},
};
use std::{
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

const VCPUS: usize = 2;
const BOUND: Duration = Duration::from_secs(30);

struct Nobody;

impl Observer for Nobody {
    fn finding(&self, finding: GuestFinding) {
        eprintln!("a finding without any host operation: {finding:?}");
    }
}

fn main() -> ExitCode {
    let facts = Facts::gather();
    if let Err(need) = facts.need_kvm() {
        eprintln!("bench-run: {need}");
        return ExitCode::from(2);
    }
    match guest_writes().and_then(|()| operations(&facts)).and_then(|()| start(&facts)).and_then(|()| sizes(&facts)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-run: {error}");
            ExitCode::from(2)
        }
    }
}

fn config(pages: u64) -> Config {
    let file_dir = std::env::temp_dir();
    Config {
        vcpus: VCPUS,
        host_writers: 0,
        pages,
        seed: 1,
        file_dir,
        stall_bound: BOUND,
        plant: None,
        until_violation: false,
        storm_round: false,
        layout: Some(Layout::Plain),
        told: None,
    }
}

/// Every check on against the bare increments, by turns in one VM, over the same pages in the same order.
fn guest_writes() -> Result<(), Box<dyn Error>> {
    const ROUNDS: usize = 7;
    let pages = (64 << 20) / PAGE_SIZE;
    let arena = Arena::new(Backing::ANON, pages, &std::env::temp_dir())?;
    let roles: Vec<_> = (0..VCPUS).map(|n| Role { program: Program::Storm, seed: n as u64, arena: layout::ARENA }).collect();
    let system = System::new(pages, &roles)?;
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
    let writes = || system.all_vcpus().map(|vcpu| vcpu.counts.write_visits.load(Relaxed)).sum::<u64>();
    let rate = |program| {
        system.set_program(program);
        // Out of the last batch of the other program, and into the caches of this one.
        std::thread::sleep(Duration::from_millis(50));
        let (from, before) = (Instant::now(), writes());
        std::thread::sleep(Duration::from_millis(400));
        (writes() - before) as f64 * 8.0 / from.elapsed().as_secs_f64()
    };
    rate(Program::Storm);
    let (mut bare, mut storm, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (one, other) = (rate(Program::Bare), rate(Program::Storm));
        bare.push(one);
        storm.push(other);
        ratios.push(other / one);
    }
    machine.stop(BOUND)?;
    machine.join(BOUND)?;
    println!("guest writes, {VCPUS} vCPUs, 64 MiB, medians of {ROUNDS} pairs in one VM");
    println!("  bare lock inc          {:8.1} M/s", median(&mut bare) / 1e6);
    println!("  with every check       {:8.1} M/s", median(&mut storm) / 1e6);
    println!("  checked / bare         {:8.2}", median(&mut ratios));
    Ok(())
}

/// Each operation under writing vCPUs against the same operation without a VM.
fn operations(facts: &Facts) -> Result<(), Box<dyn Error>> {
    const ROUNDS: usize = 3;
    let time = Duration::from_millis(500);
    println!("\noperations a second, {VCPUS} vCPUs writing / no VM, medians of {ROUNDS} pairs");
    for scenario in &live::plan(Some(&["all".to_owned()]), None)? {
        if let Some(missing) = scenario.missing(facts, &std::env::temp_dir()) {
            println!("  {:18} {:13} skipped: {missing}", scenario.name(), scenario.backing);
            continue;
        }
        if scenario.operations.iter().any(|operation| operation.machine.vm) {
            println!("  {:18} {:13} skipped: it changes the VM itself and has no bare loop", scenario.name(), scenario.backing);
            continue;
        }
        let (mut with, mut without, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let bare = live::bare_rate(scenario, &config(16384), facts, time)?;
            let result = live::run_scenario(scenario, &config(16384), facts, time, &AtomicBool::new(false))?;
            with.push(result.operations_per_second);
            without.push(bare);
            ratios.push(result.operations_per_second / bare);
        }
        let (with, without, ratio) = (median(&mut with), median(&mut without), median(&mut ratios));
        println!("  {:18} {:13} {with:10.0} / {without:10.0} = {ratio:6.3}", scenario.name(), scenario.backing);
    }
    Ok(())
}

fn protect(backing: &str) -> Result<Scenario, Box<dyn Error>> {
    let plan = live::plan(Some(&["protect".to_owned()]), Some(&[backing.to_owned()]))?;
    plan.into_iter().next().ok_or_else(|| "no scenario".into())
}

/// From the creation of a VM to its first write.
fn start(facts: &Facts) -> Result<(), Box<dyn Error>> {
    const ROUNDS: usize = 15;
    println!("\nstart to first verified write, medians of {ROUNDS}");
    for backing in ["anon", "anon-thp", "memfd"] {
        let scenario = protect(backing)?;
        let mut starts = (0..ROUNDS)
            .map(|_| {
                let time = Duration::from_millis(20);
                Ok(live::run_scenario(&scenario, &config(16384), facts, time, &AtomicBool::new(false))?.start_us)
            })
            .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        println!("  {backing:10} {:8.1} ms", median(&mut starts) / 1e3);
    }
    Ok(())
}

/// The final check, and guest writes, from 64 MiB to 8 GiB.
fn sizes(facts: &Facts) -> Result<(), Box<dyn Error>> {
    let available = facts.memory.available_bytes.known().copied().unwrap_or(0);
    println!("\nguest memory on the curve (protect on anon)");
    println!("  {:>8} {:>14} {:>16} {:>14} {:>12}", "memory", "check", "check per page", "writes", "start");
    let mut first = None;
    for mib in [64u64, 256, 1024, 4096, 8192] {
        if (mib << 20) > available / 2 {
            println!("  {mib:5} MiB skipped: this host has {} MiB available", available >> 20);
            continue;
        }
        let pages = (mib << 20) / PAGE_SIZE;
        let time = Duration::from_secs(1 + mib / 1024);
        let result = live::run_scenario(&protect("anon")?, &config(pages), facts, time, &AtomicBool::new(false))?;
        let per_page = result.check_us * 1e3 / pages as f64;
        let base = *first.get_or_insert(per_page);
        println!(
            "  {mib:4} MiB {:11.1} ms {per_page:8.1} ns ({:.2}x) {:10.1} M/s {:9.1} ms",
            result.check_us / 1e3,
            per_page / base,
            result.writes_per_second / 1e6,
            result.start_us / 1e3
        );
    }
    Ok(())
}
