//! Results as commands keep them, small but with everything in them; names that try to get out of the page among them.

use nostale_notifier::{
    Hva,
    event::Tsc,
    trace::{
        compare::{Comparison, Recorded, compare},
        head::Mmu,
        profile::{
            BATCHES, Break, EventLine, KindCount, Latency, LostOnCpu, OperationProfile, OrderVerdict, Profile, RuleResult,
            RuleState, Signature, Stage, Timeline, TimelineEvent, VERSION,
        },
    },
};
use nostale_vmm::report::{
    Host, RunReport, ScenarioResult, Setup, Verdict,
    matrix::{KernelResult, MachineShape, MatrixReport, MatrixSetup},
};
use serde_json::{Value, json};

/// What would run if any part of the page took text for markup.
pub(crate) const NASTY: &str = "</script><script>window.harm = 1</script><img src=x onerror=\"window.harm = 2\">";

const CALL: [Stage; 8] =
    [Stage::Enter, Stage::Start, Stage::Begin, Stage::Zap, Stage::KvmFlush, Stage::Flush, Stage::End, Stage::Return];

fn scenario(name: &str, backing: &str, verdict: Verdict, rate: f64) -> ScenarioResult {
    let replay = format!("nostale run --ops {name} --backing {backing} --seed 0x5eed");
    let mut scenario = ScenarioResult::without_run(name, backing, verdict, String::new(), replay);
    scenario.reason = (verdict != Verdict::Coherent).then(|| format!("because of {NASTY}"));
    (scenario.seconds, scenario.operations_per_second, scenario.writes_per_second) = (1.0, rate, rate * 1e4);
    (scenario.operations, scenario.guest_writes, scenario.invalidations) = (rate as u64, (rate * 1e4) as u64, 400);
    scenario
}

/// 240 scenarios, of which two broke, and one has a name that nobody would give it.
pub(crate) fn run() -> RunReport {
    let mut scenarios: Vec<_> =
        (0..237).map(|n| scenario(&format!("op-{n:03}"), "anon", Verdict::Coherent, f64::from(n) + 1.0)).collect();
    scenarios.insert(3, scenario("mremap", "memfd", Verdict::Violation, 5e3));
    scenarios.insert(7, scenario(NASTY, NASTY, Verdict::Stuck, 0.5));
    scenarios.push(scenario("ksm", "anon", Verdict::Skipped, 0.0));
    RunReport {
        version: 1,
        verdict: Verdict::Violation,
        seed: u64::MAX,
        host: Host { kernel: NASTY.to_owned(), mmu: "npt".to_owned(), cpu: "Example CPU".to_owned(), cpus: 2 },
        setup: Setup { vcpus: 4, host_writers: 1, memory_bytes: 64 << 20 },
        interrupted: false,
        trace: None,
        scenarios,
        notes: vec![NASTY.to_owned()],
    }
}

/// Two kernels, one of which broke.
pub(crate) fn matrix() -> MatrixReport {
    let kernel = |asked: &str, verdict| KernelResult {
        release: Some(format!("{asked}.1-amd64")),
        scenarios: vec![scenario("mremap", "anon", Verdict::Coherent, 120.0), scenario("migrate", "memfd", verdict, 80.0)],
        ..KernelResult::without_run(asked, verdict, String::new())
    };
    MatrixReport {
        version: 1,
        verdict: Verdict::Violation,
        seed: 7,
        setup: MatrixSetup {
            run: Setup { vcpus: 2, host_writers: 1, memory_bytes: 16 << 20 },
            seconds: 30.0,
            plant: None,
            machine: MachineShape { cpus: 2, memory_bytes: 2 << 30, nodes: 2, append: Vec::new() },
        },
        interrupted: false,
        kernels: vec![kernel("6.1", Verdict::Coherent), kernel("6.12", Verdict::Violation)],
        notes: Vec::new(),
    }
}

