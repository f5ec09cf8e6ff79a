//! Storms: rounds of many operations at once, drawn from one seed, until the time is up or one fails. What fails is shrunk to the
//! fewest operations that still do.

mod flat;
mod round;
mod shrink;

use super::{Config, Hooks, Scenario, plan::by_name_only, runner::Runner, session::SessionError, verdict::replay};
use crate::{
    ops,
    report::{ScenarioResult, StormResult, Verdict, units},
};
use flat::Flat;
use nix::sys::sysinfo::sysinfo;
use nostale_notifier::addr::PAGE_SIZE;
use round::Round;
use std::time::{Duration, Instant};

/// How long shrinking may take.
const SHRINKING: Duration = Duration::from_secs(120);
/// How often a part is tried before it counts as one that does not fail.
const TRIES: u64 = 3;
/// A round's memory and its copies in forked children take at most one part in so many of what the host has.
const SHARE: u64 = 16;

/// Runs a storm on `scenario`'s backing for `time`.
///
/// # Errors
/// When not even the first round could be set up.
pub(super) fn run(
    runner: &mut Runner<'_>,
    scenario: &Scenario,
    config: &Config,
    time: Duration,
    hooks: &mut dyn Hooks,
) -> Result<ScenarioResult, SessionError> {
    let backing = scenario.backing;
    let fits = |&operation: &&'static ops::Operation| {
        let alone = Scenario { operations: vec![operation], backing };
        !by_name_only(operation) && runner.obstacle(&alone, config).is_none()
    };
    let operations: Vec<_> = ops::all().filter(fits).collect();
    let line = replay(scenario, config, None, time.as_secs_f64());
    let mut sum = ScenarioResult::without_run(&scenario.name(), backing.name(), Verdict::Vacuous, String::new(), line);
    if operations.is_empty() {
        sum.verdict = Verdict::Skipped;
        sum.reason = Some("no operation can run on this backing here".to_owned());
        return Ok(sum);
    }
    let room = sysinfo().map_or(u64::MAX, |info| info.ram_total()) / PAGE_SIZE / SHARE;
    let (begin, mut flat, mut storm) = (Instant::now(), Flat::default(), StormResult::default());
    let mut number = 0;
    while begin.elapsed() < time && !runner.is_interrupted() {
        let mut round = round::draw(number, &operations, backing, config, room);
        round.time = round.time.min(time.saturating_sub(begin.elapsed()).max(Duration::from_millis(500)));
        number += 1;
        let result = match runner.run(&round.scenario, &round.config, round.time, hooks) {
            Ok(result) => result,
            Err(error) if storm.rounds == 0 => return Err(error),
            // A round that needs more than the host has at this moment is no failure.
            Err(error) => {
                storm.unset += 1;
                storm.first_unset.get_or_insert(error.to_string());
                continue;
            }
        };
        flat.push(flat::held());
        storm.count(result.verdict, result.reason.as_deref());
        sum.add(&result);
        if matches!(result.verdict, Verdict::Violation | Verdict::Stuck) {
            fail(runner, &round, result, &mut sum, &mut storm, hooks);
            break;
        }
    }
    sum.seconds = begin.elapsed().as_secs_f64();
    sum.rates();
    (storm.first, storm.last) = flat.ends();
    storm.never =
        operations.iter().map(|operation| operation.name).filter(|name| sum.never_did(name)).map(str::to_owned).collect();
    if !matches!(sum.verdict, Verdict::Violation | Verdict::Stuck) {
        sum.verdict = match (storm.coherent, storm.vacuous) {
            (0, 0) if storm.skipped > 0 => Verdict::Skipped,
            (0, _) => Verdict::Vacuous,
            _ => Verdict::Coherent,
        };
        let reason =
            || storm.first_vacuous.clone().or(storm.first_unset.clone()).unwrap_or_else(|| "no round came to an end".to_owned());
        sum.reason = (sum.verdict != Verdict::Coherent).then(reason);
    }
    if let Some(growth) = flat.growth() {
        runner.notes.push(format!("{scenario}: the run itself {growth}: a bug in nostale, please report it"));
    }
    sum.storm = Some(storm);
    Ok(sum)
}

/// Takes over what a failing round found, and shrinks it.
fn fail(
    runner: &mut Runner<'_>,
    round: &Round,
    failed: ScenarioResult,
    sum: &mut ScenarioResult,
    storm: &mut StormResult,
    hooks: &mut dyn Hooks,
) {
    let deadline = Instant::now() + SHRINKING;
    // Twice as long as it took, so that what is as likely as before is hardly missed.
    let patience = Duration::from_secs_f64((2.0 * failed.seconds).clamp(2.0, 16.0));
    let (mut smallest, mut tries) = (failed, 0);
    let mut fails = |part: &[&'static ops::Operation]| {
        for attempt in 0..TRIES {
            if Instant::now() > deadline || runner.is_interrupted() {
                return None;
            }
            tries += 1;
            let scenario = Scenario { operations: part.to_vec(), backing: round.scenario.backing };
            let seed = round.config.seed.wrapping_add(attempt);
            let config = Config { until_violation: true, seed, ..round.config.clone() };
            let Ok(result) = runner.run(&scenario, &config, patience, hooks) else { continue };
            if result.verdict == smallest.verdict {
                smallest = result;
                return Some(true);
            }
        }
        Some(false)
    };
    // What does not fail again as it is cannot be told from parts of it that do not.
    let again = fails(&round.scenario.operations);
    let (left, whole) = match again {
        Some(true) => shrink::shrink(&round.scenario.operations, &mut fails),
        _ => (round.scenario.operations.clone(), false),
    };
    let names: Vec<_> = left.iter().map(|operation| operation.name).collect();
    let how = match (again, whole) {
        (Some(true), true) => format!("shrunk to {} in {tries} tries, the fewest that still fail", names.join("+")),
        (Some(true), false) => format!("shrunk to {} in {tries} tries, as far as there was time", names.join("+")),
        _ => format!("which was not seen again in {tries} tries: {}", names.join("+")),
    };
    let reason = smallest.reason.take().unwrap_or_default();
    let (all, after) = (round.scenario.operations.len(), units::seconds(round.time.as_secs_f64()));
    sum.verdict = smallest.verdict;
    sum.reason = Some(format!("{reason}: a round of {all} operations failed within {after}, {how}"));
    sum.violations = smallest.violations;
    sum.replay = smallest.replay;
    if again == Some(true) {
        storm.shrunk = names.into_iter().map(str::to_owned).collect();
    }
}
