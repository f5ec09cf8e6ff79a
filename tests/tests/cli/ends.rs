//! How runs end: exit statuses, signals, and readers that go away.

use crate::{Bench, ENDLESS, NOSTALE, Place, SHORT, ends_with, ensure, json, trial};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use nostale_vmm::{host::facts::Vendor, report::Verdict};
use std::process::{Command, Stdio};

const ONE: &[&str] = &["--ops", "mremap", "--backing", "anon"];

pub(crate) fn trials(bench: &Bench) -> Vec<Trial> {
    let no_kvm = || bench.no_kvm();
    // Other KVMs run a guest in ring 0 like any other.
    let interprets = bench.facts.kvm.vendor.is(&Vendor::KvmPvm);
    let no_pvm = (!interprets).then(|| "only kvm_pvm interprets a guest in ring 0".to_owned());
    let no_huge = || bench.facts.need_collapse().err().map(|need| need.to_string());
    let vacuous = ["--ops", "collapse", "--backing", "anon-thp", "--plant", "ring0"];
    vec![
        trial("ends::coherent", no_kvm(), || ends(ONE, Verdict::Coherent, 0)),
        trial("ends::violation", no_kvm(), violation),
        trial("ends::vacuous", no_kvm().or(no_pvm).or_else(no_huge), move || ends(&vacuous, Verdict::Vacuous, 3)),
        trial("ends::skipped", no_kvm(), || ends(&["--ops", "remap", "--backing", "anon"], Verdict::Skipped, 4)),
        trial("ends::interrupted", no_kvm(), || interrupted(Signal::SIGINT)),
        trial("ends::terminated", no_kvm(), || interrupted(Signal::SIGTERM)),
        trial("ends::doctor", None, || ends_with(&Place::new()?.nostale(&["doctor"])?, 0)),
        trial("ends::reader_of_doctor_went_away", None, || reader_went_away(&["doctor"])),
        trial("ends::reader_of_help_went_away", None, || reader_went_away(&["--help"])),
        trial("ends::reader_of_a_run_went_away", no_kvm(), || reader_went_away(&[SHORT, ONE].concat())),
    ]
}

fn ends(arguments: &[&str], verdict: Verdict, status: i32) -> Result<(), Failed> {
    let place = Place::new()?;
    let output = place.nostale(&[SHORT, arguments, &["--format", "json"]].concat())?;
    ends_with(&output, status)?;
    let found = &json(&output)?["verdict"];
    ensure(found == verdict.name(), || format!("expected {verdict}, found {found}: {output:?}"))?;
    let left = place.entries()?;
    ensure(left.is_empty(), || format!("left behind: {left:?}"))
}

/// The planted fault is a race with guests: on a busy host it takes its time to do harm.
fn violation() -> Result<(), Failed> {
    let place = Place::new()?;
    for seconds in ["1", "4", "16", "64"] {
        let plant = ["--memory", "4M", "--seconds", seconds, "--plant", "old-copy", "--format", "json"];
        let output = place.nostale(&[&["run", "--quiet"], ONE, &plant].concat())?;
        let report = json(&output)?;
        if report["verdict"] != Verdict::Coherent.name() {
            ends_with(&output, 1)?;
            let (verdict, lost) = (&report["verdict"], &report["scenarios"][0]["lost_writes"]);
            return ensure(verdict == "violation" && lost.as_u64() > Some(0), || format!("{output:?}"));
        }
        ends_with(&output, 0)?;
    }
    Err("old copies were written back for a minute and nobody noticed".into())
}

fn interrupted(signal: Signal) -> Result<(), Failed> {
    let place = Place::new()?;
    let mut run = place.start(&[ENDLESS, &["--ops", "mremap,protect", "--backing", "anon", "--out", "kept"]].concat())?;
    run.wait_for_vcpu()?;
    run.signal(signal)?;
    let output = run.end()?;
    ends_with(&output, 3)?;
    let report = json(&output)?;
    ensure(report["interrupted"] == true, || format!("not interrupted? {report}"))?;
    let scenarios = report["scenarios"].as_array().map_or(0, Vec::len);
    ensure(scenarios == 1, || format!("one scenario was begun, and {scenarios} are in the results: {report}"))?;
    let entries = place.entries()?;
    ensure(entries == ["0.err", "0.out", "kept"], || format!("kept: {entries:?}"))?;
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(place.path().join("kept/run.json"))?)?;
    ensure(kept["interrupted"] == true, || format!("what was kept is not interrupted: {kept}"))
}

/// `nostale … | head -1`, when head is quick.
fn reader_went_away(arguments: &[&str]) -> Result<(), Failed> {
    let place = Place::new()?;
    let mut command = Command::new(NOSTALE);
    let mut child = place.host(command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped())).spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    ends_with(&output, 0)?;
    ensure(output.stderr.is_empty(), || format!("{output:?}"))
}
