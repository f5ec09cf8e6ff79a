//! How a comparison is shown, and what is refused.

use super::*;
use nostale_notifier::{
    event::Tsc,
    trace::{
        compare::{Recorded, compare},
        head::Mmu,
        profile::{
            BATCHES, Break, EventLine, Latency, LostOnCpu, OperationProfile, OrderVerdict, Profile, RuleResult, RuleState,
            Signature,
            Stage::{
                self, Begin, End, Enter, Fault, Flush, Free, Install, KvmFlush, RemoveMigration, Return, SetMigration, Start, Zap,
            },
            VERSION,
        },
    },
};
use std::{fs, path::Path};

fn signature(order: &[Stage], each: u64, batches: usize) -> Signature {
    let batches: Vec<u64> = (0..BATCHES).map(|at| if at < batches { each + at as u64 * 7 % 3 } else { 0 }).collect();
    Signature { order: order.to_vec(), count: batches.iter().sum(), batches }
}

fn latency(from: Stage, to: Stage, median: u64) -> Latency {
    let medians: Vec<u64> = (0..BATCHES as u64).map(|at| median + median * (at * 13 % 7) / 30).collect();
    let sum: u64 = medians.iter().sum();
    Latency {
        from,
        to,
        count: 10 * BATCHES as u64,
        min_ns: median,
        p50_ns: median * 11 / 10,
        p90_ns: median * 12 / 10,
        p99_ns: median * 7,
        max_ns: median * 9,
        total_ns: 10 * sum,
        histogram: medians.iter().map(|median| (*median, 10)).collect(),
        batch_medians_ns: medians.into_iter().map(Some).collect(),
    }
}

fn operation(name: &str, signatures: Vec<Signature>, latencies: Vec<Latency>) -> OperationProfile {
    let invalidations = signatures.iter().map(|signature| signature.count).sum();
    OperationProfile { name: name.to_owned(), invalidations, signatures, latencies }
}

fn rule(name: &str, says: &str, because: &str, breaks: u64) -> RuleResult {
    let example = Break {
        rule: name.to_owned(),
        what: "gfn 0x1234 was installed as pfn 0x77 between begin and end of [0x7f0000001000, 0x7f0000002000)".to_owned(),
        at_us: 1_234_567.8,
        hva: None,
        operation: "mremap".to_owned(),
        events: vec![EventLine {
            tsc: Tsc(1),
            at_us: 1.0,
            cpu: 0,
            tid: 1,
            thread: "vcpu 0".to_owned(),
            event: "kvmmmu/kvm_tdp_mmu_spte_changed".to_owned(),
            text: "x".to_owned(),
        }],
    };
    RuleResult {
        name: name.to_owned(),
        says: says.to_owned(),
        because: because.to_owned(),
        state: if breaks > 0 { RuleState::Broken } else { RuleState::Held },
        reason: None,
        checks: 80_000,
        breaks,
        examples: if breaks > 0 { vec![example] } else { Vec::new() },
    }
}

fn profile(kernel: &str, breaks: u64, operations: Vec<OperationProfile>) -> Profile {
    Profile {
        version: VERSION,
        verdict: if breaks > 0 { OrderVerdict::Broken } else { OrderVerdict::Held },
        kernel: kernel.to_owned(),
        cpu: "made up".to_owned(),
        cpus: 4,
        mmu: Mmu::Tdp,
        ticks_per_us: 2000.0,
        probes: true,
        pid: Some(77),
        command: "nostale".to_owned(),
        title: "mremap, migrate, discard".to_owned(),
        seconds: 30.0,
        events: 1_000_000,
        by_kind: Vec::new(),
        missing: std::collections::BTreeMap::new(),
        lost: Vec::new(),
        truncated: None,
        rules: vec![
            rule("announced", "nothing is zapped unannounced", "a fault would bring it back", 0),
            rule("retry", "nothing is installed between begin and end", "the page may be another one by then", breaks),
        ],
        operations,
        timelines: Vec::new(),
        notes: Vec::new(),
    }
}

const MREMAP: [Stage; 8] = [Enter, Start, Begin, Zap, KvmFlush, Flush, End, Return];
const MIGRATE: [Stage; 9] = [Enter, Start, Begin, Zap, KvmFlush, SetMigration, End, RemoveMigration, Return];
const DISCARD: [Stage; 9] = [Enter, Start, Begin, Zap, KvmFlush, Flush, Free, End, Return];

