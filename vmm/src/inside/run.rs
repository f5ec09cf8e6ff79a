//! A run, as a child of PID 1 makes it.

use super::{
    child::Out,
    litmus,
    protocol::{Event, Pair, RunRequest, request::Understood},
};
use crate::{
    host::{facts::Facts, knobs::Knobs},
    live::{self, Hooks, Scenario},
    report::{Host, RunReport, ScenarioResult, Setup, Verdict},
    trace::OwnTrace,
};
use nostale_notifier::{litmus::Until, trace::profile::Profile};
use std::{fs, path::Path, sync::atomic::AtomicBool, time::Duration};

/// Runs what is asked for; gives the last event.
pub(super) fn run(request: &RunRequest, facts: &Facts, out: &mut Out) -> Result<Event, String> {
    if !request.litmus.is_empty() {
        return litmus_tests(request, facts, out);
    }
    let Understood { plan, mut config, time } = request.understand(facts).map_err(|error| error.to_string())?;
    facts.need_kvm().map_err(|need| need.to_string())?;
    let mut notes = Vec::new();
    // The settings are put back, for whoever asks for the next run.
    let knobs =
        Knobs::open(Knobs::default_dir()).inspect_err(|error| notes.push(format!("host settings are left alone: {error}"))).ok();
    let trace = recording(request, &mut notes);
    config.told = trace.as_ref().map(OwnTrace::told);
    let mut hooks = Tell { out, kept: request.violations_kept };
    let report = live::run(&plan, &config, facts, knobs.as_ref(), time, &AtomicBool::new(false), &mut hooks);
    let mut report = report.map_err(|error| error.to_string())?;
    notes.append(&mut report.notes);
    notes.extend(knobs.iter().flat_map(Knobs::take_notes));
    config.told = None;
    if let Some(profile) = trace.and_then(|trace| read(trace, &mut notes)) {
        report.add_trace(profile);
    }
    report.notes = notes;
    report.scenarios.clear();
    Ok(Event::Report(Box::new(report)))
}

/// The same of litmus tests.
fn litmus_tests(request: &RunRequest, facts: &Facts, out: &mut Out) -> Result<Event, String> {
    let config = request.config(facts).map_err(|error| error.to_string())?;
    let (tests, each) = request.litmus().map_err(|error| error.to_string())?;
    facts.need_kvm().map_err(|need| need.to_string())?;
    let mut notes = Vec::new();
    let trace = recording(request, &mut notes);
    let until = request.litmus_runs.map_or(Until::For(each), Until::Instances);
    let mut tell = Tell { out, kept: request.violations_kept };
    let mut verdicts = Vec::new();
    for (seed, test) in (config.seed..).zip(tests) {
        tell.tell(&starts(&test.pair(), each));
        let result = litmus::run(test, until, seed, trace.as_ref().map(OwnTrace::told));
        tell.ends(&result);
        verdicts.push(result.verdict);
        if request.until_violation && result.verdict == Verdict::Violation {
            break;
        }
    }
    let mut report = RunReport {
        version: 1,
        verdict: Verdict::of(verdicts),
        seed: config.seed,
        host: Host::of(facts),
        setup: Setup::of(&config),
        interrupted: false,
        scenarios: Vec::new(),
        trace: None,
        notes: Vec::new(),
    };
    if let Some(profile) = trace.and_then(|trace| read(trace, &mut notes)) {
        report.add_trace(profile);
    }
    report.notes = notes;
    Ok(Event::Report(Box::new(report)))
}

/// Where a recording is while it is made: in memory, as everything in here.
pub(super) const RECORDING: &str = "/recording.trace";

/// Begins one, if it is asked for and possible.
fn recording(request: &RunRequest, notes: &mut Vec<String>) -> Option<OwnTrace> {
    let began = request.trace.then(|| OwnTrace::start(Path::new(RECORDING), "nostale run"))?;
    began.inspect_err(|error| notes.push(format!("nothing was recorded: {error}"))).ok()
}

/// What it came to.
fn read(trace: OwnTrace, notes: &mut Vec<String>) -> Option<Profile> {
    let profile = trace.finish().inspect_err(|error| notes.push(format!("the recording cannot be read: {error}"))).ok();
    let _ = fs::remove_file(RECORDING);
    profile
}

/// Tells everything as it happens: what was told is there when the kernel dies.
pub(super) struct Tell<'a> {
    pub(super) out: &'a mut Out,
    /// Violations that are told with their details.
    pub(super) kept: usize,
}

impl Tell<'_> {
    fn tell(&mut self, event: &Event) {
        // PID 1 listens as long as this process lives; if it does not, nobody does.
        let _ = self.out.send(event);
    }
}

impl Hooks for Tell<'_> {
    fn starts(&mut self, scenario: &Scenario, planned: Duration) {
        self.tell(&starts(&scenario.into(), planned));
    }

    fn ends(&mut self, result: &ScenarioResult) {
        let mut result = result.clone();
        result.violations.truncate(self.kept);
        self.tell(&Event::Ends(Box::new(result)));
    }

    fn kernel_line(&mut self, line: &str) {
        self.tell(&Event::Kernel(line.to_owned()));
    }
}

/// A scenario starts.
pub(super) fn starts(scenario: &Pair, planned: Duration) -> Event {
    Event::Starts { scenario: scenario.ops.clone(), backing: scenario.backing.clone(), planned_seconds: planned.as_secs_f64() }
}
