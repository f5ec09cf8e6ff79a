//! A whole run: one scenario after the other, with the kernel log watched throughout.

use super::{
    Config, Scenario,
    runner::{Runner, not_run},
    session::SessionError,
    storm,
};
use crate::{
    host::{facts::Facts, knobs::Knobs},
    report::{Host, RunReport, ScenarioResult, Setup, Verdict},
};
use std::{sync::atomic::AtomicBool, time::Duration};

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
    let mut runner = Runner::new(facts, knobs, interrupted);
    let obstacles: Vec<_> = plan.iter().map(|scenario| runner.obstacle(scenario, config)).collect();
    let shares = plan.iter().zip(&obstacles).filter(|(_, obstacle)| obstacle.is_none()).map(|(scenario, _)| scenario.share());
    let shares = shares.sum::<u32>().max(1);
    let mut scenarios = Vec::new();
    for (scenario, obstacle) in plan.iter().zip(obstacles) {
        if runner.is_interrupted() {
            break;
        }
        let each = time * scenario.share() / shares;
        hooks.starts(scenario, if obstacle.is_some() { Duration::ZERO } else { each });
        let ran = match obstacle {
            Some(reason) => Ok(not_run(scenario, config, Verdict::Skipped, reason, each)),
            None if scenario.is_storm() => storm::run(&mut runner, scenario, config, each, hooks),
            None => runner.run(scenario, config, each, hooks),
        };
        let result = match ran {
            Ok(result) => result,
            // The first one says what is wrong with what was asked for; later, results are worth keeping.
            Err(error) if scenarios.iter().all(|done: &ScenarioResult| done.verdict == Verdict::Skipped) => return Err(error),
            Err(error) => not_run(scenario, config, Verdict::Vacuous, format!("could not be set up: {error}"), each),
        };
        hooks.ends(&result);
        let stop = config.until_violation && matches!(result.verdict, Verdict::Violation | Verdict::Stuck);
        scenarios.push(result);
        if stop {
            let left = plan.len() - scenarios.len();
            runner.notes.push(format!("stopped at the first violation, with {left} scenarios left"));
            break;
        }
    }
    let (interrupted, mut notes) = (runner.is_interrupted(), runner.notes);
    if interrupted {
        notes.push(format!("interrupted after {} of {} scenarios", scenarios.len(), plan.len()));
    }
    Ok(RunReport {
        version: 1,
        verdict: Verdict::of(scenarios.iter().map(|scenario| scenario.verdict)),
        seed: config.seed,
        host: Host::of(facts),
        setup: Setup::of(config),
        interrupted,
        scenarios,
        trace: None,
        notes,
    })
}
