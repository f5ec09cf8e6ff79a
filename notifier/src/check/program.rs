//! A model compiled for packed states: what can be done in a state, and what has to hold in the next one.

use crate::model::{Ask, Model, PropertyId, StepId};

use super::act::Failure;
use super::code::{Bits, Code, DONE};
use super::layout::{Field, Layout};

/// No code.
pub(super) const NONE: u32 = u32::MAX;

/// A model, compiled.
pub(super) struct Program<const W: usize> {
    pub(super) layout: Layout,
    pub(super) first: [u64; W],
    pub(super) code: Code,
    /// Those of a thread at a program counter are side by side.
    pub(super) steps: Vec<StepCode<W>>,
    pub(super) threads: Vec<ThreadCode>,
    /// Steps beside the programs.
    pub(super) background: std::ops::Range<u32>,
    /// All threads have finished where these bits are as given.
    pub(super) end: ([u64; W], [u64; W]),
    pub(super) failures: Vec<Failure>,
    /// Every `always` at once, for the first state; every `finally`.
    pub(super) always: u32,
    pub(super) finally: u32,
    /// Each property on its own.
    pub(super) each: Vec<u32>,
    /// Which properties are `sometimes`.
    pub(super) sometimes: Vec<PropertyId>,
}

/// A step, compiled.
pub(super) struct StepCode<const W: usize> {
    pub(super) id: StepId,
    pub(super) thread: u32,
    /// The part of the guard that is one test of a word.
    pub(super) test: Bits,
    /// The rest of the guard, and the actions other than writing constants.
    pub(super) guard: u32,
    pub(super) code: u32,
    pub(super) keep: [u64; W],
    pub(super) set: [u64; W],
    /// What has to be looked at in a new state: the conditions that the step may have made false,
    pub(super) check: u32,
    /// the `sometimes` (by index) that it may have made true,
    pub(super) sometimes: Vec<(u32, u32)>,
    /// and whether it can be the last one.
    pub(super) may_finish: bool,
}

/// A thread's steps, by its program counter.
pub(super) struct ThreadCode {
    pub(super) pc: Field,
    /// For each program counter, its steps.
    pub(super) rows: Vec<std::ops::Range<u32>>,
}

/// Where the successors of a state go.
pub(super) trait Sink<const W: usize> {
    /// A step (by index) leads to a state.
    fn next(&mut self, step: u32, state: &[u64; W]);
    /// A step fails, with this failure (by index).
    fn fail(&mut self, step: u32, failure: u32);
}

/// A sink made of closures, for where the states that follow are only looked at.
pub(super) struct Look<N, F> {
    pub(super) next: N,
    pub(super) fail: F,
}

impl<const W: usize, N: FnMut(u32, &[u64; W]), F: FnMut(u32, u32)> Sink<W> for Look<N, F> {
    fn next(&mut self, step: u32, state: &[u64; W]) {
        (self.next)(step, state);
    }

    fn fail(&mut self, step: u32, failure: u32) {
        (self.fail)(step, failure);
    }
}

impl<const W: usize> Program<W> {
    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// The thread of a step (by index).
    pub(super) fn thread(&self, step: u32) -> usize {
        self.steps[step as usize].thread as usize
    }

    /// Calls `next` with each step (by index) and the state that it leads to.
    pub(super) fn successors(&self, state: &[u64; W], next: impl FnMut(u32, &[u64; W])) {
        self.expand(state, &mut Look { next, fail: |_, _| {} });
    }

    /// Takes every step that can be taken, and says how many those are.
    #[inline(always)]
    pub(super) fn expand(&self, state: &[u64; W], sink: &mut impl Sink<W>) -> u32 {
        let mut enabled = 0;
        for thread in &self.threads {
            let pc = (state[thread.pc.word as usize] >> thread.pc.shift) as u32 & thread.pc.mask;
            let row = &thread.rows[pc as usize];
            enabled += self.take(row.start, row.end, state, sink);
        }
        if !self.background.is_empty() {
            enabled += self.take(self.background.start, self.background.end, state, sink);
        }
        enabled
    }

    #[inline(always)]
    fn take(&self, first: u32, end: u32, state: &[u64; W], sink: &mut impl Sink<W>) -> u32 {
        let mut enabled = 0;
        for (step, index) in self.steps[first as usize..end as usize].iter().zip(first..) {
            if !step.test.hold(state) {
                continue;
            }
            if step.guard != NONE && self.code.run(step.guard, &mut { *state }) != DONE {
                continue;
            }
            enabled += 1;
            let mut next = *state;
            for (word, (keep, set)) in next.iter_mut().zip(step.keep.iter().zip(&step.set)) {
                *word = *word & keep | set;
            }
            if step.code != NONE {
                let how = self.code.run(step.code, &mut next);
                if how != DONE {
                    sink.fail(index, how - 1);
                    continue;
                }
            }
            sink.next(index, &next);
        }
        enabled
    }

    /// Whether all threads have finished.
    #[inline(always)]
    pub(super) fn finished(&self, state: &[u64; W]) -> bool {
        (0..W).all(|word| state[word] & self.end.0[word] == self.end.1[word])
    }

    /// Whether everything that a step may have made false holds in the state that it led to.
    #[inline(always)]
    pub(super) fn holds_after(&self, step: u32, state: &[u64; W]) -> bool {
        let step = &self.steps[step as usize];
        (step.check == NONE || self.code.run(step.check, &mut { *state }) == DONE)
            && !(step.may_finish && self.finally != NONE && self.finished(state) && !self.run(self.finally, state))
    }

    /// Calls `seen` with each `sometimes` (by index) that a step made true.
    pub(super) fn seen_after(&self, step: u32, state: &[u64; W], mut seen: impl FnMut(u32)) {
        for &(index, at) in &self.steps[step as usize].sometimes {
            if self.run(at, state) {
                seen(index);
            }
        }
    }

    /// Whether everything holds in a state of which nothing is known.
    pub(super) fn holds(&self, state: &[u64; W]) -> bool {
        (self.always == NONE || self.run(self.always, state))
            && (self.finally == NONE || !self.finished(state) || self.run(self.finally, state))
    }

    /// The first property, an `always` or a `finally`, that does not hold in a state.
    pub(super) fn violated(&self, model: &Model, state: &[u64; W]) -> Option<PropertyId> {
        let finished = self.finished(state);
        let asked = |ask: Ask| ask == Ask::Always || ask == Ask::Finally && finished;
        let mut properties = (0u32..).map(PropertyId).zip(&model.properties);
        properties.find(|(id, property)| asked(property.ask) && !self.is_true(*id, state)).map(|(id, _)| id)
    }

    /// Whether the condition of a property is true.
    pub(super) fn is_true(&self, property: PropertyId, state: &[u64; W]) -> bool {
        let at = self.each[property.0 as usize];
        at == NONE || self.run(at, state)
    }

    fn run(&self, at: u32, state: &[u64; W]) -> bool {
        self.code.run(at, &mut { *state }) == DONE
    }
}
