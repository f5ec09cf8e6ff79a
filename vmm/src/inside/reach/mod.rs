//! Which notifier calls each scenario makes: counted by the kernel itself, with probes on the notifier.

mod hist;
mod probes;

use super::{
    child::Out,
    protocol::{Event, RunRequest, SiteReach, request::Understood},
    run::starts,
};
use crate::{
    host::{
        facts::Facts,
        knobs::{Knob, Knobs},
    },
    live::{self, Config, Hooks},
};
use probes::Probes;
use std::{path::Path, sync::atomic::AtomicBool};

/// Protects and migrates pages of its own accord on machines with several nodes: calls that no scenario made.
const NUMA_BALANCING: &str = "/proc/sys/kernel/numa_balancing";

/// Runs the scenarios that are asked for one by one under probes; gives the last event.
pub(super) fn reach(request: &RunRequest, facts: &Facts, out: &mut Out) -> Result<Event, String> {
    let Understood { plan, config, time } = request.understand(facts).map_err(|error| error.to_string())?;
    facts.need_kvm().map_err(|need| need.to_string())?;
    let mut notes = Vec::new();
    let knobs =
        Knobs::open(Knobs::default_dir()).inspect_err(|error| notes.push(format!("host settings are left alone: {error}"))).ok();
    let quiet = knobs.as_ref().map(|knobs| knobs.set(&Knob::number(NUMA_BALANCING), "0"));
    if let Some(Err(error)) = quiet.as_ref().filter(|_| Path::new(NUMA_BALANCING).exists()) {
        notes.push(format!("sites may be reached by NUMA balancing and not by the scenario: {error}"));
    }
    let probes = Probes::new(Path::new("/sys/kernel/tracing"), &mut notes).map_err(|error| error.to_string())?;
    let mut say = |event: &Event| {
        // PID 1 listens as long as this process lives.
        let _ = out.send(event);
    };
    notes.into_iter().for_each(|note| say(&Event::Note(note)));
    // Of those that cannot run here, none takes a share of the time.
    let runnable =
        |scenario: &&live::Scenario| scenario.inapplicable().is_none() && scenario.missing(facts, &config.file_dir).is_none();
    let each = time.checked_div(plan.iter().filter(runnable).count().max(1) as u32).unwrap_or(time);
    let config = Config { until_violation: false, ..config };
    for scenario in &plan {
        say(&starts(scenario, each));
        probes.clear().map_err(|error| error.to_string())?;
        let mut kernel = Kernel(&mut say);
        let report =
            live::run(std::slice::from_ref(scenario), &config, facts, knobs.as_ref(), each, &AtomicBool::new(false), &mut kernel);
        let counted = probes.read().map_err(|error| error.to_string())?;
        let result = report.map_err(|error| format!("{scenario}: {error}"))?.scenarios.pop();
        let Some(result) = result else { continue };
        say(&Event::Reached(SiteReach {
            scenario: result.name,
            backing: result.backing,
            verdict: result.verdict,
            reason: result.reason,
            seconds: result.seconds,
            operations: result.operations,
            sites: counted.sites,
            dropped: counted.dropped,
        }));
    }
    probes.remove().into_iter().for_each(|note| say(&Event::Note(note)));
    Ok(Event::ReachEnd)
}

/// Tells what the kernel says meanwhile.
struct Kernel<'a>(&'a mut dyn FnMut(&Event));

impl Hooks for Kernel<'_> {
    fn kernel_line(&mut self, line: &str) {
        (self.0)(&Event::Kernel(line.to_owned()));
    }
}
