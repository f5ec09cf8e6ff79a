//! `nostale litmus`: what it prints and keeps, and its exit status.

use crate::{Bench, Place, ends_with, ensure, json, trial};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use std::{fs, process::Output};

const MESSAGE: &str = "model \"a message\"
var data: 0..1
flag ready
op publish()
    ordering data_first { data = 1; ready = true }
    ordering flag_first { ready = true; data = 1 }
thread writer { publish }
thread reader { let r = ready; let d = data }
observe reader.r, reader.d
finally !reader.r || reader.d == 1 \"the flag was there, and the data was not\"
expect data_first holds, flag_first fails
";

/// The names that scripts may rely on.
const TEST: &[&str] = &[
    "path",
    "model",
    "variant",
    "memory_model",
    "verdict",
    "reason",
    "never_seen",
    "columns",
    "states",
    "explored",
    "soft",
    "kvm",
    "kvm_skipped",
    "replay",
];
const STATE: &[&str] = &["state", "end", "values", "model", "allowed_under", "violates", "soft", "kvm"];

pub(crate) fn trials(bench: &Bench) -> Vec<Trial> {
    vec![
        trial("litmus::json", None, schema),
        trial("litmus::table", None, table),
        trial("litmus::a_bad_state_that_is_not_expected", None, unexpected),
        trial("litmus::what_cannot_be_run", None, errors),
        trial("litmus::other_memory_models_are_for_the_model", None, memory_models),
        trial("litmus::out", None, out),
        trial("litmus::kvm", bench.no_kvm(), kvm),
        trial("litmus::kvm_says_what_came_of_which_rounds", bench.no_kvm(), parameters),
        trial("litmus::other_kernels_are_for_tests_that_run_there", None, elsewhere),
    ]
}

fn litmus(text: &str, arguments: &[&str]) -> Result<(Place, Output), Failed> {
    let place = Place::new()?;
    fs::write(place.path().join("m.nst"), text)?;
    let output = place.nostale(&[&["litmus", "m.nst", "--runs", "50000", "--seed", "3"], arguments].concat())?;
    Ok((place, output))
}

fn schema() -> Result<(), Failed> {
    let (_, output) = litmus(MESSAGE, &["--format", "json"])?;
    ends_with(&output, 0)?;
    let report = json(&output)?;
    let tests = report["tests"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure(report["version"] == 1 && report["seed"] == 3 && tests.len() == 2, || format!("{report}"))?;
    for test in tests {
        let missing: Vec<_> = TEST.iter().filter(|name| test.get(name).is_none()).collect();
        ensure(missing.is_empty() && test["verdict"] == "agrees", || format!("{missing:?} missing in {test}"))?;
        let states = test["states"].as_array().map(Vec::as_slice).unwrap_or_default();
        let missing = |state: &Value| STATE.iter().any(|name| state.get(name).is_none());
        ensure(states.len() == 4 && !states.iter().any(missing), || format!("{test}"))?;
        let times: u64 = states.iter().filter_map(|state| state["soft"]["times"].as_u64()).sum();
        ensure(test["soft"]["instances"] == times && times >= 50_000, || format!("every instance is counted: {test}"))?;
        let bad = states.iter().find(|state| state["state"] == "reader.r=true reader.d=0");
        let (model, seen) = bad.map_or((&Value::Null, 0), |bad| (&bad["model"], bad["soft"]["times"].as_u64().unwrap_or(0)));
        let first = test["variant"] == "data_first";
        ensure(if first { model == "forbidden" && seen == 0 } else { model == "allowed" && seen > 0 }, || format!("{test}"))?;
    }
    Ok(())
}

fn table() -> Result<(), Failed> {
    let (_, output) = litmus(MESSAGE, &["--ordering", "data_first"])?;
    ends_with(&output, 0)?;
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "m.nst data_first: a message\n",
        "reader.r  reader.d  model",
        "true      0         forbidden",
        "the flag was there, and the data was not; allowed under flag_first",
        "1 test, 1 ordering: all agree",
        "(seed 0x3)",
    ] {
        ensure(text.contains(part), || format!("{part:?} is not in\n{text}"))?;
    }
    ensure(!text.contains('\x1b'), || "colours, though nobody looks".to_owned())
}

fn unexpected() -> Result<(), Failed> {
    let (_, output) = litmus(&MESSAGE.replace("flag_first fails", "flag_first holds"), &[])?;
    ends_with(&output, 1)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = "replay: nostale litmus m.nst --on model,soft --ordering flag_first --runs 50000 --seed 0x3";
    ensure(text.contains("unexpected: expected to hold") && text.contains(line), || text.to_string())
}

fn errors() -> Result<(), Failed> {
    let wide = MESSAGE.replace("var data: 0..1", "var data: 0..1000");
    let (_, output) = litmus(&wide, &[])?;
    ends_with(&output, 2)?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure(text.contains("`data` has 1001 values, of which 128 fit"), || text.to_string())?;
    let (_, output) = litmus("model \"m\"\nthraed a {}\n", &[])?;
    ends_with(&output, 2)?;
    let (_, output) = litmus(MESSAGE, &["--ordering", "data_frist"])?;
    ends_with(&output, 2)?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure(text.contains("did you mean 'data_first'?"), || text.to_string())
}

