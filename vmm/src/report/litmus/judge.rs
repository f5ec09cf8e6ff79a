//! From what is allowed and what was seen to a result.

use super::{
    Batch, Explored, NeverSeen, ParameterYield, Ran, RanOnKvm, ShapeShare, Sighting, StateRow, TestResult, ValueYield, Verdict,
};
use crate::litmus as kvm;
use nostale_notifier::{
    lang::ast::Expected,
    litmus::{
        Allowed, Outcome,
        batches::Batch as Slice,
        soft::{Rounds, Run, SHAPES, Seen},
    },
    model::Observed,
};
use std::{borrow::Cow, collections::BTreeSet, time::Duration};

/// What is known of a test under one ordering.
pub struct Case<'a> {
    /// The file.
    pub path: &'a str,
    /// The name of the model.
    pub model: &'a str,
    /// The ordering and the memory model.
    pub variant: &'a str,
    /// `sc`, `tso` or `weak`.
    pub memory_model: &'static str,
    /// What the file expects.
    pub expected: Expected,
    /// What is looked at.
    pub columns: &'a [Observed],
    /// What the model allows, and how long it took to find out.
    pub allowed: &'a Allowed,
    /// See there.
    pub explored: Duration,
    /// What other orderings of the file allow.
    pub others: &'a [(&'a str, &'a Allowed)],
    /// What was seen on the software MMU.
    pub soft: Option<&'a Run>,
    /// What was seen on real KVM, or why nothing was.
    pub kvm: Option<Result<&'a kvm::Run, String>>,
    /// The line that runs this case alone.
    pub replay: String,
}

impl Case<'_> {
    fn on_kvm(&self) -> Option<&kvm::Run> {
        self.kvm.as_ref().and_then(|run| run.as_ref().ok().copied())
    }
}

/// The result of a test.
#[must_use]
pub fn test(case: &Case<'_>) -> TestResult {
    let exhausted = case.allowed.bound.is_none();
    let elsewhere = case.others.iter().flat_map(|(_, allowed)| allowed.outcomes.keys());
    let seen = case.soft.iter().flat_map(|run| run.tally.keys());
    let seen = seen.chain(case.on_kvm().into_iter().flat_map(|run| run.tally.keys()));
    let outcomes: BTreeSet<&Outcome> = case.allowed.outcomes.keys().chain(elsewhere).chain(seen).collect();
    let states: Vec<StateRow> = outcomes.iter().map(|outcome| row(case, outcome)).collect();
    let (verdict, reason) = judge(case, &states, exhausted);
    let missing = |on, seen: fn(&StateRow) -> Option<&Sighting>| {
        let rows = states.iter().filter(move |row| row.model == "allowed" && seen(row).is_some_and(|seen| seen.times == 0));
        rows.map(move |row| NeverSeen { on: Cow::Borrowed(on), state: row.state.clone() })
    };
    let never_seen = missing("soft", |row| row.soft.as_ref()).chain(missing("kvm", |row| row.kvm.as_ref())).collect();
    TestResult {
        path: case.path.to_owned(),
        model: case.model.to_owned(),
        variant: case.variant.to_owned(),
        memory_model: case.memory_model.into(),
        verdict,
        reason,
        never_seen,
        columns: case.columns.iter().map(|column| column.text.clone()).collect(),
        states,
        explored: Some(Explored { states: case.allowed.states, exhausted, seconds: case.explored.as_secs_f64() }),
        soft: case.soft.map(|run| ran(run, &outcomes)),
        kvm: case.on_kvm().map(|run| ran_on_kvm(run, &outcomes)),
        kvm_skipped: case.kvm.as_ref().and_then(|run| run.as_ref().err().cloned()),
        replay: case.replay.clone(),
    }
}

fn row(case: &Case<'_>, outcome: &Outcome) -> StateRow {
    let known = case.allowed.outcomes.get(outcome);
    let others = case.others.iter().filter(|(_, allowed)| allowed.outcomes.contains_key(outcome));
    let (end, values) = match outcome {
        Outcome::Finished(values) => {
            let shown = case.columns.iter().zip(values).map(|(column, value)| column.domain.shown(*value).to_string());
            ("finished", shown.collect())
        }
        Outcome::Failed(_) => ("failed", Vec::new()),
        Outcome::Stuck => ("stuck", Vec::new()),
        Outcome::Endless => ("endless", Vec::new()),
    };
    // What is bad under one ordering is bad under all: the properties are the same.
    let violates = known.or_else(|| others.clone().find_map(|(_, allowed)| allowed.outcomes.get(outcome)));
    StateRow {
        state: outcome.shown(case.columns).to_string(),
        end: end.into(),
        values,
        model: Cow::Borrowed(match (known, case.allowed.bound) {
            (Some(_), _) => "allowed",
            (None, None) => "forbidden",
            (None, Some(_)) => "unknown",
        }),
        allowed_under: if known.is_some() { Vec::new() } else { others.map(|(name, _)| (*name).to_owned()).collect() },
        violates: violates.and_then(|known| known.violates.clone()),
        soft: case.soft.map(|run| of_soft(run, run.tally.get(outcome))),
        kvm: case.on_kvm().map(|run| of_kvm(run, run.tally.get(outcome))),
    }
}

