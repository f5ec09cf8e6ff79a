//! A model compiled for packed states: what can be done in a state, and what has to hold in the next one.

use std::collections::HashMap;

use crate::model::{Ask, Expr, Model, PropertyId, Step, StepId};

use super::act::{self, Failure};
use super::code::{Code, DONE, Op};
use super::emit::{Emitter, leaves};
use super::fold::{Known, fold};
use super::layout::{Field, Layout};
use super::touch::Elements;

/// No code.
const NONE: u32 = u32::MAX;

/// A model, compiled.
pub(super) struct Program<const W: usize> {
    pub(super) layout: Layout,
    pub(super) first: [u64; W],
    code: Code,
    /// Those of a thread at a program counter are side by side.
    pub(super) steps: Vec<StepCode<W>>,
    threads: Vec<ThreadCode>,
    /// Steps beside the programs.
    background: std::ops::Range<u32>,
    /// All threads have finished where these bits are as given.
    end: ([u64; W], [u64; W]),
    pub(super) failures: Vec<Failure>,
    /// Every `always` at once, for the first state; every `finally`.
    always: u32,
    finally: u32,
    /// Each property on its own.
    each: Vec<u32>,
    /// Which properties are `sometimes`.
    pub(super) sometimes: Vec<PropertyId>,
}

/// A step, compiled.
pub(super) struct StepCode<const W: usize> {
    pub(super) id: StepId,
    pub(super) thread: u32,
    /// The part of the guard that is one test of a word.
    word: u32,
    mask: u64,
    bits: u64,
    /// The rest of the guard, and the actions other than writing constants.
    guard: u32,
    code: u32,
    keep: [u64; W],
    set: [u64; W],
    /// What has to be looked at in a new state: the conditions that the step may have made false,
    check: u32,
    /// the `sometimes` (by index) that it may have made true,
    sometimes: Vec<(u32, u32)>,
    /// and whether it can be the last one.
    may_finish: bool,
}

struct ThreadCode {
    pc: Field,
    /// For each program counter, its steps.
    rows: Vec<std::ops::Range<u32>>,
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

/// A condition of an `always`, and what it reads.
struct Conjunct {
    e: Expr,
    truth: bool,
    reads: Elements,
}

impl<const W: usize> Program<W> {
    pub(super) fn new(model: &Model, layout: Layout) -> Program<W> {
        let nothing = Known::new();
        let folded: Vec<Expr> = model.properties.iter().map(|p| fold(model, &layout, &nothing, &p.condition)).collect();
        let asked = |ask: Ask| {
            let picked = model.properties.iter().zip(&folded).enumerate().filter(move |(_, (p, _))| p.ask == ask);
            picked.map(|(index, (_, e))| (index, e))
        };
        let mut parts = Vec::new();
        asked(Ask::Always).for_each(|(_, e)| leaves(e, true, &mut parts));
        let conjuncts: Vec<Conjunct> =
            parts.into_iter().map(|(e, truth)| Conjunct { e: e.clone(), truth, reads: Elements::read_by(&layout, e) }).collect();
        let sometimes: Vec<(usize, Conjunct)> = asked(Ask::Sometimes)
            .map(|(index, e)| (index, Conjunct { e: e.clone(), truth: false, reads: Elements::read_by(&layout, e) }))
            .collect();
        let finally: Vec<(&Expr, bool)> = asked(Ask::Finally).map(|(_, e)| (e, true)).collect();

        let mut emit = Emitter::new(&layout);
        let all: Vec<(&Expr, bool)> = conjuncts.iter().map(|c| (&c.e, c.truth)).collect();
        let always = check(&mut emit, &all);
        let finally = check(&mut emit, &finally);
        let each = folded.iter().map(|e| check(&mut emit, &[(e, true)])).collect();
        let mut builder =
            Builder { model, emit, conjuncts, sometimes, blocks: HashMap::new(), failures: Vec::new(), steps: Vec::new() };

        let mut threads = Vec::new();
        for (thread, t) in model.threads.iter().enumerate() {
            let pc = layout.fields[layout.elements(t.pc).start];
            let mut rows = Vec::new();
            let mut at: Vec<Vec<usize>> = vec![Vec::new(); pc.span as usize + 1];
            for (index, step) in model.steps.iter().enumerate() {
                if let (true, Some(from)) = (step.thread.0 as usize == thread, step.from)
                    && pc.holds(from)
                {
                    at[from.wrapping_sub(pc.lo) as usize].push(index);
                }
            }
            for indexes in at {
                let first = builder.steps.len() as u32;
                indexes.into_iter().for_each(|index| builder.step(index));
                rows.push(first..builder.steps.len() as u32);
            }
            threads.push(ThreadCode { pc, rows });
        }
        let first = builder.steps.len() as u32;
        (0..model.steps.len()).filter(|&index| model.steps[index].from.is_none()).for_each(|index| builder.step(index));
        let background = first..builder.steps.len() as u32;

        let mut end = ([0; W], [0; W]);
        for thread in &model.threads {
            let pc = layout.fields[layout.elements(thread.pc).start];
            end.0[pc.word as usize] |= pc.bits();
            end.1[pc.word as usize] |= u64::from(pc.raw(thread.end)) << pc.shift;
        }
        let sometimes = builder.sometimes.iter().map(|(index, _)| PropertyId(*index as u32)).collect();
        let Builder { emit, failures, steps, .. } = builder;
        let code = emit.finish();
        let first = layout.first(model);
        Program { first, code, steps, threads, background, end, failures, always, finally, each, sometimes, layout }
    }

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
            if state[step.word as usize] & step.mask != step.bits {
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

struct Builder<'a, const W: usize> {
    model: &'a Model,
    emit: Emitter<'a>,
    conjuncts: Vec<Conjunct>,
    sometimes: Vec<(usize, Conjunct)>,
    /// Checks that there are already: of which conjuncts, given what.
    blocks: HashMap<Vec<(usize, Vec<(usize, i32)>)>, u32>,
    failures: Vec<Failure>,
    steps: Vec<StepCode<W>>,
}

impl<const W: usize> Builder<'_, W> {
    fn step(&mut self, index: usize) {
        let step = &self.model.steps[index];
        let layout = self.emit.layout;
        let pc = layout.elements(self.model.threads[step.thread.0 as usize].pc).start;
        let mut known = Known::new();
        if let Some(from) = step.from {
            known.insert(pc, from);
        }
        let guard = fold(self.model, layout, &known, &step.guard);
        if guard == Expr::Const(0) {
            return;
        }
        let (test, rest) = split(layout, &guard, &mut known);
        let guard = check(&mut self.emit, &rest.iter().map(|(e, truth)| (*e, *truth)).collect::<Vec<_>>());
        let acts = act::compile(self.model, &mut self.emit, &mut self.failures, known, &step.actions);
        let (mut keep, mut set) = ([u64::MAX; W], [0; W]);
        for &(element, value) in &acts.patch {
            let field = layout.fields[element];
            keep[field.word as usize] &= !field.bits();
            set[field.word as usize] |= u64::from(field.raw(value)) << field.shift;
        }
        let written = Elements::written_by(layout, &step.actions);
        let (check, sometimes) = self.look(&written, &acts.after);
        self.steps.push(StepCode {
            id: StepId(index as u32),
            thread: step.thread.0,
            word: test.0,
            mask: test.1,
            bits: test.2,
            guard,
            code: acts.code.unwrap_or(NONE),
            keep,
            set,
            check,
            sometimes,
            may_finish: self.may_finish(step, &written, &acts.after),
        });
    }

