//! `nostale litmus --generate`: the tests that it makes are tests that everything else takes.

use crate::{Place, ends_with, ensure, json, trial};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use std::fs;

/// Tests of this size take a second.
const SMALL: &[&str] = &["litmus", "--generate", "--accesses", "3"];

/// The names that scripts may rely on.
const REPORT: &[&str] = &["version", "accesses", "programs", "explored", "states", "seconds", "tests"];
const TEST: &[&str] = &["name", "shape", "title", "accesses", "threads", "catches", "states", "text"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("litmus_generate::table", None, table),
        trial("litmus_generate::json", None, schema),
        trial("litmus_generate::what_is_kept_can_be_checked_and_run", None, kept),
        trial("litmus_generate::nothing_is_replaced", None, refused),
        trial("litmus_generate::what_does_not_go_together", None, usage),
    ]
}

fn table() -> Result<(), Failed> {
    let place = Place::new()?;
    let output = place.nostale(SMALL)?;
    ends_with(&output, 0)?;
    let text = String::from_utf8_lossy(&output.stdout);
    for part in
        ["test ", "accesses  threads  catches", "lost-migrate-gw ", "before_populating, after_unlock", "minimal tests among"]
    {
        ensure(text.contains(part), || format!("{part:?} is not in\n{text}"))?;
    }
    // Without a terminal there is no progress.
    ensure(output.stderr.is_empty(), || format!("{output:?}"))
}

fn schema() -> Result<(), Failed> {
    let place = Place::new()?;
    let output = place.nostale(&[SMALL, &["--format", "json"]].concat())?;
    ends_with(&output, 0)?;
    let report = json(&output)?;
    let missing: Vec<_> = REPORT.iter().filter(|name| report.get(name).is_none()).collect();
    ensure(missing.is_empty() && report["version"] == 1, || format!("{missing:?} missing in {report}"))?;
    let tests = report["tests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let whole = |test: &Value| TEST.iter().all(|name| test.get(name).is_some());
    ensure(tests.len() > 10 && tests.iter().all(whole), || format!("{report}"))
}

fn kept() -> Result<(), Failed> {
    let place = Place::new()?;
    let output = place.nostale(&[SMALL, &["--out", "kept", "--workers", "1"]].concat())?;
    ends_with(&output, 0)?;
    let again = place.nostale(&[SMALL, &["--out", "again", "--workers", "3", "--format", "json"]].concat())?;
    ends_with(&again, 0)?;
    let report = json(&again)?;
    let tests = report["tests"].as_array().map(Vec::as_slice).unwrap_or_default();
    for test in tests {
        let file = format!("{}.nst", test["name"].as_str().unwrap_or_default());
        let [first, second] = ["kept", "again"].map(|directory| fs::read_to_string(place.path().join(directory).join(&file)));
        let (first, second) = (first?, second?);
        ensure(first == second && test["text"] == *first, || format!("{file} differs:\n{first}\n{second}"))?;
    }
    let files = fs::read_dir(place.path().join("kept"))?.count();
    ensure(files == tests.len() + 1, || format!("{files} files of {} tests, and README.txt", tests.len()))?;
    for arguments in [&["fmt", "--check", "kept"][..], &["check", "kept"], &["litmus", "kept", "--on", "model"]] {
        ends_with(&place.nostale(arguments)?, 0)?;
    }
    Ok(())
}

fn refused() -> Result<(), Failed> {
    let place = Place::new()?;
    fs::create_dir(place.path().join("taken"))?;
    fs::write(place.path().join("taken/mine"), "")?;
    let output = place.nostale(&[SMALL, &["--out", "taken"]].concat())?;
    ends_with(&output, 2)?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure(text.contains("taken already exists"), || text.to_string())?;
    ensure(place.entries()? == ["taken"] && fs::read_dir(place.path().join("taken"))?.count() == 1, || {
        "something is left".to_owned()
    })
}

fn usage() -> Result<(), Failed> {
    let place = Place::new()?;
    for arguments in [
        &["litmus"][..],
        &["litmus", "m.nst", "--generate"],
        &["litmus", "m.nst", "--accesses", "3"],
        &["litmus", "--generate", "--accesses", "0"],
        &["litmus", "--generate", "--runs", "5"],
        &["litmus", "--generate", "--format", "junit"],
    ] {
        let output = place.nostale(arguments)?;
        ends_with(&output, 2)?;
        ensure(output.stdout.is_empty() && !output.stderr.is_empty(), || format!("{arguments:?}: {output:?}"))?;
    }
    Ok(())
}