/// Two kernels, of which the second flushes too late.
fn pair() -> (Profile, Profile) {
    let idle = [Enter, Start, Begin, End, Return];
    let a = vec![
        operation(
            "mremap",
            vec![signature(&MREMAP, 100, 64), signature(&idle, 20, 64)],
            vec![latency(Start, End, 3100), latency(Begin, KvmFlush, 420)],
        ),
        operation("madvise(DONTNEED)", vec![signature(&DISCARD, 60, 64)], vec![latency(Zap, KvmFlush, 12_345)]),
        operation("move_pages", vec![signature(&MIGRATE, 12, 64), signature(&MIGRATE[..8], 1, 3)], vec![]),
        operation("munmap", vec![signature(&idle, 1, 2)], vec![]),
    ];
    let late = [Enter, Start, Begin, Zap, End, KvmFlush, Flush, Return];
    let b = vec![
        operation(
            "mremap",
            vec![signature(&MREMAP, 80, 64), signature(&idle, 40, 64), signature(&late, 1, 2)],
            vec![latency(Start, End, 6400), latency(Begin, KvmFlush, 421)],
        ),
        operation(
            "madvise(DONTNEED)",
            vec![signature(&DISCARD, 55, 64), signature(&[Enter, Free, Start, Begin, Zap, KvmFlush, End, Return], 1, 40)],
            vec![latency(Zap, KvmFlush, 12_000)],
        ),
        operation("move_pages", vec![signature(&MIGRATE, 12, 64)], vec![]),
        operation("kcompactd", vec![signature(&MIGRATE[1..8], 5, 64)], vec![]),
    ];
    (profile("6.12.9", 0, a), profile("6.18.1-next-20260101", 3, b))
}

fn compared((a, b): &(Profile, Profile)) -> Comparison {
    compare(Recorded { path: "6.12", profile: a }, Recorded { path: "next", profile: b }, 0.01)
}

