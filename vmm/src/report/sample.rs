//! A made-up run for tests, with every verdict in it.

use super::{Host, RunReport, ScenarioResult, Setup, Verdict};
use crate::{
    machine::Sample,
    memory::Snapshot,
    oracle::{Access, Oracle, PageDump, Violation},
};
use nostale_guest::page::LINES;
use nostale_notifier::{
    Hva, HvaRange,
    event::{Event, Stage, Tsc},
    trace::{
        head::Mmu,
        profile::{OrderVerdict, Profile, VERSION},
    },
};

/// Ticks a microsecond in this run.
pub(super) const TICKS: f64 = 3000.0;

pub(crate) fn scenario(name: &str, backing: &str, verdict: Verdict) -> ScenarioResult {
    ScenarioResult {
        name: name.to_owned(),
        backing: backing.to_owned(),
        verdict,
        reason: None,
        method: None,
        layout: Some("plain".to_owned()),
        migration: None,
        seconds: 1.5,
        operations: 18_450,
        operations_per_second: 12_300.0,
        pages: 36_900,
        by_operation: Vec::new(),
        guest_writes: 136_000_000,
        host_writes: 800_000,
        writes_per_second: 91.2e6,
        lost_writes: 0,
        stale_writes: 0,
        stale_reads: 0,
        longest_stall_us: 4100.0,
        invalidations: 312_000,
        installs: 312_400,
        efaults: 12,
        witnessed_pages: 0,
        third_thread_sightings: 0,
        huge_bytes: 0,
        start_us: 900.0,
        check_us: 1200.0,
        kvm: Sample::default(),
        storm: None,
        litmus: None,
        remarks: Vec::new(),
        violations: Vec::new(),
        replay: format!("nostale run --ops {name} --backing {backing} --seed 0x5eed"),
    }
}

pub(super) fn skipped(name: &str, backing: &str, reason: &str) -> ScenarioResult {
    let mut scenario = scenario(name, backing, Verdict::Skipped);
    scenario.reason = Some(reason.to_owned());
    (scenario.operations, scenario.guest_writes, scenario.host_writes, scenario.invalidations) = (0, 0, 0, 0);
    (scenario.seconds, scenario.operations_per_second, scenario.writes_per_second) = (0.0, 0.0, 0.0);
    scenario
}

pub(super) fn violation() -> Violation {
    let range = HvaRange::new(Hva::new(0x7f00_0001_1000), 1).expect("aligned");
    let event = |tsc, stage, generation| Event { tsc: Tsc(tsc), stage, actor: "mremap".into(), range, generation };
    let dump = |what: &str, word| PageDump { what: what.to_owned(), snapshot: Snapshot { lines: [[word; 8]; LINES] } };
    Violation {
        oracle: Oracle::Finality,
        access: Some(Access::Write),
        operation: "mremap".to_owned(),
        page: Some(17),
        range: Some(range),
        writer: Some("vcpu 3".to_owned()),
        expected: 41,
        found: 42,
        tsc: Tsc(1_000_000),
        detail: "vcpu 3 wrote the old page of page 17 after mremap had returned with generation 42".to_owned(),
        events: vec![
            event(962_800, Stage::OperationStart, 42),
            event(990_700, Stage::Returned, 42),
            event(991_000, Stage::Published, 42),
            event(1_000_000, Stage::Witnessed, 0),
        ],
        pages: vec![dump("the old page, through the witness", 0x2a), dump("the new page", 0x29)],
    }
}

/// Two coherent scenarios, one of each other verdict, and a note.
pub(crate) fn run() -> RunReport {
    let mut broken = scenario("mremap", "memfd", Verdict::Violation);
    broken.reason = Some("finality: 1 write after the operation had returned".to_owned());
    broken.stale_writes = 1;
    broken.violations = vec![violation()];
    let mut stuck = scenario("migrate", "anon-thp", Verdict::Stuck);
    stuck.reason = Some("vcpu 1 made no progress for 10.0 s".to_owned());
    (stuck.writes_per_second, stuck.operations_per_second, stuck.longest_stall_us) = (310.0, 0.4, 10.0e6);
    let mut vacuous = scenario("protect", "anon", Verdict::Vacuous);
    vacuous.reason = Some("no invalidation hit the secondary MMU (remote_tlb_flush_requests did not move)".to_owned());
    vacuous.invalidations = 0;
    let nodes = "needs two memory nodes (this host has 1); boot with numa=fake=2";
    let scenarios = vec![
        scenario("mremap", "anon", Verdict::Coherent),
        broken,
        scenario("mremap-dontunmap", "anon", Verdict::Coherent),
        stuck,
        vacuous,
        skipped("migrate-nodes", "file-private", nodes),
    ];
    RunReport {
        version: 1,
        verdict: Verdict::of(scenarios.iter().map(|scenario| scenario.verdict)),
        seed: 0x5eed,
        host: Host { kernel: "6.18.44".to_owned(), mmu: "shadow".to_owned(), cpu: "Example CPU".to_owned(), cpus: 2 },
        setup: Setup { vcpus: 4, host_writers: 2, memory_bytes: 64 << 20 },
        interrupted: false,
        trace: None,
        scenarios,
        notes: vec!["the kernel log could not be read (dmesg_restrict is 1): the kernel oracle did not watch".to_owned()],
    }
}

/// What the kernel's own events may come to.
pub(crate) fn profile() -> Profile {
    Profile {
        version: VERSION,
        verdict: OrderVerdict::Held,
        kernel: "6.12.0".to_owned(),
        cpu: "made up".to_owned(),
        cpus: 2,
        mmu: Mmu::Tdp,
        ticks_per_us: TICKS,
        probes: true,
        pid: Some(77),
        command: "qemu-system-x86".to_owned(),
        title: "qemu-system-x86_64 -m 64M".to_owned(),
        seconds: 3.0,
        events: 1_000,
        by_kind: Vec::new(),
        missing: std::collections::BTreeMap::new(),
        lost: Vec::new(),
        truncated: None,
        rules: Vec::new(),
        operations: Vec::new(),
        timelines: Vec::new(),
        notes: Vec::new(),
    }
}
