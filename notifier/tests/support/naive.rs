//! The model's semantics read off its description, as simply as possible, and an explorer to match: what the real one is held
//! against.

use std::collections::{BTreeMap, BTreeSet};

use nostale_notifier::check::{Cause, Outcome};
use nostale_notifier::lang::Span;
use nostale_notifier::model::*;

/// Where each variable begins in a state.
fn offsets(model: &Model) -> Vec<usize> {
    model.vars.iter().scan(0, |next, var| Some(std::mem::replace(next, *next + var.elements.len()))).collect()
}

/// A model, with where its variables begin.
pub(crate) struct Naive<'a> {
    pub(crate) model: &'a Model,
    offsets: Vec<usize>,
}

/// What a step comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Comes {
    To(State),
    /// Where that is asked for, and why it fails.
    Fails(Span, String),
}

impl<'a> Naive<'a> {
    pub(crate) fn new(model: &'a Model) -> Naive<'a> {
        Naive { model, offsets: offsets(model) }
    }

    pub(crate) fn first(&self) -> State {
        State(self.model.vars.iter().flat_map(|var| var.elements.iter().map(|element| element.init)).collect())
    }

    fn element(&self, place: &Place, state: &State) -> Result<usize, usize> {
        let first = self.offsets[place.var.0 as usize];
        let index = place.index.as_ref().map_or(0, |index| self.value(index, state));
        let inside = usize::try_from(index).is_ok_and(|i| i < self.model.vars[place.var.0 as usize].elements.len());
        if inside { Ok(first + index as usize) } else { Err(first) }
    }

    pub(crate) fn value(&self, e: &Expr, state: &State) -> i32 {
        match e {
            Expr::Const(value) => *value,
            Expr::Read(place) => state.0[self.element(place, state).unwrap_or_else(|first| first)],
            Expr::Not(inner) => i32::from(self.value(inner, state) == 0),
            Expr::Select(parts) => {
                let which = if self.value(&parts[0], state) != 0 { 1 } else { 2 };
                self.value(&parts[which], state)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.value(a, state), self.value(b, state));
                let truth = i32::from;
                match op {
                    BinOp::Add => a.wrapping_add(b),
                    BinOp::Sub => a.wrapping_sub(b),
                    BinOp::Mul => a.wrapping_mul(b),
                    BinOp::Div => {
                        if b == 0 {
                            0
                        } else {
                            a.wrapping_div(b)
                        }
                    }
                    BinOp::Mod => {
                        if b == 0 {
                            0
                        } else {
                            a.wrapping_rem_euclid(b)
                        }
                    }
                    BinOp::Eq => truth(a == b),
                    BinOp::Ne => truth(a != b),
                    BinOp::Lt => truth(a < b),
                    BinOp::Le => truth(a <= b),
                    BinOp::Gt => truth(a > b),
                    BinOp::Ge => truth(a >= b),
                    BinOp::And => truth(a != 0 && b != 0),
                    BinOp::Or => truth(a != 0 || b != 0),
                }
            }
        }
    }

    fn act(&self, actions: &[Action], state: &mut State) -> Result<(), (Span, String)> {
        for action in actions {
            match action {
                Action::Set(place, value) => {
                    let value = self.value(value, state);
                    if let Ok(element) = self.element(place, state) {
                        state.0[element] = value;
                    }
                }
                Action::Forget(var) => {
                    let (from, var) = (self.offsets[var.0 as usize], &self.model.vars[var.0 as usize]);
                    state.0[from..from + var.elements.len()].fill(var.domain.lo);
                }
                Action::If(when, then, other) => self.act(if self.value(when, state) != 0 { then } else { other }, state)?,
                Action::Fail { when, why, at } => {
                    if self.value(when, state) != 0 {
                        return Err((*at, why.to_string()));
                    }
                }
            }
        }
        Ok(())
    }

    fn pc(&self, thread: ThreadId, state: &State) -> i32 {
        state.0[self.offsets[self.model.threads[thread.0 as usize].pc.0 as usize]]
    }

    pub(crate) fn finished(&self, state: &State) -> bool {
        (0..).zip(&self.model.threads).all(|(id, thread)| self.pc(ThreadId(id), state) == thread.end)
    }

    pub(crate) fn steps(&self, state: &State) -> Vec<(StepId, Comes)> {
        let enabled = |step: &&Step| {
            step.from.is_none_or(|from| self.pc(step.thread, state) == from) && self.value(&step.guard, state) != 0
        };
        let take = |step: &Step| {
            let mut next = state.clone();
            match self.act(&step.actions, &mut next) {
                Ok(()) => Comes::To(next),
                Err((at, why)) => Comes::Fails(at, why),
            }
        };
        (0..).map(StepId).zip(&self.model.steps).filter(|(_, s)| enabled(s)).map(|(id, s)| (id, take(s))).collect()
    }

