//! What `nostale check` prints and keeps.

use super::{COUNT, REMAP, check, said};
use crate::{Place, ends_with, ensure, json, trial};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use std::fs;

const CASE: &[&str] = &[
    "path",
    "model",
    "variant",
    "expected",
    "verdict",
    "states",
    "transitions",
    "seconds",
    "counterexample",
    "memory_model",
    "peak_bytes",
    "depth",
    "state_bits",
    "violated",
    "agrees",
    "random",
    "vacuous",
];

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("check::json", None, schema),
        trial("check::table_and_counterexample", None, table),
        trial("check::the_rest_is_checked_beside_what_cannot_be_read", None, beside_errors),
        trial("check::forms_tell_what_cannot_be_read", None, errors_in_forms),
        trial("check::export", None, export),
        trial("check::out", None, out),
    ]
}

fn schema() -> Result<(), Failed> {
    let (_, output) = check(REMAP, &["--format", "json"])?;
    ends_with(&output, 0)?;
    let report = json(&output)?;
    let cases = report["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure(report["version"] == 1 && cases.len() == 2, || format!("{report}"))?;
    for case in cases {
        let missing: Vec<_> = CASE.iter().filter(|name| case.get(name).is_none()).collect();
        ensure(missing.is_empty(), || format!("{missing:?} missing in {case}"))?;
        ensure(case["path"] == "m.nst" && case["model"] == "where to invalidate" && case["agrees"] == true, || {
            format!("{case}")
        })?;
    }
    let [fails, holds] = cases else { return Err("two cases".into()) };
    ensure(fails["variant"] == "after_unlock" && fails["expected"] == "fails" && fails["verdict"] == "fails", || {
        format!("{fails}")
    })?;
    ensure(holds["expected"] == "holds" && holds["verdict"] == "holds" && holds["violated"].is_null(), || format!("{holds}"))?;
    let steps = fails["counterexample"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure(steps.len() == 8, || format!("{fails}"))?;
    let keys = ["thread", "step", "line", "changes"];
    ensure(steps.iter().all(|step| keys.iter().all(|key| step.get(key).is_some())), || format!("{steps:?}"))?;
    let last = &steps[7];
    ensure(last["thread"] == "guest" && last["library"] == "library/memory.nst", || format!("{last}"))
}

/// What a kernel developer sees first.
fn table() -> Result<(), Failed> {
    let (_, output) = check(REMAP, &[])?;
    ends_with(&output, 0)?;
    let text = std::str::from_utf8(&output.stdout)?;
    // Everything but the times, which are different each time.
    let (_, found) = text.split_once("fails: ").ok_or("nothing fails")?;
    let (found, sum) = found.rsplit_once("\n\n").ok_or("no sum")?;
    let expected = "\
m.nst after_unlock, as expected
  #  line       mutator       third          guest                                                         what happens
  1  7          lock ptl                                                                                   ptl: free → mutator
  2  7          v.pte = none                                                                               x.pte: A → none
  3  memory:21  x.tlb = none                                                                               x.tlb: A → none
  4  7          v.pte = new                                                                                x.pte: none → B
  5  15                       if x.pte == B                                                                → true
  6  15                       seen = true                                                                  seen: false → true
  7  16                                      if seen                                                       → true
  8  memory:45                               atomic { if x.spte != none && !x.spte_readonly { x.spte.da …  A.data: 0 → 2

  m.nst:17: never A.data == 2 is violated after 8 steps
  \"the guest wrote the old page after somebody had seen the new one\"
  replay with:
    nostale check m.nst --ordering after_unlock";
    ensure(found == expected, || format!("expected\n{expected}\nfound\n{found}"))?;
    ensure(text.starts_with("where to invalidate (m.nst)\n\nvariant "), || text.to_owned())?;
    ensure(sum.starts_with("2 variants of 1 model: all as expected; "), || sum.to_owned())
}

/// A place full of what is no model, and one that is.
fn with_errors() -> Result<Place, Failed> {
    let place = Place::new()?;
    for name in ["empty", "models"] {
        fs::create_dir(place.path().join(name))?;
    }
    let good = format!("{COUNT}expect fails");
    let files: [(&str, &[u8]); 5] = [
        ("binary.nst", b"\x7fELF\0\0"),
        ("good.nst", good.as_bytes()),
        ("latin.nst", b"model \"a\"\n# \xe4\n"),
        ("syntax.nst", b"thread a { lock }\nexpect holds\n"),
        ("unknown.nst", b"flag seen\nthread a { sene = true }\nexpect holds\n"),
    ];
    files.iter().try_for_each(|(name, text)| fs::write(place.path().join("models").join(name), text))?;
    Ok(place)
}

fn beside_errors() -> Result<(), Failed> {
    let place = with_errors()?;
    let output = place.nostale(&["check", "models", "empty", "missing"])?;
    ends_with(&output, 2)?;
    said(
        &output.stderr,
        &[
            "models/binary.nst: no text: there is a NUL byte in line 1",
            "models/latin.nst: no text: line 2 is not UTF-8",
            "models/syntax.nst:1:",
            "models/unknown.nst:2:",
            "did you mean `seen`?",
            "empty: there is no model (*.nst) in this directory",
            "missing: No such file or directory",
        ],
    )?;
    said(&output.stdout, &["an increment was lost", "not checked: missing: No such file", "; 6 could not be checked\n"])?;
    let output = place.nostale(&["check", "missing"])?;
    ends_with(&output, 2)?;
    ensure(output.stdout.is_empty(), || format!("{output:?}"))
}

fn errors_in_forms() -> Result<(), Failed> {
    let place = with_errors()?;
    let run = |format| place.nostale(&["check", "models", "--quiet", "--format", format]);
    let report = json(&run("json")?)?;
    let counts = [&report["files"], &report["errors"]].map(|list| list.as_array().map_or(0, Vec::len));
    ensure(counts == [1, 4], || format!("{report}"))?;
    let ktap = run("ktap")?;
    ends_with(&ktap, 2)?;
    said(&ktap.stdout, &["KTAP version 1\n1..5\nok 1 models/good.nst default\n", "\nnot ok 2 models/binary.nst read # ERROR "])?;
    let junit = run("junit")?;
    said(&junit.stdout, &[r#"tests="5" skipped="0" errors="4" failures="0""#])?;
    ensure(crate::forms::elements(std::str::from_utf8(&junit.stdout)?, "testcase")? == 5, || format!("{junit:?}"))
}

fn export() -> Result<(), Failed> {
    let (place, output) = check(REMAP, &["--ordering", "inside_lock", "--export", "promela"])?;
    ends_with(&output, 0)?;
    said(&output.stdout, &["active proctype", "mutator: v.pte = none"])?;
    let output = place.nostale(&["check", "m.nst", "--export", "murphi", "--out", "models"])?;
    ends_with(&output, 0)?;
    let mut names: Vec<_> =
        fs::read_dir(place.path().join("models"))?.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    names.sort();
    ensure(names == ["m-after_unlock.m", "m-inside_lock.m"], || format!("{names:?}"))?;
    said(&fs::read(place.path().join("models/m-inside_lock.m"))?, &["startstate"])
}

fn out() -> Result<(), Failed> {
    let (place, output) = check(REMAP, &["--out", "kept"])?;
    ends_with(&output, 0)?;
    let read = |name: &str| fs::read(place.path().join("kept").join(name)).map_err(|error| format!("{name}: {error}"));
    let report: Value = serde_json::from_slice(&read("report.json")?)?;
    ensure(report["files"].as_array().map_or(0, Vec::len) == 2, || format!("{report}"))?;
    said(&read("table.txt")?, &["2 variants of 1 model: all as expected"])?;
    said(&read("ktap.txt")?, &["1..2\nok 1 m.nst after_unlock\nok 2 m.nst inside_lock\n"])?;
    said(&read("counterexamples/01-m-after_unlock.txt")?, &["never A.data == 2 is violated", "mutator"])?;
    ensure(read("junit.xml")?.starts_with(b"<?xml") && !read("README.txt")?.is_empty(), || "junit.xml, README.txt".to_owned())
}
