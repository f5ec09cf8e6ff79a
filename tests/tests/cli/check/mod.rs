//! `nostale check` as scripts and people meet it: what it finds, how it ends, and what it refuses.

mod forms;

use crate::{Place, ends_with, ensure, json, trial};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{fs, process::Output};

/// Where to invalidate the secondary MMU: the question of 2008, and two answers.
const REMAP: &str = r#"model "where to invalidate"
use memory
page A, B
virt x { pte = A; tlb = A; spte = A }
flag seen
op remap(v, new)
    ordering after_unlock { lock ptl; v.pte = none; flush v; v.pte = new; unlock ptl; zap v }
    ordering inside_lock { lock ptl; v.pte = none; flush v; zap v; v.pte = new; unlock ptl }
op fault(v) {
    lock ptl
    if v.pte != none { v.spte = v.pte }
    unlock ptl
}
thread mutator { remap(x, B) }
thread third { if x.pte == B { seen = true } }
thread guest { if seen { guest_write(x, 2) } }
never A.data == 2 "the guest wrote the old page after somebody had seen the new one"
sometimes B.data == 2
expect after_unlock fails, inside_lock holds
"#;

/// An increment is lost. What is expected comes behind it.
const COUNT: &str = r#"model "two threads count"
var n: 0..2
thread a { n++ }
thread b { let r = n; n = r + 1 }
finally n == 2 "an increment was lost"
"#;

const VACUOUS: &str = "flag seen\nthread a { wait !seen }\nnever seen\nsometimes seen\nexpect holds\n";

/// More than a billion states.
const LARGE: &str = "var n[6]: 0..200\nthread t[i in 0..5] { while n[i] < 200 { n[i] += 1 } }\nexpect holds\n";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("check::as_expected", None, || ends(&format!("{COUNT}expect fails"), &[], 0)),
        trial("check::fails_where_it_should_hold", None, || ends(&format!("{COUNT}expect holds"), &[], 1)),
        trial("check::fails_by_something_else", None, || ends(&format!("{COUNT}expect deadlocks"), &[], 1)),
        trial("check::holds_where_it_should_fail", None, || {
            ends("flag f\nthread a { f = true }\nfinally f\nexpect fails", &[], 1)
        }),
        trial("check::vacuous", None, || ends(VACUOUS, &[], 3)),
        trial("check::bounded_by_states", None, || bounded(&["--max-states", "1000"], "states")),
        trial("check::bounded_by_memory", None, || bounded(&["--max-memory", "4M"], "bytes")),
        trial("check::random_finds_and_repeats", None, random_finds),
        trial("check::random_proves_nothing", None, random_proves_nothing),
        trial("check::interrupted", None, interrupted),
        trial("check::directory", None, directory),
        trial("check::memory_model", None, memory_model),
        trial("check::workers_do_not_matter", None, workers),
        trial("check::state_that_does_not_fit", None, too_wide),
    ];
    let refusals: [(&str, &[&str], &str); 7] = [
        ("unknown_ordering", &["--ordering", "inside_lok"], "'inside_lok' (did you mean 'inside_lock'?)"),
        ("ordering_unlike_any", &["--ordering", "xyzzy"], "'xyzzy'; known: after_unlock, inside_lock"),
        ("unknown_memory_model", &["--memory-model", "tos"], "'tos' for '--memory-model"),
        ("more_memory_than_there_is", &["--max-memory", "4096T"], "--max-memory 4096 TiB: this host has "),
        ("no_worker", &["--workers", "0"], "'0' for '--workers"),
        ("walks_without_a_seed", &["--walks", "5"], "required"),
        ("export_of_several", &["--export", "murphi"], "2 models are meant (after_unlock, inside_lock); choose one"),
    ];
    trials.extend(forms::trials());
    trials.extend(
        refusals.map(|(name, arguments, says)| trial(format!("check::refuses_{name}"), None, || refused(arguments, says))),
    );
    trials
}

/// A place with `m.nst` in it, and what `nostale check m.nst` says.
fn check(text: &str, arguments: &[&str]) -> Result<(Place, Output), Failed> {
    let place = Place::new()?;
    fs::write(place.path().join("m.nst"), text)?;
    let output = place.nostale(&[&["check", "m.nst"], arguments].concat())?;
    Ok((place, output))
}

fn ends(text: &str, arguments: &[&str], status: i32) -> Result<(), Failed> {
    let (_, output) = check(text, arguments)?;
    ends_with(&output, status)?;
    ensure(output.stderr.is_empty() && !output.stdout.is_empty(), || format!("{output:?}"))
}

fn said(output: &[u8], parts: &[&str]) -> Result<(), Failed> {
    let text = std::str::from_utf8(output)?;
    parts.iter().try_for_each(|part| ensure(text.contains(part), || format!("\"{part}\" is not in\n{text}")))
}

fn refused(arguments: &[&str], says: &str) -> Result<(), Failed> {
    let (place, output) = check(REMAP, arguments)?;
    ends_with(&output, 2)?;
    ensure(output.stdout.is_empty(), || format!("{output:?}"))?;
    said(&output.stderr, &[says])?;
    let left = place.entries()?;
    ensure(left == ["m.nst"], || format!("left behind: {left:?}"))
}

fn bounded(arguments: &[&str], by: &str) -> Result<(), Failed> {
    let (_, output) = check(LARGE, &[arguments, &["--format", "json"]].concat())?;
    ends_with(&output, 3)?;
    let case = &json(&output)?["files"][0];
    ensure(case["verdict"] == "bounded" && case["bound"] == by && case["agrees"] == false, || format!("{case}"))
}