    /// The properties that a state violates.
    pub(crate) fn violated(&self, state: &State) -> BTreeSet<u32> {
        let asked = |ask| ask == Ask::Always || ask == Ask::Finally && self.finished(state);
        let all = (0..).zip(&self.model.properties);
        all.filter(|(_, p)| asked(p.ask) && self.value(&p.condition, state) == 0).map(|(id, _)| id).collect()
    }
}

/// What the naive explorer says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) states: u64,
    pub(crate) transitions: u64,
    pub(crate) depth: u32,
    /// `holds`, or what is wrong, and after how many steps.
    pub(crate) what: (String, usize),
}

impl Said {
    /// The same of the explorer that is held against this one.
    pub(crate) fn of(outcome: &Outcome) -> Said {
        let what = match &outcome.violation {
            None => ("holds".into(), 0),
            Some(violation) => {
                let what = match &violation.what {
                    Cause::Property(id) => format!("property {}", id.0),
                    Cause::Step { why, .. } => format!("step {why}"),
                    Cause::Deadlock => "deadlock".into(),
                    Cause::Livelock => "livelock".into(),
                };
                (what, violation.trace.len())
            }
        };
        Said { states: outcome.states, transitions: outcome.transitions, depth: outcome.depth, what }
    }
}

/// Explores breadth first.
pub(crate) fn explore(model: &Model) -> Said {
    let naive = Naive::new(model);
    let mut seen: BTreeMap<State, u32> = BTreeMap::from([(naive.first(), 0)]);
    let mut level = vec![naive.first()];
    let mut said = Said { states: 1, transitions: 1, depth: 0, what: ("holds".into(), 0) };
    if let Some(property) = naive.violated(&level[0]).first() {
        said.what = (format!("property {property}"), 0);
        return said;
    }
    let mut depth = 0;
    while !level.is_empty() {
        let (mut next, mut dead, mut failed, mut bad) = (Vec::new(), false, BTreeSet::new(), BTreeSet::new());
        for state in &level {
            let steps = naive.steps(state);
            said.transitions += steps.len() as u64;
            dead |= steps.is_empty() && !naive.finished(state);
            for (_, comes) in steps {
                match comes {
                    Comes::Fails(at, why) => drop(failed.insert((at, why))),
                    Comes::To(state) => {
                        if !seen.contains_key(&state) {
                            seen.insert(state.clone(), depth + 1);
                            bad.extend(naive.violated(&state));
                            next.push(state);
                        }
                    }
                }
            }
        }
        said.states += next.len() as u64;
        said.depth = if next.is_empty() { depth } else { depth + 1 };
        let further = depth as usize + 1;
        if dead && model.forbid_deadlock {
            said.what = ("deadlock".into(), depth as usize);
            return said;
        } else if let Some(property) = bad.first() {
            said.what = (format!("property {property}"), further);
            return said;
        } else if let Some((_, why)) = failed.first() {
            said.what = (format!("step {why}"), further);
            return said;
        }
        level = next;
        depth += 1;
    }
    if model.forbid_livelock {
        let mut before: BTreeMap<State, Vec<&State>> = BTreeMap::new();
        let (mut can, mut open) = (BTreeSet::new(), Vec::new());
        for state in seen.keys() {
            let steps = naive.steps(state);
            if naive.finished(state) || steps.is_empty() {
                open.push(state);
            }
            for (_, comes) in steps {
                if let Comes::To(next) = comes {
                    before.entry(next).or_default().push(state);
                }
            }
        }
        while let Some(state) = open.pop() {
            if can.insert(state) {
                open.extend(before.get(state).into_iter().flatten());
            }
        }
        if let Some(depth) = seen.iter().filter(|(state, _)| !can.contains(state)).map(|(_, depth)| *depth).min() {
            said.what = ("livelock".into(), depth as usize);
            return said;
        }
    }
    for (id, property) in model.properties.iter().enumerate() {
        if property.ask == Ask::Sometimes && seen.keys().all(|state| naive.value(&property.condition, state) == 0) {
            said.what = (format!("property {id}"), 0);
            return said;
        }
    }
    said
}

/// The fewest changes of thread with which a state is reached in so many steps, by the thread of the last step.
pub(crate) fn fewest_changes(model: &Model, steps: usize, is_goal: impl Fn(&Naive<'_>, &State) -> bool) -> Option<usize> {
    let naive = Naive::new(model);
    let mut reached: BTreeMap<(State, Option<u32>), usize> = BTreeMap::from([((naive.first(), None), 0)]);
    for _ in 0..steps {
        let mut next: BTreeMap<(State, Option<u32>), usize> = BTreeMap::new();
        for ((state, thread), changes) in &reached {
            for (id, comes) in naive.steps(state) {
                if let Comes::To(to) = comes {
                    let by = model.steps[id.0 as usize].thread.0;
                    let more = changes + usize::from(thread.is_some_and(|thread| thread != by));
                    next.entry((to, Some(by))).and_modify(|least| *least = more.min(*least)).or_insert(more);
                }
            }
        }
        reached = next;
    }
    reached.into_iter().filter(|((state, _), _)| is_goal(&naive, state)).map(|(_, changes)| changes).min()
}
