//! From a model to what an exploration says about it.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::model::Model;

use super::layout::{Layout, TooWide};
use super::livelock::{self, Hopeful, always_ends};
use super::program::Program;
use super::search::{End, Search, Teller};
use super::store::Store;
use super::trace::{self, Goal};
use super::worker::Wrong;
use super::{Cause, Limits, Outcome, Progress, Verdict, Violation};

/// Calls a function for packed states with the instance for so many words.
macro_rules! with_words {
    ($words:expr, $call:ident ( $($arg:expr),* )) => {
        match $words {
            0..=1 => $call::<1>($($arg),*),
            2 => $call::<2>($($arg),*),
            3 => $call::<3>($($arg),*),
            4 => $call::<4>($($arg),*),
            5..=6 => $call::<6>($($arg),*),
            7..=8 => $call::<8>($($arg),*),
            9..=12 => $call::<12>($($arg),*),
            _ => $call::<16>($($arg),*),
        }
    };
}
pub(super) use with_words;

/// Explores every interleaving of a model. `progress` is called now and then, from the calling thread; where it breaks, the
/// exploration ends there.
pub fn explore(model: &Model, limits: &Limits, progress: &dyn Fn(Progress) -> ControlFlow<()>) -> Result<Outcome, TooWide> {
    let layout = Layout::new(model)?;
    Ok(with_words!(layout.words, packed(model, layout, limits, progress)))
}

/// The same, with states of `W` words.
fn packed<const W: usize>(
    model: &Model,
    layout: Layout,
    limits: &Limits,
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Outcome {
    let start = Instant::now();
    let program = Program::<W>::new(model, layout);
    let mut search = Search::new(&program, model.forbid_deadlock, limits);
    let teller = Teller::new(progress);
    let mut end = search.run(&teller);
    let mut peak_bytes = Store::<W>::bytes(search.states);
    let mut hopeless = None;
    if let (End::Exhausted, true) = (&end, model.forbid_livelock && !always_ends(model)) {
        peak_bytes += Hopeful::bytes(search.states);
        match Hopeful::find(&search, &teller) {
            Ok(hopeful) => hopeless = hopeful.hopeless(&search),
            Err(bound) => end = End::Bound(bound),
        }
    }
    let elapsed = start.elapsed();
    let found = match &end {
        End::Wrong(wrong) => Some(wrong_way(model, &search, wrong)),
        End::Exhausted => match &hopeless {
            Some((depth, states)) => Some(livelock(&search, *depth, states)),
            None => never_true(&search),
        },
        End::Bound(_) => None,
    };
    let verdict = match (&end, &found) {
        (End::Bound(_), _) => Verdict::Bounded,
        (_, None) => Verdict::Holds,
        (_, Some(found)) => match found.what {
            Cause::Deadlock => Verdict::Deadlock,
            Cause::Livelock => Verdict::Livelock,
            Cause::Property(_) | Cause::Step { .. } => Verdict::Fails,
        },
    };
    Outcome {
        verdict,
        states: search.states,
        transitions: search.transitions + 1,
        depth: search.depth(),
        elapsed,
        peak_bytes,
        state_bits: program.layout.bits,
        bound: if let End::Bound(bound) = end { Some(bound) } else { None },
        violation: found,
    }
}

/// A violation with a way to it.
fn violation<const W: usize>(search: &Search<'_, W>, what: Cause, depth: usize, goal: &Goal<W>) -> Violation {
    let trace = trace::shortest(search, depth, goal);
    Violation { what, first: search.program.layout.unpack(&search.program.first), trace, round: None }
}

/// What is wrong and the way to it. A deadlock is found one level before what else is; then the first property of the model that
/// is violated counts, and only then the failures of steps, by their places in the text.
fn wrong_way<const W: usize>(model: &Model, search: &Search<'_, W>, wrong: &Wrong) -> Violation {
    let states = |indexes: &[u64]| -> Vec<[u64; W]> { indexes.iter().map(|&index| search.store.get(index)).collect() };
    // The level that was expanded last; what is bad is one further, unless it is the first state.
    let level = search.expanded;
    if !wrong.dead.is_empty() {
        return violation(search, Cause::Deadlock, level, &Goal::States(states(&wrong.dead)));
    }
    let bad: Vec<_> = states(&wrong.bad).into_iter().map(|state| (search.program.violated(model, &state), state)).collect();
    if let Some(property) = bad.iter().filter_map(|(property, _)| *property).min() {
        let goal =
            bad.into_iter().filter(|(_, state)| !search.program.is_true(property, state)).map(|(_, state)| state).collect();
        let depth = if wrong.bad == [0] { 0 } else { level + 1 };
        return violation(search, Cause::Property(property), depth, &Goal::States(goal));
    }
    let failures = wrong.failed.iter().map(|&index| &search.program.failures[index as usize]);
    let Some(failure) = failures.min() else { unreachable!("something is wrong") };
    let what = Cause::Step { why: failure.why.to_string(), at: failure.span() };
    violation(search, what, level, &Goal::Failure(failure.clone()))
}

/// A state that cannot finish, the way to it, and what happens from there for ever.
fn livelock<const W: usize>(search: &Search<'_, W>, depth: usize, states: &[[u64; W]]) -> Violation {
    let mut found = violation(search, Cause::Livelock, depth, &Goal::States(states.to_vec()));
    let last = found.trace.last().map_or(&found.first, |(_, state)| state);
    found.round = livelock::round(search, &search.program.layout.pack(last));
    found
}

/// The first `sometimes` that is true in no state.
fn never_true<const W: usize>(search: &Search<'_, W>) -> Option<Violation> {
    let never = search.marks.seen.iter().position(|seen| !seen.load(Ordering::Relaxed))?;
    let first = search.program.layout.unpack(&search.program.first);
    let what = Cause::Property(search.program.sometimes[never]);
    Some(Violation { what, first, trace: Vec::new(), round: None })
}
