//! The way to a violation. The search keeps no parents: the levels are walked backwards, and of each the states are kept that lead on.

use crate::model::{State, StepId};

use super::act::Failure;
use super::levels::{Cursor, Level, on_each, worth};
use super::program::{Look, Program};
use super::search::Search;
use super::store::{Key, KeyMap};

/// What a way leads to.
pub(super) enum Goal<const W: usize> {
    /// One of these states.
    States(Vec<[u64; W]>),
    /// A step with this failure.
    Failure(Failure),
}

/// States of one level from which the goal can be reached in time, each with the changes of thread that this takes, by the thread
/// that takes the first step. At the goal itself there is no first step, and none is listed.
type Layer<const W: usize> = KeyMap<W, Box<[u32]>>;

/// No way.
const NEVER: u32 = u32::MAX;

/// A way from the first state to the goal, which is `depth` levels away. Of all that are as short it has the fewest changes of
/// thread, and of these it is the first by its steps.
pub(super) fn shortest<const W: usize>(search: &Search<'_, W>, depth: usize, goal: &Goal<W>) -> Vec<(StepId, State)> {
    let program = search.program;
    let threads = program.threads();
    let last: Layer<W> = match goal {
        Goal::States(states) => states.iter().map(|state| (Key(*state), Box::default())).collect(),
        Goal::Failure(failure) => layer(search, &search.levels[depth], |state| {
            let mut costs = vec![NEVER; threads].into_boxed_slice();
            let fail = |step, index: u32| {
                if program.failures[index as usize] == *failure {
                    costs[program.thread(step)] = 0;
                }
            };
            program.expand(state, &mut Look { next: |_, _: &[u64; W]| {}, fail });
            costs
        }),
    };
    let mut layers = vec![last];
    for level in search.levels[..depth].iter().rev() {
        let ahead = &layers[layers.len() - 1];
        let behind = layer(search, level, |state| {
            let mut costs = vec![NEVER; threads].into_boxed_slice();
            program.successors(state, |step, next| {
                if let Some(further) = ahead.get(&Key(*next)) {
                    let thread = program.thread(step);
                    costs[thread] = costs[thread].min(changes(further, thread));
                }
            });
            costs
        });
        layers.push(behind);
    }
    layers.reverse();
    forward(program, &layers, goal)
}

/// The changes of thread on the way from a state that was reached by a step of this thread.
fn changes(costs: &[u32], thread: usize) -> u32 {
    let least = costs.iter().copied().min().unwrap_or(0);
    costs.get(thread).map_or(0, |&same| same.min(least.saturating_add(1)))
}

/// The states of a level that have a cost, with their costs.
fn layer<const W: usize>(search: &Search<'_, W>, level: &Level, costs: impl Fn(&[u64; W]) -> Box<[u32]> + Sync) -> Layer<W> {
    let workers = worth(level.states, search.workers());
    let cursor = Cursor::new(level.states, workers);
    let mut parts: Vec<Layer<W>> = (0..workers).map(|_| Layer::default()).collect();
    let work = |part: &mut Layer<W>| {
        while let Some(mut positions) = cursor.take() {
            while !positions.is_empty() {
                for index in level.run(&positions) {
                    positions.start += 1;
                    let state = search.store.get(index);
                    let costs = costs(&state);
                    if costs.iter().any(|&cost| cost != NEVER) {
                        part.insert(Key(state), costs);
                    }
                }
            }
        }
    };
    on_each(&mut parts, &(), &work, |part, ()| work(part));
    parts
        .into_iter()
        .reduce(|mut all, part| {
            all.extend(part);
            all
        })
        .unwrap_or_default()
}

/// Goes from the first state through the layers.
fn forward<const W: usize>(program: &Program<W>, layers: &[Layer<W>], goal: &Goal<W>) -> Vec<(StepId, State)> {
    let mut trace = Vec::new();
    let mut state = program.first;
    let mut before: Option<usize> = None;
    for ahead in &layers[1..] {
        let mut best: Option<(u32, StepId, usize, [u64; W])> = None;
        program.successors(&state, |step, next| {
            if let Some(further) = ahead.get(&Key(*next)) {
                let thread = program.thread(step);
                let change = u32::from(before.is_some_and(|before| before != thread));
                let this = (changes(further, thread) + change, program.steps[step as usize].id, thread, *next);
                if best.is_none_or(|best| (this.0, this.1) < (best.0, best.1)) {
                    best = Some(this);
                }
            }
        });
        let Some((_, step, thread, next)) = best else { unreachable!("each layer leads to the one ahead") };
        trace.push((step, program.layout.unpack(&next)));
        (state, before) = (next, Some(thread));
    }
    if let Goal::Failure(failure) = goal {
        let mut best: Option<(bool, StepId)> = None;
        let fail = |step: u32, index: u32| {
            if program.failures[index as usize] == *failure {
                let change = before.is_some_and(|before| before != program.thread(step));
                let this = (change, program.steps[step as usize].id);
                best = Some(best.map_or(this, |best| best.min(this)));
            }
        };
        program.expand(&state, &mut Look { next: |_, _: &[u64; W]| {}, fail });
        trace.extend(best.map(|(_, step)| (step, program.layout.unpack(&state))));
    }
    trace
}
