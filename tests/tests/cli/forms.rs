//! What is printed and what is kept: every form, as its readers need it.

use crate::{Bench, Place, SHORT, ends_with, ensure, json, trial};
use libtest_mimic::{Failed, Trial};
use quick_xml::events::Event;
use serde_json::Value;
use std::{fs, process::Output};

/// Two scenarios, of which the second is skipped.
const TWO: &[&str] = &["--ops", "mremap,remap", "--backing", "anon", "--seed", "0x5eed"];

const REPORT: &[&str] = &["version", "verdict", "seed", "host", "scenarios"];
const HOST: &[&str] = &["kernel", "mmu"];
const SCENARIO: &[&str] = &[
    "name",
    "backing",
    "verdict",
    "reason",
    "seconds",
    "operations",
    "operations_per_second",
    "guest_writes",
    "host_writes",
    "writes_per_second",
    "lost_writes",
    "stale_writes",
    "stale_reads",
    "longest_stall_us",
    "invalidations",
    "installs",
    "efaults",
    "replay",
];

pub(crate) fn trials(bench: &Bench) -> Vec<Trial> {
    let no_kvm = || bench.no_kvm();
    vec![
        trial("forms::json_of_a_run", no_kvm(), json_of_a_run),
        trial("forms::json_of_doctor", None, json_of_doctor),
        trial("forms::ktap", no_kvm(), ktap),
        trial("forms::junit", no_kvm(), junit),
        trial("forms::human", no_kvm(), human),
        trial("forms::human_doctor", None, || colours(&["doctor"])),
        trial("forms::doctor_has_no_ktap", None, doctor_has_no_ktap),
        trial("forms::out", no_kvm(), out),
    ]
}

fn run(more: &[&str]) -> Result<Output, Failed> {
    let output = Place::new()?.nostale(&[SHORT, TWO, more].concat())?;
    ends_with(&output, 0)?;
    ensure(output.stderr.is_empty(), || format!("{output:?}"))?;
    Ok(output)
}

fn has(value: &Value, names: &[&str]) -> Result<(), Failed> {
    let missing: Vec<_> = names.iter().filter(|name| value.get(name).is_none()).collect();
    ensure(missing.is_empty(), || format!("{missing:?} missing in {value}"))
}

fn is_report(report: &Value) -> Result<(), Failed> {
    has(report, REPORT)?;
    has(&report["host"], HOST)?;
    ensure(report["version"] == 1 && report["seed"] == 0x5eed, || format!("{report}"))?;
    let scenarios = report["scenarios"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure(scenarios.len() == 2, || format!("{report}"))?;
    scenarios.iter().try_for_each(|scenario| has(scenario, SCENARIO))?;
    let verdicts = scenarios.iter().map(|scenario| &scenario["verdict"]).collect::<Vec<_>>();
    ensure(verdicts == ["coherent", "skipped"], || format!("{verdicts:?}"))?;
    ensure(scenarios[0]["reason"].is_null() && scenarios[1]["reason"].is_string(), || format!("{report}"))
}

fn json_of_a_run() -> Result<(), Failed> {
    is_report(&json(&run(&["--format", "json"])?)?)
}

fn json_of_doctor() -> Result<(), Failed> {
    let output = Place::new()?.nostale(&["doctor", "--format", "json"])?;
    ends_with(&output, 0)?;
    has(&json(&output)?, &["version", "facts", "operations"])
}

fn ktap() -> Result<(), Failed> {
    let output = run(&["--format", "ktap"])?;
    let text = std::str::from_utf8(&output.stdout)?;
    let lines: Vec<_> = text.lines().collect();
    ensure(lines.starts_with(&["KTAP version 1", "1..2"]), || text.to_owned())?;
    let results: Vec<_> = lines[2..].iter().filter(|line| !line.starts_with('#')).collect();
    let passed = results.first().is_some_and(|line| line.starts_with("ok 1 ") && !line.contains('#'));
    let skipped = results.get(1).is_some_and(|line| line.starts_with("ok 2 ") && line.contains(" # SKIP "));
    ensure(passed && skipped && results.len() == 2, || text.to_owned())
}

/// Counts the elements of well-formed XML by name.
pub(crate) fn elements(text: &str, name: &str) -> Result<usize, Failed> {
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut count, mut depth) = (0, 0usize);
    loop {
        match reader.read_event()? {
            Event::Start(element) => {
                depth += 1;
                count += usize::from(element.name().as_ref() == name.as_bytes());
            }
            Event::Empty(element) => count += usize::from(element.name().as_ref() == name.as_bytes()),
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Eof => {
                ensure(depth == 0, || format!("not closed: {text}"))?;
                return Ok(count);
            }
            _ => {}
        }
    }
}

fn is_junit(text: &str) -> Result<(), Failed> {
    ensure(elements(text, "testcase")? == 2 && elements(text, "skipped")? == 1, || text.to_owned())
}

fn junit() -> Result<(), Failed> {
    is_junit(std::str::from_utf8(&run(&["--format", "junit"])?.stdout)?)
}

/// No escape sequence where nobody would see a colour, unless they are asked for.
fn colours(arguments: &[&str]) -> Result<(), Failed> {
    for (more, coloured) in [(&[][..], false), (&["--color", "never"], false), (&["--color", "always"], true)] {
        let place = Place::new()?;
        let output = place.nostale(&[arguments, more].concat())?;
        ends_with(&output, 0)?;
        ensure(output.stdout.contains(&0x1b) == coloured, || format!("{more:?}: {output:?}"))?;
    }
    Ok(())
}

fn human() -> Result<(), Failed> {
    let output = run(&[])?;
    let text = std::str::from_utf8(&output.stdout)?;
    let row = text.lines().find(|line| line.starts_with("remap "));
    let row = row.map(|line| line.split_whitespace().collect::<Vec<_>>()).unwrap_or_default();
    ensure(row == ["remap", "anon", "-", "-", "-", "-", "skipped"], || text.to_owned())?;
    ensure(text.contains("\nskipped: remap on anon: "), || text.to_owned())?;
    colours(&[SHORT, TWO].concat())
}

fn doctor_has_no_ktap() -> Result<(), Failed> {
    let output = Place::new()?.nostale(&["doctor", "--format", "ktap"])?;
    ends_with(&output, 2)?;
    ensure(String::from_utf8_lossy(&output.stderr).lines().count() == 1, || format!("{output:?}"))
}

fn out() -> Result<(), Failed> {
    let place = Place::new()?;
    let output = place.nostale(&[SHORT, TWO, &["--out", "kept"]].concat())?;
    ends_with(&output, 0)?;
    let entries = place.entries()?;
    ensure(entries == ["kept"], || format!("not only what was asked for: {entries:?}"))?;
    let read = |name: &str| fs::read_to_string(place.path().join("kept").join(name)).map_err(|error| format!("{name}: {error}"));
    is_report(&serde_json::from_str(&read("run.json")?)?)?;
    is_junit(&read("junit.xml")?)?;
    ensure(read("ktap.txt")?.starts_with("KTAP version 1\n"), || "ktap.txt".to_owned())?;
    ensure(!read("table.txt")?.contains('\x1b') && !read("README.txt")?.is_empty(), || "table.txt, README.txt".to_owned())?;
    serde_json::from_str::<Value>(&read("host.json")?)?;
    Ok(())
}