    /// Whether all threads can have finished after a step.
    fn may_finish(&self, step: &Step, written: &Elements, after: &Known) -> bool {
        let mut ends = self.model.threads.iter().map(|t| (self.emit.layout.elements(t.pc).start, t.end));
        step.from.is_none_or(|from| from == self.model.threads[step.thread.0 as usize].end)
            || ends.any(|(pc, end)| written.has(pc) && after.get(&pc).is_none_or(|&to| to == end))
    }

    /// What has to be looked at after a step that writes this and leaves that known.
    fn look(&mut self, written: &Elements, after: &Known) -> (u32, Vec<(u32, u32)>) {
        let mut key = Vec::new();
        let mut left = Vec::new();
        for (index, conjunct) in self.conjuncts.iter().enumerate() {
            if conjunct.reads.meets(written) {
                let known: Known = after.iter().filter(|(e, _)| conjunct.reads.has(**e)).map(|(e, v)| (*e, *v)).collect();
                let e = fold(self.model, self.emit.layout, &known, &conjunct.e);
                if !matches!(e, Expr::Const(value) if (value != 0) == conjunct.truth) {
                    key.push((index, known.into_iter().collect()));
                    left.push((e, conjunct.truth));
                }
            }
        }
        let emit = &mut self.emit;
        let left: Vec<_> = left.iter().map(|(e, truth)| (e, *truth)).collect();
        let checks = *self.blocks.entry(key).or_insert_with(|| check(emit, &left));
        let mut sometimes = Vec::new();
        for (index, (_, conjunct)) in self.sometimes.iter().enumerate() {
            if conjunct.reads.meets(written) {
                let known: Known = after.iter().filter(|(e, _)| conjunct.reads.has(**e)).map(|(e, v)| (*e, *v)).collect();
                let e = fold(self.model, self.emit.layout, &known, &conjunct.e);
                if e != Expr::Const(0) {
                    sometimes.push((index as u32, block(&mut self.emit, &[(&e, true)])));
                }
            }
        }
        (checks, sometimes)
    }
}

/// Code that is left with [`DONE`] where all of the expressions have the truth beside them; [`NONE`] if they always have.
fn check(emit: &mut Emitter<'_>, all: &[(&Expr, bool)]) -> u32 {
    let trivial = all.iter().all(|(e, truth)| matches!(e, Expr::Const(value) if (*value != 0) == *truth));
    if trivial { NONE } else { block(emit, all) }
}

fn block(emit: &mut Emitter<'_>, all: &[(&Expr, bool)]) -> u32 {
    let at = emit.here();
    let no = emit.label();
    emit.unless_all(all, no, 0);
    emit.push(Op::Leave(DONE));
    emit.bind(no);
    emit.push(Op::Leave(1));
    at
}

/// Takes a test of one word out of a guard, and learns what the guard says about the state.
fn split<'e>(layout: &Layout, guard: &'e Expr, known: &mut Known) -> ((u32, u64, u64), Vec<(&'e Expr, bool)>) {
    let mut all = Vec::new();
    leaves(guard, true, &mut all);
    all.retain(|(e, truth)| !matches!(e, Expr::Const(value) if (*value != 0) == *truth));
    let emit = Emitter::new(layout);
    let mut test: Option<(u8, u64, u64)> = None;
    all.retain(|(e, truth)| {
        let Some((element, value)) = emit.says(e, *truth) else { return true };
        known.insert(element, value);
        let field = layout.fields[element];
        let bits = u64::from(field.raw(value)) << field.shift;
        match &mut test {
            None => test = Some((field.word, field.bits(), bits)),
            Some((word, mask, has)) if *word == field.word && *mask & field.bits() == 0 => {
                *mask |= field.bits();
                *has |= bits;
            }
            _ => return true,
        }
        false
    });
    let (word, mask, bits) = test.unwrap_or((0, 0, 0));
    ((u32::from(word), mask, bits), all)
}
