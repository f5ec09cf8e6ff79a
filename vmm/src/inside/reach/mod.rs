//! Which notifier calls each scenario makes: counted by the kernel itself, with probes on the notifier.

mod hist;
mod probes;

use super::{
    child::Out,
    litmus,
    protocol::{Event, Pair, RunRequest, SiteReach, request::Understood},
    run::starts,
};
use crate::{
    host::{
        facts::Facts,
        knobs::{Knob, Knobs},
    },
    live::{self, Config, Hooks},
    report::ScenarioResult,
};
use nostale_notifier::litmus::Until;
use probes::Probes;
use std::{path::Path, sync::atomic::AtomicBool, time::Duration};

/// Protects and migrates pages of its own accord on machines with several nodes: calls that no scenario made.
const NUMA_BALANCING: &str = "/proc/sys/kernel/numa_balancing";

/// Runs the scenarios that are asked for one by one under probes; gives the last event.
pub(super) fn reach(request: &RunRequest, facts: &Facts, out: &mut Out) -> Result<Event, String> {
    facts.need_kvm().map_err(|need| need.to_string())?;
    let mut notes = Vec::new();
    let knobs =
        Knobs::open(Knobs::default_dir()).inspect_err(|error| notes.push(format!("host settings are left alone: {error}"))).ok();
    let quiet = knobs.as_ref().map(|knobs| knobs.set(&Knob::number(NUMA_BALANCING), "0"));
    if let Some(Err(error)) = quiet.as_ref().filter(|_| Path::new(NUMA_BALANCING).exists()) {
        notes.push(format!("sites may be reached by NUMA balancing and not by the scenario: {error}"));
    }
    let probes = Probes::new(Path::new("/sys/kernel/tracing"), &mut notes).map_err(|error| error.to_string())?;
    // PID 1 listens as long as this process lives.
    notes.into_iter().for_each(|note| _ = out.send(&Event::Note(note)));
    if request.litmus.is_empty() {
        scenarios(request, facts, knobs.as_ref(), &probes, out)?;
    } else {
        litmus_tests(request, facts, &probes, out)?;
    }
    probes.remove().into_iter().for_each(|note| _ = out.send(&Event::Note(note)));
    Ok(Event::ReachEnd)
}

fn scenarios(request: &RunRequest, facts: &Facts, knobs: Option<&Knobs>, probes: &Probes, out: &mut Out) -> Result<(), String> {
    let Understood { plan, config, time } = request.understand(facts).map_err(|error| error.to_string())?;
    // Of those that cannot run here, none takes a share of the time.
    let runnable =
        |scenario: &&live::Scenario| scenario.inapplicable().is_none() && scenario.missing(facts, &config.file_dir).is_none();
    let each = time.checked_div(plan.iter().filter(runnable).count().max(1) as u32).unwrap_or(time);
    let config = Config { until_violation: false, ..config };
    for scenario in &plan {
        counted(probes, &scenario.into(), each, out, |out| {
            let mut kernel = Kernel(out);
            let plan = std::slice::from_ref(scenario);
            let report = live::run(plan, &config, facts, knobs, each, &AtomicBool::new(false), &mut kernel);
            Ok(report.map_err(|error| format!("{scenario}: {error}"))?.scenarios.pop())
        })?;
    }
    Ok(())
}

fn litmus_tests(request: &RunRequest, facts: &Facts, probes: &Probes, out: &mut Out) -> Result<(), String> {
    let config = request.config(facts).map_err(|error| error.to_string())?;
    let (tests, each) = request.litmus().map_err(|error| error.to_string())?;
    for test in tests {
        let run = |_: &mut Out| Ok(Some(litmus::run(test, Until::For(each), config.seed, None)));
        counted(probes, &test.pair(), each, out, run)?;
    }
    Ok(())
}

/// Runs one scenario, and tells which calls it made.
fn counted(
    probes: &Probes,
    scenario: &Pair,
    each: Duration,
    out: &mut Out,
    run: impl FnOnce(&mut Out) -> Result<Option<ScenarioResult>, String>,
) -> Result<(), String> {
    let _ = out.send(&starts(scenario, each));
    probes.clear().map_err(|error| error.to_string())?;
    let result = run(out);
    let counted = probes.read().map_err(|error| error.to_string())?;
    let Some(result) = result? else { return Ok(()) };
    let _ = out.send(&Event::Reached(SiteReach {
        scenario: result.name,
        backing: result.backing,
        verdict: result.verdict,
        reason: result.reason,
        seconds: result.seconds,
        operations: result.operations,
        sites: counted.sites,
        dropped: counted.dropped,
    }));
    Ok(())
}

/// Tells what the kernel says meanwhile.
struct Kernel<'a>(&'a mut Out);

impl Hooks for Kernel<'_> {
    fn kernel_line(&mut self, line: &str) {
        let _ = self.0.send(&Event::Kernel(line.to_owned()));
    }
}
