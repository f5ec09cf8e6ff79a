//! Random walks through models that are too large to exhaust. They prove nothing; what they find is real.

use std::ops::ControlFlow;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::model::{Model, State, StepId};

use super::explore::with_words;
use super::layout::{Layout, TooWide};
use super::program::{Look, Program};
use super::search::Teller;
use super::store::{Key, KeyMap};
use super::{Bound, Cause, Outcome, Progress, Verdict, Violation};

/// How far to walk at random.
#[derive(Clone, Copy, Debug)]
pub struct Walks {
    /// The same seed walks the same ways.
    pub seed: u64,
    /// How many walks, each from the first state.
    pub walks: u64,
    /// The longest a walk may become.
    pub max_steps: u64,
}

/// A step of a walk, and the state that it leads to; for a step that fails, its failure and the state before it.
type Taken<const W: usize> = (StepId, u32, Result<[u64; W], u32>);

/// Walks through a model, at each state with a step chosen at random, until something is wrong. Neither a livelock nor a `sometimes`
/// that never comes true can be found so. In the outcome, `states` counts a state as often as it was walked through, `depth` is the
/// longest walk, and the trace is what is left of the walk without its detours: a way, but not a shortest one.
pub fn walk(model: &Model, walks: &Walks, progress: &dyn Fn(Progress) -> ControlFlow<()>) -> Result<Outcome, TooWide> {
    let layout = Layout::new(model)?;
    Ok(with_words!(layout.words, packed(model, layout, walks, progress)))
}

fn packed<const W: usize>(
    model: &Model,
    layout: Layout,
    walks: &Walks,
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Outcome {
    let start = Instant::now();
    let program = Program::<W>::new(model, layout);
    let teller = Teller::new(progress);
    let mut outcome = Outcome {
        verdict: Verdict::Bounded,
        states: 0,
        transitions: 0,
        depth: 0,
        elapsed: start.elapsed(),
        peak_bytes: 0,
        state_bits: program.layout.bits,
        bound: Some(Bound::Walks),
        violation: None,
    };
    let mut way = Vec::new();
    for number in 0..walks.walks {
        // Each walk has its own generator, so that the tenth is the same whether or not there were nine before it.
        let mut random = Xoshiro256PlusPlus::seed_from_u64(walks.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        way.clear();
        let what = once(model, &program, &mut random, walks.max_steps, &mut way);
        outcome.states += way.len() as u64 + 1;
        outcome.transitions += way.len() as u64;
        outcome.depth = outcome.depth.max(way.len() as u32);
        if let Some(what) = what {
            outcome.verdict = if what == Cause::Deadlock { Verdict::Deadlock } else { Verdict::Fails };
            outcome.bound = None;
            let first = program.layout.unpack(&program.first);
            outcome.violation = Some(Violation { what, first, trace: straight(&program, &way), round: None });
            break;
        }
        if !teller.tick(|| Progress { states: outcome.states, depth: outcome.depth }) {
            outcome.bound = Some(Bound::Interrupted);
            break;
        }
    }
    outcome.elapsed = start.elapsed();
    outcome
}

/// One walk.
fn once<const W: usize>(
    model: &Model,
    program: &Program<W>,
    random: &mut Xoshiro256PlusPlus,
    max_steps: u64,
    way: &mut Vec<(StepId, [u64; W])>,
) -> Option<Cause> {
    let mut state = program.first;
    if !program.holds(&state) {
        return program.violated(model, &state).map(Cause::Property);
    }
    let mut choices: Vec<Taken<W>> = Vec::new();
    for _ in 0..max_steps {
        choices.clear();
        let all = std::cell::RefCell::new(&mut choices);
        let next = |step: u32, next: &[u64; W]| all.borrow_mut().push((program.steps[step as usize].id, step, Ok(*next)));
        let fail = |step: u32, failure: u32| all.borrow_mut().push((program.steps[step as usize].id, step, Err(failure)));
        program.expand(&state, &mut Look { next, fail });
        if choices.is_empty() {
            return (model.forbid_deadlock && !program.finished(&state)).then_some(Cause::Deadlock);
        }
        let (id, step, next) = choices[random.random_range(0..choices.len())];
        match next {
            Err(failure) => {
                way.push((id, state));
                let failure = &program.failures[failure as usize];
                return Some(Cause::Step { why: failure.why.to_string(), at: failure.span() });
            }
            Ok(next) => {
                way.push((id, next));
                if !program.holds_after(step, &next) {
                    return program.violated(model, &next).map(Cause::Property);
                }
                state = next;
            }
        }
    }
    None
}

/// The way without its detours: where it comes back to a state, what lies between is left out.
fn straight<const W: usize>(program: &Program<W>, way: &[(StepId, [u64; W])]) -> Vec<(StepId, State)> {
    let mut left: Vec<(StepId, [u64; W])> = Vec::new();
    let mut at: KeyMap<W, usize> = KeyMap::default();
    at.insert(Key(program.first), 0);
    for (number, &(step, state)) in way.iter().enumerate() {
        // The last step is what it was all for, even where it seems to lead nowhere (a step that fails does).
        let back = at.get(&Key(state)).filter(|_| number + 1 < way.len());
        match back {
            Some(&length) => {
                for (_, gone) in left.drain(length..) {
                    at.remove(&Key(gone));
                }
            }
            None => {
                left.push((step, state));
                at.insert(Key(state), left.len());
            }
        }
    }
    left.into_iter().map(|(step, state)| (step, program.layout.unpack(&state))).collect()
}
