//! A whole run: one scenario after the other, with the kernel log watched throughout.

use super::{
    Config, Plant, Scenario,
    session::{SessionError, run_scenario},
    verdict::replay,
};
use crate::{
    host::{facts::Facts, kmsg},
    oracle::{Oracle, Violation},
    report::{Host, RunReport, ScenarioResult, Setup, Verdict},
};
use nostale_notifier::addr::PAGE_SIZE;
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

/// Is told how a run goes.
pub trait Hooks {
    /// A scenario is about to start, and should take `planned`.
    fn starts(&mut self, scenario: &Scenario, planned: Duration) {
        let _ = (scenario, planned);
    }

    /// A scenario has ended.
    fn ends(&mut self, result: &ScenarioResult) {
        let _ = result;
    }

    /// The kernel wrote a line to its log.
    fn kernel_line(&mut self, line: &str) {
        let _ = line;
    }
}

/// Hooks for nobody.
#[derive(Debug)]
pub struct NoHooks;

impl Hooks for NoHooks {}

/// Runs the whole plan in `time`, shared among the scenarios that can run here, until `interrupted`.
///
/// # Errors
/// The first scenario could not be set up: a matter of the environment, not of coherency. When a later one cannot, that is its
/// result.
pub fn run(
    plan: &[Scenario],
    config: &Config,
    facts: &Facts,
    time: Duration,
    interrupted: &AtomicBool,
    hooks: &mut dyn Hooks,
) -> Result<RunReport, SessionError> {
    let mut notes = Vec::new();
    let mut log = match kmsg::KernelLog::open() {
        Ok(log) => Some(log),
        Err(unavailable) => {
            notes.push(format!("the kernel log was not watched: {unavailable}"));
            None
        }
    };
    let unplantable = |scenario: &Scenario| {
        let plant = config.plant?;
        plant.impossible(scenario, config, facts).map(|reason| format!("{plant} cannot be planted: {reason}"))
    };
    let reason = |scenario: &Scenario| {
        scenario.inapplicable().map(str::to_owned).or_else(|| scenario.missing(facts)).or_else(|| unplantable(scenario))
    };
    let runnable = plan.iter().filter(|scenario| reason(scenario).is_none()).count();
    let each = time.checked_div(runnable.max(1) as u32).unwrap_or(time);
    let mut scenarios = Vec::new();
    for scenario in plan {
        if interrupted.load(Relaxed) {
            break;
        }
        let reason = reason(scenario);
        hooks.starts(scenario, if reason.is_some() { Duration::ZERO } else { each });
        let mut result = match reason {
            Some(reason) => not_run(scenario, config, Verdict::Skipped, reason, each),
            None => {
                if config.plant == Some(Plant::KernelMessage)
                    && let Err(unavailable) = kmsg::plant(&plant_line())
                {
                    notes.push(format!("the kernel message could not be planted: {unavailable}"));
                }
                match run_scenario(scenario, config, facts, each, interrupted) {
                    Ok(result) => result,
                    // The first one says what is wrong with what was asked for; later, results are worth keeping.
                    Err(error) if scenarios.iter().all(|done: &ScenarioResult| done.verdict == Verdict::Skipped) => {
                        return Err(error);
                    }
                    Err(error) => not_run(scenario, config, Verdict::Vacuous, format!("could not be set up: {error}"), each),
                }
            }
        };
        if scenario.backing.huge && result.operations > 0 && result.huge_bytes == 0 {
            notes.push(format!("{scenario}: the kernel gave no huge page, so this tested small ones"));
        }
        if let Some(log) = &mut log {
            judge_log(log, scenario, &mut result, &mut notes, hooks);
        }
        hooks.ends(&result);
        scenarios.push(result);
    }
    let interrupted = interrupted.load(Relaxed);
    if interrupted {
        notes.push(format!("interrupted after {} of {} scenarios", scenarios.len(), plan.len()));
    }
    Ok(RunReport {
        version: 1,
        verdict: Verdict::of(scenarios.iter().map(|scenario| scenario.verdict)),
        seed: config.seed,
        host: Host {
            kernel: facts.kernel.release.text().to_string(),
            mmu: facts.kvm.mmu.known().map_or("unknown", |mmu| mmu.name()).to_owned(),
            cpu: facts.cpu.model.text().to_string(),
            cpus: std::thread::available_parallelism().map_or(0, |n| n.get() as u64),
        },
        setup: Setup {
            vcpus: config.vcpus as u64,
            host_writers: config.host_writers as u64,
            memory_bytes: config.pages * PAGE_SIZE,
        },
        interrupted,
        scenarios,
        notes,
    })
}

/// Every planted line starts like this, whoever planted it.
const PLANTED: &str = "BUG: nostale planted";

fn plant_line() -> String {
    format!("{PLANTED} this line (process {})", std::process::id())
}

/// Judges what the kernel has said since the last time.
fn judge_log(
    log: &mut kmsg::KernelLog,
    scenario: &Scenario,
    result: &mut ScenarioResult,
    notes: &mut Vec<String>,
    hooks: &mut dyn Hooks,
) {
    loop {
        let batch = match log.read_new() {
            Ok(batch) => batch,
            Err(error) => {
                doubt(result, format!("the kernel log could not be read: {error}"));
                notes.push(format!("the kernel log could not be read after {scenario}: {error}"));
                return;
            }
        };
        batch.records.iter().for_each(|record| hooks.kernel_line(&record.text));
        if batch.lost > 0 {
            doubt(result, format!("{} lines of the kernel log were lost, and may have held an alarm", batch.lost));
        }
        for (alarm, record) in batch.alarms() {
            // Every process sees every planted line; only its own is meant.
            if record.text.starts_with(PLANTED) && record.text != plant_line() {
                continue;
            }
            result.verdict = Verdict::Violation;
            let earlier = result.reason.take().map_or(String::new(), |reason| format!("; {reason}"));
            result.reason = Some(format!("kernel: {}{earlier}", record.text));
            result.violations.push(Violation {
                found: 1,
                ..Violation::new(Oracle::Kernel, &result.name, format!("{alarm:?}: {}", record.text))
            });
        }
        if !batch.more {
            return;
        }
    }
}

/// A run that cannot say whether the kernel complained proves nothing.
fn doubt(result: &mut ScenarioResult, reason: String) {
    if result.verdict == Verdict::Coherent {
        result.verdict = Verdict::Vacuous;
        result.reason = Some(reason);
    }
}

fn not_run(scenario: &Scenario, config: &Config, verdict: Verdict, reason: String, each: Duration) -> ScenarioResult {
    ScenarioResult {
        name: scenario.name(),
        backing: scenario.backing.name().to_owned(),
        verdict,
        reason: Some(reason),
        method: None,
        seconds: 0.0,
        operations: 0,
        operations_per_second: 0.0,
        pages: 0,
        by_operation: Vec::new(),
        guest_writes: 0,
        host_writes: 0,
        writes_per_second: 0.0,
        lost_writes: 0,
        stale_writes: 0,
        stale_reads: 0,
        longest_stall_us: 0.0,
        invalidations: 0,
        installs: 0,
        efaults: 0,
        witnessed_pages: 0,
        third_thread_sightings: 0,
        huge_bytes: 0,
        start_us: 0.0,
        check_us: 0.0,
        kvm: Default::default(),
        violations: Vec::new(),
        replay: replay(scenario, config, each.as_secs_f64()),
    }
}
