//! The explorer one would write first: every state in a hash map, a queue, and the reference semantics. Slow and plain, so that
//! others can be compared with it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use nostale_notifier::model::{Ask, Model, PropertyId, State, eval};

/// What goes wrong in a single state or step.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Wrong {
    /// A property.
    Property(u32),
    /// A step that fails, and why.
    Step(String),
    /// Nothing can run.
    Deadlock,
}

/// All there is to know about a model. Nothing stops at the first violation.
#[derive(Debug)]
pub(crate) struct Explored {
    /// States by their distance from the first.
    pub(crate) levels: Vec<u64>,
    /// Pairs of a state and a step that can be taken from it, those that fail among them.
    pub(crate) transitions: u64,
    /// States in which all threads have finished.
    pub(crate) finished: u64,
    /// Each thing that goes wrong, with the length of the shortest way to it.
    pub(crate) wrong: BTreeMap<Wrong, u32>,
    /// Each `sometimes` that never came true.
    pub(crate) missing: Vec<PropertyId>,
    /// Length of the shortest way to a state from which no end can be reached.
    pub(crate) livelock: Option<u32>,
}

impl Explored {
    pub(crate) fn states(&self) -> u64 {
        self.levels.iter().sum()
    }

    /// Length of the shortest way to a violation that a single state or step shows.
    pub(crate) fn shortest(&self) -> Option<u32> {
        self.wrong.values().min().copied()
    }
}

/// Goes through all states; none where there are more than `max_states`.
pub(crate) fn explore(model: &Model, max_states: usize) -> Option<Explored> {
    let first = eval::first(model);
    let mut number: HashMap<State, usize> = HashMap::from([(first.clone(), 0)]);
    let mut states = vec![first];
    let mut distance = vec![0u32];
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut queue = VecDeque::from([0]);
    let mut wrong: BTreeMap<Wrong, u32> = BTreeMap::new();
    let mut transitions = 0;
    let mut stopped = Vec::new();
    // First come, first kept: the queue hands the states out by their distance.
    let mut note = |what: Wrong, length: u32| {
        let shortest = wrong.entry(what).or_insert(length);
        *shortest = length.min(*shortest);
    };
    while let Some(at) = queue.pop_front() {
        let state = states[at].clone();
        for (id, property) in (0..).zip(&model.properties) {
            if eval::violates(model, &state, property) {
                note(Wrong::Property(id), distance[at]);
            }
        }
        let steps: Vec<_> = eval::enabled(model, &state).collect();
        if steps.is_empty() && model.forbid_deadlock && !eval::finished(model, &state) {
            note(Wrong::Deadlock, distance[at]);
        }
        if steps.is_empty() {
            stopped.push(at);
        }
        for step in steps {
            transitions += 1;
            let next = match eval::take(model, &state, step) {
                Ok(next) => next,
                Err(failure) => {
                    note(Wrong::Step(failure.why.to_string()), distance[at] + 1);
                    continue;
                }
            };
            let to = *number.entry(next.clone()).or_insert_with(|| {
                states.push(next);
                distance.push(distance[at] + 1);
                before.push(Vec::new());
                queue.push_back(states.len() - 1);
                states.len() - 1
            });
            before[to].push(at);
        }
        if states.len() > max_states {
            return None;
        }
    }
    let finished: Vec<_> = (0..states.len()).filter(|at| eval::finished(model, &states[*at])).collect();
    // Where deadlock is allowed, that is an end as good as any.
    let ends = if model.forbid_deadlock { finished.clone() } else { [finished.clone(), stopped].concat() };
    let stuck = if model.forbid_livelock { stuck(&before, &ends) } else { Vec::new() };
    Some(Explored {
        levels: levels(&distance),
        transitions,
        finished: finished.len() as u64,
        wrong,
        missing: missing(model, &states),
        livelock: stuck.into_iter().map(|at| distance[at]).min(),
    })
}

fn levels(distance: &[u32]) -> Vec<u64> {
    let mut levels = Vec::new();
    for distance in distance {
        levels.resize(levels.len().max(*distance as usize + 1), 0);
        levels[*distance as usize] += 1;
    }
    levels
}

/// The states from which none of `targets` can be reached: all but those found on the ways back from them.
fn stuck(before: &[Vec<usize>], targets: &[usize]) -> Vec<usize> {
    let mut reaches = vec![false; before.len()];
    let mut queue: VecDeque<_> = targets.iter().copied().collect();
    while let Some(at) = queue.pop_front() {
        if !std::mem::replace(&mut reaches[at], true) {
            queue.extend(&before[at]);
        }
    }
    (0..before.len()).filter(|at| !reaches[*at]).collect()
}

fn missing(model: &Model, states: &[State]) -> Vec<PropertyId> {
    let asked = (0..).map(PropertyId).zip(&model.properties).filter(|(_, property)| property.ask == Ask::Sometimes);
    asked
        .filter(|(_, property)| !states.iter().any(|state| eval::holds(model, state, &property.condition)))
        .map(|(id, _)| id)
        .collect()
}
