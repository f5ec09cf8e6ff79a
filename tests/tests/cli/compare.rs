//! `nostale compare`: two recordings of a kernel's invalidations, and what the exit status says of them.

use crate::{Place, ends_with, ensure, json, trial};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use std::{fs, process::Output};

/// The names that scripts may rely on.
const COMPARISON: &[&str] = &[
    "version",
    "verdict",
    "reason",
    "method",
    "alpha",
    "a",
    "b",
    "differences",
    "projected",
    "rules",
    "operations",
    "only_in_a",
    "only_in_b",
    "notes",
];
const ORDER: &[&str] =
    &["order", "a", "b", "change", "ratio", "ratio_low", "ratio_high", "p", "p_of_all", "confident", "inversions", "relevant"];
const LATENCY: &[&str] =
    &["from", "to", "a", "b", "change", "ratio", "ratio_low", "ratio_high", "cliffs_delta", "p", "p_of_all", "confident"];

const RIGHT: [&str; 7] = ["enter", "start", "begin", "zap", "kvm-flush", "end", "return"];
const IDLE: [&str; 5] = ["enter", "start", "begin", "end", "return"];
const LATE: [&str; 7] = ["enter", "start", "begin", "zap", "end", "kvm-flush", "return"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("compare::with_itself_nothing_differs", None, itself),
        trial("compare::a_relevant_order_is_enough", None, relevant),
        trial("compare::a_broken_rule_is_enough", None, rule),
        trial("compare::a_frequency_is_information", None, frequency),
        trial("compare::nothing_in_common", None, disjoint),
        trial("compare::everything_is_kept", None, kept),
        trial("compare::what_cannot_be_read", None, errors),
    ]
}

/// A profile as `nostale trace` writes it: these orders, so often in each of the first so many batches.
fn profile(operation: &str, orders: &[(&[&str], u64, usize)]) -> Value {
    let signature = |(order, each, batches): &(&[&str], u64, usize)| {
        let counts: Vec<u64> = (0..64).map(|at| if at < *batches { each + at as u64 % 3 } else { 0 }).collect();
        json!({ "order": order, "count": counts.iter().sum::<u64>(), "batches": counts })
    };
    let signatures: Vec<Value> = orders.iter().map(signature).collect();
    let count = |signature: &Value| signature["count"].as_u64().unwrap_or_default();
    let medians: Vec<u64> = (0..64).map(|at| 3000 + at % 7).collect();
    let histogram: Vec<[u64; 2]> = medians.iter().map(|median| [*median, 1]).collect();
    let rule = json!({ "name": "announced", "says": "nothing is zapped unannounced", "because": "a fault would bring it back",
        "state": "held", "reason": null, "checks": 64, "breaks": 0, "examples": [] });
    json!({
        "version": 1, "verdict": "held", "kernel": "6.12.9", "cpu": "made up", "cpus": 2, "mmu": "tdp", "ticks_per_us": 2000.0,
        "probes": true, "pid": 1, "command": "nostale", "title": operation, "seconds": 3.0, "events": 640, "by_kind": [], "lost": [],
        "truncated": null, "rules": [rule], "timelines": [], "notes": [],
        "operations": [{
            "name": operation, "invalidations": signatures.iter().map(count).sum::<u64>(), "signatures": signatures,
            "latencies": [{ "from": "start", "to": "end", "count": 64, "min_ns": 3000, "p50_ns": 3003, "p90_ns": 3006,
                "p99_ns": 3006, "max_ns": 3006, "total_ns": medians.iter().sum::<u64>(), "histogram": histogram,
                "batch_medians_ns": medians }],
        }],
    })
}

fn usual() -> Value {
    profile("mremap", &[(&RIGHT, 50, 64), (&IDLE, 10, 64)])
}

fn write(place: &Place, name: &str, document: &Value) -> Result<(), Failed> {
    Ok(fs::write(place.path().join(name), document.to_string())?)
}

fn compare(place: &Place, arguments: &[&str]) -> Result<Output, Failed> {
    place.nostale(&[&["compare"], arguments].concat())
}