/// A mutant of each important fate.
pub(crate) fn mutate() -> Value {
    let mutant = |id: &str, fate: &str, expected: bool, killed_by: Value| {
        json!({ "id": id, "function": "wp_page_copy", "kind": "both calls", "group": "caller", "fate": fate, "expected": expected,
                "why": NASTY, "killed_by": killed_by, "patches": [{ "place": "wp_page_copy+0x10", "was": "call", "is": "nop" }], "sites": [],
                "scenarios": ["fork on anon"], "trials": [], "replay": "nostale mutate --kernel 6.1 --only wp_page_copy" })
    };
    let kill =
        json!({ "oracle": "finality", "scenario": "fork", "backing": "anon", "seconds": 0.4, "detail": "a write came too late" });
    json!({ "version": 1, "verdict": "unexpected", "seed": 1, "seconds": 5.0, "notes": [], "kernels": [{
        "asked": "6.1", "release": "6.1.0-amd64", "origin": "Debian", "accelerator": "tcg", "mmu": "npt", "boot_seconds": 4.0, "seconds": 90.0,
        "resumed": 0, "interrupted": false, "controls": 4, "control_alarms": [], "void_controls": [], "notes": [],
        "kernel": { "functions": 50000, "text_bytes": 1, "sites": [], "oddities": [] },
        "mutants": [mutant("wp_page_copy/both", "killed", true, kill), mutant("exit_mmap/release", "equivalent", true, Value::Null),
                    mutant("do_wp_page/start", "survived", false, Value::Null)] }] })
}

/// A case that fails as it should, with the way there.
pub(crate) fn check() -> Value {
    let step = |thread: &str, fails| {
        json!({ "thread": thread, "step": "n = r + 1", "library": null, "line": 4, "changes": ["n: 0 → 1"], "fails": fails, "failing": null,
                "repeats": false, "beside": false })
    };
    json!({ "version": 1, "errors": [], "interrupted": false, "files": [{
        "path": "dir/count.nst", "model": NASTY, "variant": "default", "memory_model": "sc", "expected": "fails", "expected_exactly": "fails",
        "expected_message": null, "verdict": "fails", "agrees": true, "vacuous": false, "bound": null, "random": null, "states": 12, "transitions": 20,
        "depth": 4, "seconds": 0.001, "peak_bytes": 400, "state_bits": 9,
        "violated": { "kind": "property", "text": "finally n == 2", "message": "an increment was lost", "library": null, "line": 5 },
        "counterexample": [step("a", false), step("b", true)], "waiting": [], "replay": "nostale check dir/count.nst" }] })
}

/// A test that agrees, as an older version wrote it.
pub(crate) fn litmus() -> Value {
    let seen = |times: u64| json!({ "times": times, "per_million": 10.0, "first_us": 3.0, "best_shape": null });
    json!({ "version": 1, "seed": 3, "errors": [], "interrupted": false, "tests": [{
        "path": "message.nst", "model": "message", "variant": "start_end", "memory_model": "sc", "verdict": "agrees", "reason": null, "never_seen": [],
        "columns": ["r"], "states": [{ "state": "r=1", "end": "finished", "values": ["1"], "model": "allowed", "allowed_under": [], "violates": null,
                                      "soft": seen(40), "kvm": null }],
        "explored": null, "kvm": null, "kvm_skipped": "no /dev/kvm", "replay": "nostale litmus message.nst",
        "soft": { "instances": 40, "seconds": 0.1, "instances_per_second": 400.0, "shapes": [] } }] })
}

