//! A whole run: one scenario after the other, with the kernel log watched throughout.

use super::{
    Config, Plant, Scenario, knobs as settings,
    log::{self, LogWatch},
    session::{Session, SessionError},
    verdict::replay,
};
use crate::{
    host::{facts::Facts, knobs::Knobs},
    report::{Host, RunReport, ScenarioResult, Setup, Verdict},
};
use nostale_notifier::addr::PAGE_SIZE;
use std::{
    borrow::Cow,
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

/// Runs the whole plan in `time`, shared among the scenarios that can run here, until `interrupted`. Host settings that a scenario wants
/// are held while it runs; without `knobs` they stay as they are.
///
/// # Errors
/// The first scenario could not be set up: a matter of the environment, not of coherency. When a later one cannot, that is its
/// result.
pub fn run(
    plan: &[Scenario],
    config: &Config,
    facts: &Facts,
    knobs: Option<&Knobs>,
    time: Duration,
    interrupted: &AtomicBool,
    hooks: &mut dyn Hooks,
) -> Result<RunReport, SessionError> {
    let mut notes = Vec::new();
    let mut log = LogWatch::open(&mut notes);
    let unplantable = |scenario: &Scenario| {
        let plant = config.plant?;
        plant.impossible(scenario, config, facts).map(|reason| format!("{plant} cannot be planted: {reason}"))
    };
    let reason = |scenario: &Scenario| {
        scenario.inapplicable().map(Cow::into_owned).or_else(|| scenario.missing(facts)).or_else(|| unplantable(scenario))
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
                    && let Err(unavailable) = log::plant()
                {
                    notes.push(format!("the kernel message could not be planted: {unavailable}"));
                }
                let mut enough = || interrupted.load(Relaxed) || config.until_violation && log.alarmed();
                let held = knobs.map(|knobs| settings::hold(scenario, facts, knobs, &mut notes)).transpose();
                let mut session = || Session::new(scenario, config, facts).and_then(|session| session.run(each, &mut enough));
                match held.map(|_held| session()) {
                    Err(refused) => not_run(scenario, config, Verdict::Skipped, refused, each),
                    Ok(Ok(result)) => result,
                    // The first one says what is wrong with what was asked for; later, results are worth keeping.
                    Ok(Err(error)) if scenarios.iter().all(|done: &ScenarioResult| done.verdict == Verdict::Skipped) => {
                        return Err(error);
                    }
                    Ok(Err(error)) => not_run(scenario, config, Verdict::Vacuous, format!("could not be set up: {error}"), each),
                }
            }
        };
        if scenario.backing.huge && result.operations > 0 && result.huge_bytes == 0 {
            notes.push(format!("{scenario}: the kernel gave no huge page, so this tested small ones"));
        }
        log.judge(scenario, &mut result, &mut notes, hooks);
        hooks.ends(&result);
        let stop = config.until_violation && matches!(result.verdict, Verdict::Violation | Verdict::Stuck);
        scenarios.push(result);
        if stop {
            let left = plan.len() - scenarios.len();
            notes.push(format!("stopped at the first violation, with {left} scenarios left"));
            break;
        }
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

fn not_run(scenario: &Scenario, config: &Config, verdict: Verdict, reason: String, each: Duration) -> ScenarioResult {
    let replay = replay(scenario, config, None, each.as_secs_f64());
    ScenarioResult::without_run(&scenario.name(), scenario.backing.name(), verdict, reason, replay)
}
