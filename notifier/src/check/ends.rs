//! How a model can end: every state that is left by no step, and every step that fails.

use std::ops::ControlFlow;

use crate::lang::Span;
use crate::model::{Model, Role, State};

use super::explore::with_words;
use super::layout::{Layout, TooWide};
use super::program::{Look, Program};
use super::search::Teller;
use super::store::{Key, KeyMap};
use super::{Bound, Progress};

/// An end of a model.
#[derive(Clone, Debug)]
pub enum End {
    /// All threads have finished, and every store has reached memory.
    Finished(State),
    /// A step failed.
    Failed {
        /// What it is a violation of.
        why: std::sync::Arc<str>,
        /// The place that asks for it.
        at: Span,
    },
    /// Nothing can run, though not every thread has finished.
    Stuck(State),
}

/// What is known of all ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// States seen.
    pub states: u64,
    /// There is a state from which no end can be reached.
    pub endless: bool,
    /// The limit that was reached: there may be other ends.
    pub bound: Option<Bound>,
}

/// Goes through every interleaving, whatever the properties say, and calls `see` with each end: with each state once, and with each
/// failure once for each step that can fail so. One thread, for models of litmus tests' size.
///
/// # Errors
/// When the model's states are too wide to be kept.
pub fn ends(
    model: &Model,
    max_states: u64,
    see: &mut dyn FnMut(End),
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Result<Ends, TooWide> {
    let layout = Layout::new(model)?;
    Ok(with_words!(layout.words, packed(model, layout, max_states, see, progress)))
}

fn packed<const W: usize>(
    model: &Model,
    layout: Layout,
    max_states: u64,
    see: &mut dyn FnMut(End),
    progress: &dyn Fn(Progress) -> ControlFlow<()>,
) -> Ends {
    let program = Program::<W>::new(model, layout);
    let buffers = buffers(model, &program.layout);
    let teller = Teller::new(progress);
    let mut known: KeyMap<W, usize> = KeyMap::default();
    let mut states = vec![program.first];
    let mut ended = Vec::new();
    let mut failed = std::collections::BTreeSet::new();
    known.insert(Key(program.first), 0);
    let mut bound = None;
    let mut at = 0;
    while let Some(&state) = states.get(at) {
        if states.len() as u64 > max_states {
            bound = Some(Bound::States);
            break;
        }
        if !teller.tick(|| Progress { states: states.len() as u64, depth: 0 }) {
            bound = Some(Bound::Interrupted);
            break;
        }
        let next = |_, next: &[u64; W]| {
            known.entry(Key(*next)).or_insert_with(|| {
                states.push(*next);
                states.len() - 1
            });
        };
        let steps = program.expand(&state, &mut Look { next, fail: |_, failure| _ = failed.insert(failure) });
        let empty = buffers.iter().all(|&element| program.layout.fields[element].get(&state) == 0);
        let finished = program.finished(&state) && empty;
        if finished || steps == 0 {
            let state = program.layout.unpack(&state);
            see(if finished { End::Finished(state) } else { End::Stuck(state) });
        }
        ended.push(finished || steps == 0);
        at += 1;
    }
    for failure in failed {
        let failure = &program.failures[failure as usize];
        see(End::Failed { why: failure.why.clone(), at: failure.span() });
    }
    let endless = bound.is_none() && some_cannot_end(&program, &states, &known, ended);
    Ends { states: states.len() as u64, endless, bound }
}

/// The elements of store buffers that say where a store goes; 0 in an empty one.
fn buffers(model: &Model, layout: &Layout) -> Vec<usize> {
    let mut elements = Vec::new();
    for thread in (0u32..).zip(&model.threads).map(|(id, _)| Role::Buffer(crate::model::ThreadId(id))) {
        let to = (0u32..).zip(&model.vars).find(|(_, var)| var.role == thread);
        elements.extend(to.into_iter().flat_map(|(var, _)| layout.elements(crate::model::VarId(var))));
    }
    elements
}

/// Whether there is a state from which no end can be reached. A step that fails is an end.
fn some_cannot_end<const W: usize>(
    program: &Program<W>,
    states: &[[u64; W]],
    known: &KeyMap<W, usize>,
    mut can: Vec<bool>,
) -> bool {
    loop {
        let mut changed = false;
        for (at, state) in states.iter().enumerate().rev() {
            if !can[at] {
                let (mut reaches, mut fails) = (false, false);
                let next = |_, next: &[u64; W]| reaches |= known.get(&Key(*next)).is_some_and(|&next| can[next]);
                program.expand(state, &mut Look { next, fail: |_, _| fails = true });
                can[at] = reaches || fails;
                changed |= can[at];
            }
        }
        if !changed {
            return can.contains(&false);
        }
    }
}
