//! `nostale litmus --diff`: two recordings, and whether they differ.

use crate::{Place, ends_with, ensure, json, trial};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use std::{fs, path::Path, process::Output};

const THIRD_THREAD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/litmus/third-thread-1-write.nst");
const COHERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/litmus/coherence-1-write-after.nst");

/// The names that scripts may rely on.
const PAIR: &[&str] = &["file", "model", "memory_model", "on", "a", "b", "verdict", "reason", "states"];
const STATE: &[&str] = &[
    "state",
    "forbidden_under",
    "violates",
    "a",
    "b",
    "ratio",
    "ratio_low",
    "ratio_high",
    "p",
    "p_of_all",
    "change",
    "confident",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("litmus_diff::another_seed_is_no_difference", None, seeds),
        trial("litmus_diff::another_ordering_is_one", None, orderings),
        trial("litmus_diff::nothing_in_common", None, disjoint),
        trial("litmus_diff::what_cannot_be_read", None, errors),
    ]
}

/// Records a test on the software MMU.
fn record(place: &Place, name: &str, arguments: &[&str]) -> Result<(), Failed> {
    let output = place.nostale(&[&["litmus", "--on", "soft", "--format", "json"], arguments].concat())?;
    ends_with(&output, 0)?;
    Ok(fs::write(place.path().join(name), output.stdout)?)
}

fn diff(place: &Place, arguments: &[&str]) -> Result<Output, Failed> {
    place.nostale(&[&["litmus", "--diff"], arguments].concat())
}

fn seeds() -> Result<(), Failed> {
    let place = Place::new()?;
    let test = [THIRD_THREAD, "--ordering", "start_end", "--runs", "300000"];
    record(&place, "a.json", &[&test[..], &["--seed", "1"]].concat())?;
    let kept = [&["litmus", "--on", "soft", "--seed", "2", "--quiet", "--out", "b"], &test[..]].concat();
    ends_with(&place.nostale(&kept)?, 0)?;
    // A false alarm would be one in a million.
    let output = diff(&place, &["a.json", "b", "--alpha", "0.000001", "--format", "json"])?;
    ends_with(&output, 0)?;
    let report = json(&output)?;
    let pairs = report["pairs"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure(report["version"] == 1 && pairs.len() == 1 && pairs[0]["verdict"] == "same", || format!("{report}"))?;
    ensure(!PAIR.iter().any(|name| pairs[0].get(name).is_none()), || format!("{}", pairs[0]))?;
    let states = pairs[0]["states"].as_array().map(Vec::as_slice).unwrap_or_default();
    let missing = |state: &Value| STATE.iter().any(|name| state.get(name).is_none());
    ensure(!states.is_empty() && !states.iter().any(missing), || format!("{}", pairs[0]))?;
    // With itself, it is the same to the last digit.
    let output = diff(&place, &["a.json", "a.json"])?;
    ends_with(&output, 0)?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(text.contains("1 pair: no difference (α 0.01"), || text.to_string())
}

fn orderings() -> Result<(), Failed> {
    let place = Place::new()?;
    record(&place, "run.json", &[THIRD_THREAD, "--runs", "400000", "--seed", "3"])?;
    let arguments = ["run.json:start_end", "run.json:after_unlock"];
    let output = diff(&place, &arguments)?;
    ends_with(&output, 1)?;
    let text = String::from_utf8_lossy(&output.stdout);
    for part in
        ["third-thread-1-write.nst start_end → after_unlock on soft", "NEW, FORBIDDEN under start_end", "1 NEW FORBIDDEN state"]
    {
        ensure(text.contains(part), || format!("{part:?} is not in\n{text}"))?;
    }
    ensure(!text.contains('\x1b'), || "colours, though nobody looks".to_owned())?;
    // The other way round it is gone.
    let output = diff(&place, &[arguments[1], arguments[0], "--out", "kept", "--format", "json"])?;
    ends_with(&output, 1)?;
    let report = json(&output)?;
    let states = report["pairs"][0]["states"].as_array().map(Vec::as_slice).unwrap_or_default();
    let bad = states.iter().find(|state| state["state"] == "A.data=3 B.data=1");
    ensure(bad.is_some_and(|bad| bad["change"] == "gone" && bad["confident"] == true), || format!("{report}"))?;
    for name in ["README.txt", "report.json", "table.txt", "junit.xml", "ktap.txt"] {
        let text = fs::read_to_string(place.path().join("kept").join(name))?;
        ensure(!text.is_empty(), || format!("{name} is empty"))?;
    }
    Ok(())
}

fn disjoint() -> Result<(), Failed> {
    let place = Place::new()?;
    record(&place, "a.json", &[THIRD_THREAD, "--ordering", "start_end", "--runs", "10000"])?;
    record(&place, "b.json", &[COHERENCE, "--ordering", "start_end", "--runs", "10000"])?;
    let output = diff(&place, &["a.json", "b.json"])?;
    ends_with(&output, 3)?;
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["only in A: ", "only in B: ", "0 pairs: nothing to compare; 2 in one recording alone"] {
        ensure(text.contains(part), || format!("{part:?} is not in\n{text}"))?;
    }
    Ok(())
}

fn errors() -> Result<(), Failed> {
    let place = Place::new()?;
    record(&place, "a.json", &[THIRD_THREAD, "--ordering", "start_end", "--runs", "10000"])?;
    let whole = fs::read_to_string(place.path().join("a.json"))?;
    let refused = |arguments: &[&str], parts: &[&str]| -> Result<(), Failed> {
        let output = diff(&place, arguments)?;
        ends_with(&output, 2)?;
        let text = String::from_utf8_lossy(&output.stderr);
        parts.iter().try_for_each(|part| ensure(text.contains(part), || format!("{part:?} is not in\n{text}")))
    };
    let write = |name: &str, text: &str| fs::write(Path::join(place.path(), name), text);
    write("half.json", &whole[..whole.len() / 2])?;
    write("other.json", "{\"version\": 1}")?;
    refused(&["a.json", "half.json"], &["half.json: not whole", "was it copied while it was written"])?;
    refused(&["other.json", "a.json"], &["other.json: not the result of `nostale litmus --format json`"])?;
    refused(&["a.json", "nowhere.json"], &["cannot read nowhere.json: No such file"])?;
    refused(&["a.json", "."], &["cannot read ./report.json"])?;
    refused(&["a.json:start_edn", "a.json"], &["'start_edn' (did you mean 'start_end'?)"])?;
    refused(&["a.json"], &["2 values required"])?;
    refused(&["a.json", "a.json", "--alpha", "2"], &["above 0 and up to 0.5"])?;
    refused(&["a.json", "a.json", "--runs", "5"], &["cannot be used with"])
}
