//! Litmus tests where scenarios are expected: each has a result like theirs, with its table.

use super::protocol::LitmusText;
use crate::{
    litmus::{Failure, Known, Session, suited},
    machine::SlotsTold,
    oracle::{Oracle, Violation},
    report::{
        ScenarioResult, Verdict,
        litmus::{TestResult, Verdict as Judged},
    },
};
use nostale_notifier::{compile::Program, lang::Sources, litmus::Until};
use std::sync::atomic::AtomicBool;

/// Where a model has more states, not all of it is explored.
const MAX_STATES: u64 = 1 << 20;

/// Runs a test on this machine.
pub(super) fn run(test: &LitmusText, until: Until, seed: u64, told: Option<SlotsTold>) -> ScenarioResult {
    let pair = test.pair();
    let empty = |verdict, reason| ScenarioResult::without_run(&pair.ops, &pair.backing, verdict, reason, String::new());
    match table(test, until, seed, told) {
        Ok(Some(table)) => of(table, empty(Verdict::Coherent, String::new())),
        Ok(None) => empty(Verdict::Skipped, "it does not run on a real machine".to_owned()),
        Err(failure) => {
            let mut result = empty(Verdict::Vacuous, failure.to_string());
            if let Failure::Kvm(lost) = &failure {
                result.violations.push(Violation::new(Oracle::Progress, &pair.ops, lost.to_string()));
                result.verdict = Verdict::Violation;
            }
            result
        }
    }
}

/// What it came to.
fn table(test: &LitmusText, until: Until, seed: u64, told: Option<SlotsTold>) -> Result<Option<TestResult>, Failure> {
    let program = Program::read(Sources::new(&test.path, test.text.clone()))
        .map_err(|refused| Failure::Rejected(refused.diagnostics, refused.sources))?;
    let Some(variant) = suited(&test.path, &program) else { return Ok(None) };
    let session = Session {
        soft: false,
        kvm: true,
        until,
        seed,
        workers: 1,
        stale: false,
        told,
        max_states: MAX_STATES,
        interrupted: &AtomicBool::new(false),
    };
    let replay = format!("nostale litmus {} --on kvm --ordering {} --seed {seed:#x}", test.path, variant.variant);
    session.test(&mut Known::new(&test.path, &program), &variant, replay, &|_| {}).map(Some)
}

/// The result of a scenario that is this test.
fn of(table: TestResult, mut result: ScenarioResult) -> ScenarioResult {
    result.verdict = match table.verdict {
        Judged::Agrees | Judged::Unexpected => Verdict::Coherent,
        Judged::Forbidden => Verdict::Violation,
        Judged::Bounded | Judged::Vacuous => Verdict::Vacuous,
    };
    result.reason = table.reason.clone().filter(|_| result.verdict != Verdict::Coherent);
    result.replay.clone_from(&table.replay);
    if let Some(ran) = &table.kvm {
        result.seconds = ran.seconds;
        result.operations = ran.operations_done;
        result.operations_per_second = ran.operations_done as f64 / ran.seconds.max(f64::MIN_POSITIVE);
        result.installs = ran.installs;
        result.invalidations = ran.invalidations;
    }
    if result.verdict == Verdict::Violation {
        let reason = table.reason.clone().unwrap_or_default();
        let found = table.states.iter().filter(|row| row.model == "forbidden").map(|row| row.times()).sum();
        result.violations.push(Violation { found, ..Violation::new(Oracle::Litmus, &result.name, reason) });
    }
    result.litmus = Some(Box::new(table));
    result
}