#[test]
fn people_see_the_verdict_first_and_nothing_is_too_wide() {
    let comparison = compared(&pair());
    for width in [80, 100, 120] {
        let text = render(&comparison, Format::Human, &Options { width, color: false });
        println!("{text}");
        assert!(text.starts_with("relevant: 2 orders"), "{text}");
        let wide = text.lines().find(|line| line.chars().count() > width);
        assert_eq!(wide, None, "wider than {width}");
    }
    let text = render(&comparison, Format::Human, &Options { width: 200, color: false });
    for part in [
        "A  6.12: kernel 6.12.9, tdp MMU, probes, 4 CPUs, 30.0 s,",
        "kernel: 6.12.9 in A, 6.18.1-next-20260101 in B",
        "rule retry: held in A (80.0 k times asked), broken in B 3 of 80.0 k times",
        "first: gfn 0x1234 was installed",
        "rules: 1 held on both sides",
        "new in mremap: 3 of ",
        "end stands between zap and kvm-flush: the invalidation was over",
        "only in A: munmap (3)",
        "only in B: kcompactd",
        "3 operations: 2 orders new, 1 gone, 3 shares and 1 time moved",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let colored = render(&comparison, Format::Human, &Options { width: 120, color: true });
    assert!(colored.contains("\x1b[") && !text.contains('\x1b'));
}

#[test]
fn nothing_relevant_is_short() {
    let (a, _) = pair();
    let comparison = compared(&(a.clone(), a));
    let text = render(&comparison, Format::Human, &Options { width: 100, color: false });
    println!("{text}");
    assert!(text.starts_with("nothing relevant: ") && text.lines().count() < 20, "{text}");
    assert!(text.contains("Frequencies: none has moved") && text.contains("Times: none has moved"), "{text}");
    assert_eq!(exit_status(&comparison), 0);
}

#[test]
fn what_came_once_or_twice_is_counted_and_not_listed() {
    let (a, _) = pair();
    let mut b = a.clone();
    for faults in 1..=20 {
        let order: Vec<Stage> = MREMAP.into_iter().chain([Fault, Install].into_iter().cycle().take(faults)).collect();
        b.operations[0].signatures.push(signature(&order, 1, if faults == 9 { 3 } else { 1 }));
    }
    let text = render(&compared(&(a, b)), Format::Human, &Options { width: 400, color: false });
    assert_eq!(text.matches("new, perhaps rare").count(), 8, "{text}");
    assert!(text.contains("and 12 more that may be rare on both sides (at most 1 of each): --format json has them"), "{text}");
    let first = text.lines().find(|line| line.contains("new, perhaps rare")).unwrap_or_default();
    assert_eq!(first.matches("fault").count(), 5, "the most frequent first: {first}");
}

#[test]
fn what_qualifies_comes_before_what_it_qualifies() {
    let (mut a, mut b) = pair();
    (a.probes, b.mmu, b.truncated) = (false, Mmu::Shadow, Some("the disk was full".to_owned()));
    b.lost = vec![LostOnCpu { cpu: 2, events: 12_000 }];
    for operation in &mut a.operations {
        operation.signatures.iter_mut().for_each(|order| order.order.retain(|stage| !matches!(stage, Begin | KvmFlush | End)));
    }
    let text = render(&compared(&(a, b)), Format::Human, &Options { width: 80, color: false });
    println!("{text}");
    for part in [
        "mmu: tdp in A, shadow in B",
        "probes: no in A, yes in B",
        "lost events: no in A, 12000 in B",
        "left out: begin, kvm-flush, end: A never",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn test_tools_see_a_test_for_each_rule_and_operation() {
    let comparison = compared(&pair());
    let ktap = render(&comparison, Format::Ktap, &Options { width: 80, color: false });
    for part in [
        "1..5\n",
        "ok 1 rule announced\n",
        "not ok 2 rule retry\n",
        "not ok 3 orders of mremap\n",
        "# Totals: pass:2 fail:3 ",
        "ok 5 orders of move_pages\n",
    ] {
        assert!(ktap.contains(part), "{part:?} is not in\n{ktap}");
    }
    let junit = render(&comparison, Format::Junit, &Options { width: 80, color: false });
    assert!(junit.contains(r#"<testsuite name="nostale compare" tests="5" skipped="0" errors="0" failures="3""#), "{junit}");
    let (a, b) = pair();
    let alone = compared(&(a, Profile { operations: b.operations[3..].to_vec(), ..b }));
    assert_eq!((exit_status(&alone), alone.reason.is_none()), (1, true), "a rule needs no operation in common");
}

#[test]
fn a_file_that_is_no_profile_says_what_is_wrong() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| place.path().join(name);
    let (good, _) = pair();
    let text = serde_json::to_string(&good).expect("JSON");
    fs::create_dir_all(at("kept")).expect("created");
    fs::create_dir_all(at("other")).expect("created");
    fs::write(at("kept/trace.json"), &text).expect("written");
    assert_eq!(read(&at("kept")).expect("a profile"), good);
    assert_eq!(read(&at("kept/trace.json")).expect("a profile"), good);
    for end in (1..text.len()).step_by(997) {
        fs::write(at("cut"), &text.as_bytes()[..end]).expect("written");
        let error = read(&at("cut")).expect_err("not whole").to_string();
        assert!(error.contains("not whole"), "{end}: {error}");
    }
    let cases: [(&str, &str, &str); 5] = [
        ("empty", " \n", "the file is empty"),
        ("else", r#"{"version": 1, "verdict": "coherent"}"#, "not the profile of a recording"),
        ("future", r#"{"version": 2}"#, "version 2"),
        ("recording", "\x7fNST\0", "no recording of nostale"),
        ("sums", &text.replacen(r#""batches":["#, r#""batches":[77,"#, 1), "the batches of order 1 do not add up"),
    ];
    for (name, text, says) in cases {
        fs::write(at(name), text).expect("written");
        let error = read(&at(name)).expect_err(name).to_string();
        assert!(error.contains(says) && error.contains(name), "{name}: {error}");
    }
    assert!(read(&at("other")).expect_err("a directory").to_string().contains("no trace.json in this directory"));
    assert!(read(Path::new("/dev/null")).expect_err("a device").to_string().contains("not a file"));
    assert!(read(&at("nowhere")).expect_err("nothing").to_string().contains("No such file"));
}