/// A recording: `operations` of them, each in two orders; the second of these only where `flushes_twice`.
pub(crate) fn profile(kernel: &str, operations: u64, flushes_twice: bool) -> Profile {
    let broken = flushes_twice && operations > 0;
    let names: Vec<String> = (0..operations)
        .map(|n| match n {
            0 => "mremap".to_owned(),
            1 => "madvise(DONTNEED)".to_owned(),
            2 => NASTY.to_owned(),
            n => format!("ioctl({n:#x})"),
        })
        .collect();
    let mut second = CALL.to_vec();
    second.swap(4, 5);
    let orders = if flushes_twice { vec![CALL.to_vec(), second] } else { vec![CALL.to_vec()] };
    let lines = CALL.iter().zip(0u32..).map(|(stage, n)| EventLine {
        tsc: Tsc(9_007_199_254_740_993 + u64::from(n)),
        at_us: 1000.0 + f64::from(n),
        cpu: 0,
        tid: 42,
        thread: "worker".to_owned(),
        event: format!("group/{}", stage.name()),
        text: NASTY.to_owned(),
    });
    let examples = vec![Break {
        rule: "no-install".to_owned(),
        what: format!("an entry was installed {NASTY}"),
        at_us: 1003.0,
        hva: Some(Hva::new(0x7f00_0000_1000)),
        operation: "mremap".to_owned(),
        events: lines.collect(),
    }];
    let rule = |name: &str, state, examples: Vec<Break>| RuleResult {
        name: name.to_owned(),
        says: format!("what {name} says"),
        because: "else a guest writes into somebody else's page".to_owned(),
        state,
        reason: (state == RuleState::NotAsked).then(|| "no such event".to_owned()),
        checks: 1000,
        breaks: examples.len() as u64,
        examples,
    };
    Profile {
        version: VERSION,
        verdict: match (operations, broken) {
            (0, _) => OrderVerdict::Vacuous,
            (_, true) => OrderVerdict::Broken,
            _ => OrderVerdict::Held,
        },
        kernel: kernel.to_owned(),
        cpu: "Example CPU".to_owned(),
        cpus: 2,
        mmu: Mmu::Tdp,
        ticks_per_us: 3000.0,
        probes: true,
        pid: Some(42),
        command: NASTY.to_owned(),
        title: "mremap on anon".to_owned(),
        seconds: 2.0,
        events: 12_345,
        by_kind: vec![KindCount { name: "kvm/kvm_page_fault".to_owned(), events: 12_345 }],
        missing: std::collections::BTreeMap::new(),
        lost: vec![LostOnCpu { cpu: 1, events: 7 }],
        truncated: None,
        rules: vec![
            rule("announced", RuleState::Held, Vec::new()),
            rule(
                "no-install",
                if broken { RuleState::Broken } else { RuleState::Held },
                if broken { examples } else { Vec::new() },
            ),
            rule("free-after-flush", RuleState::NotAsked, Vec::new()),
        ],
        operations: names.iter().map(|name| operation(name, &orders)).collect(),
        timelines: names.iter().flat_map(|name| orders.iter().map(move |order| timeline(name, order))).collect(),
        notes: Vec::new(),
    }
}

/// Two recordings compared, of which the second flushes behind the end of an invalidation.
pub(crate) fn comparison() -> Comparison {
    let (a, mut b) = (profile("6.1.0", 5, false), profile("7.2.0", 5, true));
    let mut late = CALL.to_vec();
    late.swap(4, 6);
    b.operations[0].signatures.push(Signature { order: late, count: 64, batches: vec![1; BATCHES] });
    let side = |path, profile| Recorded { path, profile };
    compare(side(NASTY, &a), side("after", &b), 0.01)
}

fn operation(name: &str, orders: &[Vec<Stage>]) -> OperationProfile {
    let signatures = orders.iter().map(|order| Signature { order: order.clone(), count: 640, batches: vec![10; BATCHES] });
    let latency = |from, to, scale: u64| Latency {
        from,
        to,
        count: 1000,
        min_ns: 100 * scale,
        p50_ns: 200 * scale,
        p90_ns: 400 * scale,
        p99_ns: 800 * scale,
        max_ns: 1000 * scale,
        total_ns: 250_000 * scale,
        histogram: (1..=10).map(|n| (n * 100 * scale, 100)).collect(),
        batch_medians_ns: (0..BATCHES as u64).map(|n| (n % 9 != 0).then_some(200 * scale + n)).collect(),
    };
    OperationProfile {
        name: name.to_owned(),
        invalidations: 640 * orders.len() as u64,
        signatures: signatures.collect(),
        latencies: vec![latency(Stage::Start, Stage::End, 10), latency(Stage::Enter, Stage::Return, 12)],
    }
}

fn timeline(name: &str, order: &[Stage]) -> Timeline {
    let event = |stage: Stage, at_us, cpu, thread: &str| TimelineEvent {
        stage,
        at_us,
        cpu,
        thread: thread.to_owned(),
        event: format!("group/{}", stage.name()),
        text: format!("what {} says {NASTY}", stage.name()),
    };
    let mut events: Vec<_> =
        order.iter().zip(0u32..).map(|(stage, n)| event(*stage, f64::from(n) * 2.0 - 2.0, 0, "worker")).collect();
    events.push(event(Stage::Fault, 5.0, 1, "CPU 1/KVM"));
    events.push(event(Stage::Install, 10.5, 1, "CPU 1/KVM"));
    events.sort_by(|a, b| a.at_us.total_cmp(&b.at_us));
    Timeline {
        operation: name.to_owned(),
        chosen: "first".to_owned(),
        order: order.to_vec(),
        thread: "worker".to_owned(),
        start: Hva::new(0x7f00_0000_0000),
        end: Hva::new(0x7f00_0020_0000),
        at_us: 1e6,
        took_us: 14.0,
        events,
    }
}