/// The text of a comparison that ends so, and has these parts.
fn shows(place: &Place, arguments: &[&str], status: i32, parts: &[&str]) -> Result<(), Failed> {
    let output = compare(place, arguments)?;
    ends_with(&output, status)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(!text.contains('\x1b'), || "colours, though nobody looks".to_owned())?;
    parts.iter().try_for_each(|part| ensure(text.contains(part), || format!("{part:?} is not in\n{text}")))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn itself() -> Result<(), Failed> {
    let place = Place::new()?;
    write(&place, "a.json", &usual())?;
    fs::create_dir(place.path().join("kept"))?;
    write(&place, "kept/trace.json", &usual())?;
    let output = compare(&place, &["a.json", "kept", "--format", "json"])?;
    ends_with(&output, 0)?;
    let comparison = json(&output)?;
    let has = |value: &Value, names: &[&str]| names.iter().all(|name| value.get(name).is_some());
    ensure(has(&comparison, COMPARISON) && comparison["version"] == 1, || format!("{comparison}"))?;
    ensure(comparison["verdict"] == "nothing-relevant" && comparison["b"]["path"] == "kept", || format!("{comparison}"))?;
    let operation = &comparison["operations"][0];
    let (orders, times) = (list(operation, "orders"), list(operation, "latencies"));
    ensure(orders.len() == 2 && orders.iter().all(|order| has(order, ORDER)), || format!("{operation}"))?;
    ensure(times.len() == 1 && times.iter().all(|time| has(time, LATENCY)), || format!("{operation}"))?;
    shows(&place, &["a.json", "a.json"], 0, &["nothing relevant: ", "rules: 1 held on both sides", "0 orders new, 0 gone"])
}

fn relevant() -> Result<(), Failed> {
    let place = Place::new()?;
    write(&place, "a.json", &usual())?;
    write(&place, "b.json", &profile("mremap", &[(&RIGHT, 50, 64), (&IDLE, 10, 64), (&LATE, 1, 1)]))?;
    let parts = ["relevant: 1 order in B", "new in mremap: 1 of ", "end stands between zap and kvm-flush: ", "new, relevant"];
    shows(&place, &["a.json", "b.json"], 1, &parts)?;
    shows(&place, &["b.json", "a.json"], 0, &["gone, perhaps rare"])?;
    shows(&place, &["a.json", "b.json", "--format", "ktap"], 1, &["ok 1 rule announced", "not ok 2 orders of mremap"])
}

fn rule() -> Result<(), Failed> {
    let place = Place::new()?;
    write(&place, "a.json", &usual())?;
    let mut b = usual();
    b["rules"][0]["state"] = "broken".into();
    b["rules"][0]["breaks"] = 2.into();
    write(&place, "b.json", &b)?;
    shows(&place, &["a.json", "b.json"], 1, &["1 rule that held in A is broken in B", "rule announced: held in A"])
}

fn frequency() -> Result<(), Failed> {
    let place = Place::new()?;
    write(&place, "a.json", &usual())?;
    write(&place, "b.json", &profile("mremap", &[(&RIGHT, 30, 64), (&IDLE, 30, 64)]))?;
    shows(
        &place,
        &["a.json", "b.json"],
        0,
        &["Frequencies: share of", "more", "fewer", "2 shares and 0 times moved (α 0.01, 3 tests)"],
    )
}

fn disjoint() -> Result<(), Failed> {
    let place = Place::new()?;
    write(&place, "a.json", &usual())?;
    write(&place, "b.json", &profile("munmap", &[(&RIGHT, 50, 64)]))?;
    let parts = ["incomparable: no operation is in both", "only in A: mremap", "only in B: munmap"];
    shows(&place, &["a.json", "b.json"], 3, &parts)?;
    let mut vacuous = usual();
    vacuous["verdict"] = "vacuous".into();
    write(&place, "vacuous.json", &vacuous)?;
    shows(&place, &["vacuous.json", "vacuous.json"], 3, &["incomparable: both recordings are vacuous"])?;
    shows(&place, &["a.json", "vacuous.json"], 0, &["vacuous: no in A, yes in B"])
}

fn kept() -> Result<(), Failed> {
    let place = Place::new()?;
    write(&place, "a.json", &usual())?;
    let output = compare(&place, &["a.json", "a.json", "--out", "kept"])?;
    ends_with(&output, 0)?;
    ensure(String::from_utf8_lossy(&output.stderr).contains("everything is kept in "), || format!("{output:?}"))?;
    for name in ["README.txt", "report.json", "table.txt", "junit.xml", "ktap.txt"] {
        let text = fs::read_to_string(place.path().join("kept").join(name))?;
        ensure(!text.is_empty(), || format!("{name} is empty"))?;
    }
    // What a comparison keeps is no recording.
    ends_with(&compare(&place, &["a.json", "kept"])?, 2)
}

fn errors() -> Result<(), Failed> {
    let place = Place::new()?;
    write(&place, "a.json", &usual())?;
    let whole = usual().to_string();
    let refused = |arguments: &[&str], parts: &[&str]| -> Result<(), Failed> {
        let output = compare(&place, arguments)?;
        ends_with(&output, 2)?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure(output.stdout.is_empty(), || format!("{output:?}"))?;
        parts.iter().try_for_each(|part| ensure(text.contains(part), || format!("{part:?} is not in\n{text}")))
    };
    fs::write(place.path().join("half.json"), &whole[..whole.len() / 2])?;
    fs::write(place.path().join("other.json"), "{\"version\": 1}")?;
    fs::write(place.path().join("empty"), "")?;
    refused(&["a.json", "half.json"], &["half.json: not whole", "was it copied while it was written"])?;
    refused(&["other.json", "a.json"], &["other.json: not the profile of a recording: ", "`nostale trace --format json`"])?;
    refused(&["a.json", "nowhere.json"], &["cannot read nowhere.json: No such file"])?;
    refused(&["a.json", "."], &["there is no trace.json in this directory"])?;
    refused(&["empty", "a.json"], &["empty: the file is empty"])?;
    let mut changed = usual();
    changed["operations"][0]["signatures"][1]["batches"][9] = 77.into();
    write(&place, "changed.json", &changed)?;
    refused(&["a.json", "changed.json"], &["changed.json: operation 'mremap': the batches of order 2 do not add up"])?;
    refused(&["a.json"], &["<B>"])?;
    refused(&["a.json", "a.json", "--alpha", "2"], &["above 0 and up to 0.5"])?;
    refused(&["a.json", "nowhere.json", "--out", "kept"], &["nowhere.json"])?;
    ensure(!place.path().join("kept").exists(), || "a directory is left behind".to_owned())
}