fn memory_models() -> Result<(), Failed> {
    let (_, output) = litmus(MESSAGE, &["--memory-model", "weak", "--ordering", "data_first", "--format", "json"])?;
    // Without barriers, the weak model allows what the file says holds.
    ends_with(&output, 1)?;
    let report = json(&output)?;
    let test = &report["tests"][0];
    ensure(test["memory_model"] == "weak" && test["soft"].is_null() && test["verdict"] == "unexpected", || format!("{test}"))
}

fn out() -> Result<(), Failed> {
    let (place, output) = litmus(MESSAGE, &["--out", "kept", "--quiet"])?;
    ends_with(&output, 0)?;
    for name in ["README.txt", "report.json", "table.txt", "junit.xml", "ktap.txt"] {
        let text = fs::read_to_string(place.path().join("kept").join(name))?;
        ensure(!text.is_empty(), || format!("{name} is empty"))?;
    }
    Ok(())
}

const REMAP: &str = "model \"remap\"
use memory
use operations
page A, B
virt x { pte = A; tlb = A }
flag done
thread host { remap(x, B); done = true }
thread guest { guest_write(x, 1); if done { guest_write(x, 2) } }
observe A.data, B.data
finally A.data != 2 \"the old page was written\"
expect before_populating fails, after_unlock holds, inside_lock holds, start_end holds
";

fn kvm() -> Result<(), Failed> {
    let on_kvm = ["--on", "model,kvm", "--ordering", "start_end", "--format", "json"];
    let (_, output) = litmus(REMAP, &on_kvm)?;
    ends_with(&output, 0)?;
    let report = json(&output)?;
    let test = &report["tests"][0];
    ensure(test["kvm"]["instances"].as_u64() >= Some(50_000) && test["kvm"]["installs"].as_u64() > Some(0), || {
        format!("{test}")
    })?;
    let (_, output) = litmus(REMAP, &[&on_kvm[..], &["--plant", "stale-translation"]].concat())?;
    ends_with(&output, 1)?;
    let report = json(&output)?;
    let test = &report["tests"][0];
    let said = test["reason"].as_str().unwrap_or_default();
    ensure(test["verdict"] == "forbidden" && said.contains("seen on real KVM"), || format!("{test}"))?;
    // What does not run there says so, and nothing is wrong.
    let (_, output) = litmus(MESSAGE, &["--on", "kvm", "--format", "json"])?;
    ends_with(&output, 0)?;
    let report = json(&output)?;
    ensure(report["tests"][0]["kvm_skipped"].is_string(), || format!("{report}"))
}

fn parameters() -> Result<(), Failed> {
    let (_, output) = litmus(REMAP, &["--on", "kvm", "--ordering", "start_end", "--format", "json"])?;
    ends_with(&output, 0)?;
    let report = json(&output)?;
    let test = &report["tests"][0];
    let (instances, states) = (test["kvm"]["instances"].as_u64(), test["states"].as_array().map_or(0, Vec::len));
    let parameters = test["kvm"]["parameters"].as_array().cloned().unwrap_or_default();
    ensure(parameters.iter().any(|parameter| parameter["parameter"] == "operation"), || format!("{test:#}"))?;
    for parameter in &parameters {
        let values = parameter["values"].as_array().cloned().unwrap_or_default();
        let sum: u64 = values.iter().filter_map(|value| value["instances"].as_u64()).sum();
        ensure(values.len() > 1 && Some(sum) == instances, || format!("{parameter}"))?;
        let fits = |value: &Value| {
            let times = value["times"].as_array().cloned().unwrap_or_default();
            times.len() == states
                && times.iter().filter_map(Value::as_u64).sum::<u64>() == value["instances"].as_u64().unwrap_or(0)
        };
        ensure(values.iter().all(fits), || format!("{parameter}"))?;
    }
    Ok(())
}

fn elsewhere() -> Result<(), Failed> {
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, output) = litmus(MESSAGE, &["--kernel", "6.1"])?;
    ends_with(&output, 2)?;
    ensure(said(&output).contains("none of these litmus tests runs on KVM"), || said(&output))?;
    let (_, output) = litmus(REMAP, &["--kernel", "6.1", "--on", "soft"])?;
    ends_with(&output, 2)?;
    ensure(said(&output).contains("cannot be used with"), || said(&output))?;
    let place = Place::new()?;
    fs::create_dir(place.path().join("other"))?;
    fs::write(place.path().join("m.nst"), REMAP)?;
    fs::write(place.path().join("other/m.nst"), REMAP)?;
    let output = place.nostale(&["mutate", "--kernel", "6.1", "--litmus", "."])?;
    ends_with(&output, 2)?;
    ensure(said(&output).contains("another test has that name"), || said(&output))
}