/// How often a state was seen, and when first, of so many instances.
fn sighting(seen: Option<(u64, Duration)>, instances: u64) -> Sighting {
    let times = seen.map_or(0, |(times, _)| times);
    Sighting {
        times,
        per_million: times as f64 * 1e6 / instances.max(1) as f64,
        first_us: seen.map(|(_, first)| first.as_secs_f64() * 1e6),
        best_shape: None,
    }
}

fn of_soft(run: &Run, seen: Option<&Seen>) -> Sighting {
    let best_shape = seen.and_then(|seen| {
        let rates = seen.by_shape.iter().zip(&run.shapes).map(|(times, all)| *times as f64 / all.instances.max(1) as f64);
        let best = rates.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map(|(shape, _)| SHAPES[shape].to_string())
    });
    Sighting { best_shape, ..sighting(seen.map(|seen| (seen.times, seen.first)), run.instances) }
}

fn of_kvm(run: &kvm::Run, seen: Option<&kvm::Seen>) -> Sighting {
    let best_shape = seen.and_then(|seen| kvm::telling(&seen.by_value, &run.by_value));
    Sighting { best_shape, ..sighting(seen.map(|seen| (seen.times, seen.first)), run.instances) }
}

fn judge(case: &Case<'_>, states: &[StateRow], exhausted: bool) -> (Verdict, Option<String>) {
    let forbidden: Vec<_> = states.iter().filter(|row| row.model == "forbidden" && row.times() > 0).collect();
    if let Some(first) = forbidden.first() {
        let more = if forbidden.len() > 1 { format!(" (and {} more)", forbidden.len() - 1) } else { String::new() };
        let on_kvm = first.kvm.as_ref().is_some_and(|seen| seen.times > 0);
        let place = if on_kvm { "real KVM" } else { "the software MMU" };
        let reason = format!("seen on {place}, though the model does not allow it: {}{more}", first.state);
        return (Verdict::Forbidden, Some(reason));
    }
    let bad = states.iter().find(|row| row.model == "allowed" && row.violates.is_some());
    match (case.expected, bad) {
        (Expected::Holds, Some(bad)) => {
            let why = bad.violates.as_deref().unwrap_or_default();
            (Verdict::Unexpected, Some(format!("expected to hold, but the model allows {} ({why})", bad.state)))
        }
        _ if !exhausted => {
            (Verdict::Bounded, Some("more states than --max-states allows: what is forbidden is not known".to_owned()))
        }
        _ => match case.on_kvm().and_then(kvm::Run::vacuous) {
            Some(why) => (Verdict::Vacuous, Some(why.to_owned())),
            None => (Verdict::Agrees, None),
        },
    }
}

fn ran(run: &Run, outcomes: &BTreeSet<&Outcome>) -> Ran {
    let seconds = run.elapsed.as_secs_f64();
    Ran {
        instances: run.instances,
        seconds,
        instances_per_second: run.instances as f64 / seconds.max(f64::MIN_POSITIVE),
        shapes: run.shapes.iter().map(share).collect(),
        batches: batches(&run.batches, outcomes),
    }
}

fn batches(slices: &[Slice], outcomes: &BTreeSet<&Outcome>) -> Vec<Batch> {
    let times = |slice: &Slice| outcomes.iter().map(|outcome| slice.times.get(*outcome).copied().unwrap_or(0)).collect();
    slices.iter().map(|slice| Batch { instances: slice.instances, times: times(slice) }).collect()
}

fn share(rounds: &Rounds) -> ShapeShare {
    ShapeShare {
        shape: rounds.shape.to_string(),
        instances: rounds.instances,
        instances_per_second: rounds.instances as f64 / rounds.elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
    }
}

fn ran_on_kvm(run: &kvm::Run, outcomes: &BTreeSet<&Outcome>) -> RanOnKvm {
    let seconds = run.elapsed.as_secs_f64();
    let times = |parameter: usize, value: usize| {
        let seen = outcomes.iter().map(|outcome| run.tally.get(*outcome));
        seen.map(|seen| seen.map_or(0, |seen| seen.by_value[parameter][value])).collect()
    };
    let values = |parameter: kvm::Parameter| {
        let at = parameter as usize;
        let all = parameter.values().iter().enumerate().map(|(value, name)| ValueYield {
            value: (*name).to_owned(),
            instances: run.by_value[at][value],
            times: times(at, value),
        });
        all.filter(|value| value.instances > 0).collect()
    };
    let parameters = kvm::Parameter::ALL.into_iter();
    let parameters =
        parameters.map(|parameter| ParameterYield { parameter: parameter.name().to_owned(), values: values(parameter) });
    RanOnKvm {
        instances: run.instances,
        seconds,
        instances_per_second: run.instances as f64 / seconds.max(f64::MIN_POSITIVE),
        operations: run.calls,
        operations_done: run.operations,
        installs: run.kvm.installs(),
        invalidations: run.kvm.invalidations(),
        // Where there was no choice, nothing was found out.
        parameters: parameters.filter(|parameter| parameter.values.len() > 1).collect(),
        batches: batches(&run.batches, outcomes),
    }
}