fn random_finds() -> Result<(), Failed> {
    let walk = || -> Result<Value, Failed> {
        let (_, output) = check(&format!("{COUNT}expect fails"), &["--random", "7", "--format", "json"])?;
        ends_with(&output, 0)?;
        Ok(json(&output)?["files"][0].clone())
    };
    let (first, second) = (walk()?, walk()?);
    ensure(first["verdict"] == "fails" && first["random"]["seed"] == 7, || format!("{first}"))?;
    ensure(first["counterexample"] == second["counterexample"], || format!("{first} is not {second}"))
}

fn random_proves_nothing() -> Result<(), Failed> {
    let (_, output) = check(REMAP, &["--ordering", "inside_lock", "--random", "1", "--walks", "20"])?;
    ends_with(&output, 3)?;
    said(&output.stdout, &["bounded", "unproved", "20 random walks from seed 1; nothing wrong was seen, which proves nothing"])
}

fn interrupted() -> Result<(), Failed> {
    let place = Place::new()?;
    fs::write(place.path().join("m.nst"), LARGE)?;
    let arguments = ["check", "m.nst", "--format", "json", "--max-memory", "1G", "--workers", "1", "--out", "kept"];
    let mut run = place.start(&arguments)?;
    // Signals are caught from before that on.
    let begun = || fs::read_dir(place.path()).is_ok_and(|mut all| all.any(|entry| is_partial(entry.ok())));
    run.wait_until("has begun", begun)?;
    run.signal(Signal::SIGINT)?;
    let output = run.end()?;
    ends_with(&output, 3)?;
    let report = json(&output)?;
    let case = &report["files"][0];
    ensure(report["interrupted"] == true && case["verdict"] == "bounded", || format!("{report}"))?;
    ensure(case["bound"] == "interrupted" && place.path().join("kept/report.json").exists(), || format!("{report}"))
}

fn is_partial(entry: Option<fs::DirEntry>) -> bool {
    entry.is_some_and(|entry| entry.file_name().to_string_lossy().starts_with(".kept.partial"))
}

fn directory() -> Result<(), Failed> {
    let place = Place::new()?;
    fs::create_dir_all(place.path().join("models/below"))?;
    for (name, text) in [("b.nst", REMAP), ("below/a.nst", &*format!("{COUNT}expect holds")), ("README", "no model")] {
        fs::write(place.path().join("models").join(name), text)?;
    }
    let output = place.nostale(&["check", "models"])?;
    ends_with(&output, 1)?;
    said(
        &output.stdout,
        &["models in models/\n", "b.nst ", "fails: models/below/a.nst default, expected: holds\n", ": 1 not as expected; "],
    )?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure(!text.contains("after_unlock, as expected"), || format!("what was expected needs no counterexample: {text}"))?;
    let output = place.nostale(&["check", "models", "--trace"])?;
    said(&output.stdout, &["fails: models/b.nst after_unlock, as expected\n"])?;
    let order = json(&place.nostale(&["check", "models", "models/b.nst", "--format", "json"])?)?;
    let paths: Vec<_> = order["files"].as_array().into_iter().flatten().map(|case| case["path"].clone()).collect();
    ensure(paths == ["models/b.nst", "models/b.nst", "models/below/a.nst"], || format!("{paths:?}"))
}

fn memory_model() -> Result<(), Failed> {
    const BUFFERS: &str = "flag x, y\nop fence() ordering plain {} ordering fenced { smp_mb }\n\
        thread a { let r: bool; x = true; fence; r = y }\nthread b { let r: bool; y = true; fence; r = x }\n\
        finally a.r || b.r\nexpect plain holds under sc, plain fails under tso, fenced holds\n";
    let cases = |arguments: &[&str]| -> Result<Vec<String>, Failed> {
        let (_, output) = check(BUFFERS, &[arguments, &["--format", "json"]].concat())?;
        ends_with(&output, 0)?;
        let report = json(&output)?;
        let name = |case: &Value| format!("{} {} {}", case["variant"], case["memory_model"], case["verdict"]).replace('"', "");
        Ok(report["files"].as_array().into_iter().flatten().map(name).collect())
    };
    let all = cases(&[])?;
    ensure(all == ["plain sc holds", "plain tso fails", "fenced sc holds"], || format!("{all:?}"))?;
    let tso = cases(&["--memory-model", "tso"])?;
    ensure(tso == ["plain tso fails", "fenced tso holds"], || format!("{tso:?}"))?;
    let (_, output) = check(BUFFERS, &["--memory-model", "tso"])?;
    said(&output.stdout, &["buffered: x = true", "(x reaches memory)", "--ordering plain --memory-model tso\n"])
}

fn workers() -> Result<(), Failed> {
    let counts = |workers: &str| -> Result<Vec<Value>, Failed> {
        let (_, output) = check(REMAP, &["--workers", workers, "--format", "json"])?;
        let mut report = json(&output)?;
        let cases = report["files"].as_array_mut().map(std::mem::take).unwrap_or_default();
        Ok(cases
            .into_iter()
            .map(|case| serde_json::json!([case["states"], case["transitions"], case["counterexample"]]))
            .collect())
    };
    let (one, four) = (counts("1")?, counts("4")?);
    ensure(one == four && one.len() == 2, || format!("{one:?} is not {four:?}"))
}

fn too_wide() -> Result<(), Failed> {
    let (_, output) = check("var n[64]: 0..2000000\nthread a { n[0] += 1 }\nexpect holds\n", &[])?;
    ends_with(&output, 2)?;
    said(&output.stderr, &["error: m.nst default: a state of this model takes ", "the widest variables are n ("])
}
