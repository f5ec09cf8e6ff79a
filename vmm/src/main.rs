//! nostale
use nostale_vmm::{
    host::facts::Facts,
    live::{self, Config, NoHooks, Plant},
};
use std::time::Duration;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let ops: Vec<String> = args[1].split(',').map(str::to_owned).collect();
    let backs: Vec<String> =
        args.get(2).map_or("".into(), |s| s.clone()).split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let secs: f64 = args.get(3).map_or(1.0, |s| s.parse().unwrap());
    let plant: Option<Plant> = args.get(4).map(|s| s.parse().unwrap());
    let plan = if args[1] == "default" {
        live::default_plan()
    } else {
        live::plan(Some(&ops), if backs.is_empty() { None } else { Some(&backs) }).unwrap()
    };
    let facts = Facts::gather();
    let config = Config {
        vcpus: 2,
        host_writers: 1,
        pages: 16384,
        seed: 1,
        file_dir: "/tmp".into(),
        stall_bound: Duration::from_secs(2),
        plant,
    };
    let report = live::run(
        &plan,
        &config,
        &facts,
        Duration::from_secs_f64(secs * plan.len() as f64),
        &std::sync::atomic::AtomicBool::new(false),
        &mut NoHooks,
    )
    .unwrap();
    for s in &report.scenarios {
        println!(
            "{:24} {:14} {:10} ops/s {:9.0} pages {:8} writes/s {:6.1}M inval {:8} inst {:8} efault {:7} stall {:8.0}us start {:6.0} check {:7.0} lost {} stale {}/{} emul {} huge {} {}",
            s.name,
            s.backing,
            s.verdict,
            s.operations_per_second,
            s.pages,
            s.writes_per_second * 1e-6,
            s.invalidations,
            s.installs,
            s.efaults,
            s.longest_stall_us,
            s.start_us,
            s.check_us,
            s.lost_writes,
            s.stale_writes,
            s.stale_reads,
            s.kvm.insn_emulation,
            s.huge_bytes >> 20,
            s.reason.as_deref().unwrap_or("")
        );
        for v in s.violations.iter().take(3) {
            println!("    {} {} {:?} exp {} found {} {}", v.oracle, v.operation, v.page, v.expected, v.found, v.detail);
        }
    }
    for n in &report.notes {
        println!("note {n}");
    }
}
