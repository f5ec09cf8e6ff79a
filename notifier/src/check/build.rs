//! From a model to its program.

use std::collections::HashMap;

use crate::model::{Ask, Expr, Model, PropertyId, Step, StepId};

use super::act::{self, Failure};
use super::code::{Bits, DONE, Op};
use super::emit::{Emitter, leaves, says};
use super::fold::{Known, fold};
use super::layout::Layout;
use super::program::{NONE, Program, StepCode, ThreadCode};
use super::touch::Elements;

/// Values of elements that a check was folded with.
type Given = Vec<(usize, i32)>;

/// A condition of an `always`, and what it reads.
struct Conjunct {
    e: Expr,
    truth: bool,
    reads: Elements,
}

impl<const W: usize> Program<W> {
    /// Compiles a model.
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
}

/// Steps under construction.
struct Builder<'a, const W: usize> {
    model: &'a Model,
    emit: Emitter<'a>,
    conjuncts: Vec<Conjunct>,
    sometimes: Vec<(usize, Conjunct)>,
    /// Checks that there are already: of which conjuncts, given what.
    blocks: HashMap<Vec<(usize, Given)>, u32>,
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
            test,
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

/// Takes a test of one word out of a guard, and learns what the guard says about the state. The rest is returned.
fn split<'e>(layout: &Layout, guard: &'e Expr, known: &mut Known) -> (Bits, Vec<(&'e Expr, bool)>) {
    let mut all = Vec::new();
    leaves(guard, true, &mut all);
    all.retain(|(e, truth)| !matches!(e, Expr::Const(value) if (*value != 0) == *truth));
    let mut test: Option<Bits> = None;
    all.retain(|(e, truth)| {
        let Some((element, value)) = says(layout, e, *truth) else { return true };
        known.insert(element, value);
        let bits = Bits::of(layout.fields[element], value);
        match &mut test {
            None => test = Some(bits),
            Some(test) => return !test.join(bits),
        }
        false
    });
    (test.unwrap_or(Bits { word: 0, mask: 0, bits: 0 }), all)
}
