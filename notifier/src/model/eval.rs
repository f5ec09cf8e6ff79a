//! The reference semantics: what a model means, on unpacked states. Written to be read, not to be fast; the explorer's own
//! evaluator is compared with it.
//!
//! Nothing here panics, whatever the model: a variable or a place that does not exist reads 0 and takes no value.

use std::sync::Arc;

use super::{Action, Ask, BinOp, Expr, Model, Place, Property, State, Step, StepId, VarId};
use crate::lang::Span;

/// Why a step ended in a violation instead of a state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What it is a violation of.
    pub why: Arc<str>,
    /// The place in the text that asks for it.
    pub at: Span,
}

/// The state in which every model begins.
#[must_use]
pub fn first(model: &Model) -> State {
    State(model.vars.iter().flat_map(|var| &var.elements).map(|element| element.init).collect())
}

/// The values of one variable's elements; empty for a variable that does not exist.
#[must_use]
pub fn elements<'s>(model: &Model, state: &'s State, var: VarId) -> &'s [i32] {
    let Some(declared) = model.vars.get(var.0 as usize) else { return &[] };
    state.0.get(offset(model, var)..).and_then(|rest| rest.get(..declared.elements.len())).unwrap_or_default()
}

/// Where a variable's values begin in a state.
fn offset(model: &Model, var: VarId) -> usize {
    model.vars.iter().take(var.0 as usize).map(|before| before.elements.len()).sum()
}

/// The value of an expression.
#[must_use]
pub fn value(model: &Model, state: &State, expr: &Expr) -> i32 {
    match expr {
        Expr::Const(number) => *number,
        Expr::Read(place) => {
            let values = elements(model, state, place.var);
            // An index outside the variable reads the first element.
            index(model, state, place).and_then(|at| values.get(at)).or(values.first()).copied().unwrap_or(0)
        }
        Expr::Not(operand) => i32::from(!holds(model, state, operand)),
        Expr::Binary(BinOp::And, left, right) => i32::from(holds(model, state, left) && holds(model, state, right)),
        Expr::Binary(BinOp::Or, left, right) => i32::from(holds(model, state, left) || holds(model, state, right)),
        Expr::Binary(op, left, right) => op.apply(value(model, state, left), value(model, state, right)),
        Expr::Select(parts) => {
            let [condition, then, otherwise] = parts.as_ref();
            value(model, state, if holds(model, state, condition) { then } else { otherwise })
        }
    }
}

/// An expression as a condition: anything but 0.
#[must_use]
pub fn holds(model: &Model, state: &State, expr: &Expr) -> bool {
    value(model, state, expr) != 0
}

/// The element that a place means; none for a negative index.
fn index(model: &Model, state: &State, place: &Place) -> Option<usize> {
    match &place.index {
        None => Some(0),
        Some(index) => usize::try_from(value(model, state, index)).ok(),
    }
}

/// The steps that can be taken from a state, in the order of the model.
pub fn enabled<'a>(model: &'a Model, state: &'a State) -> impl Iterator<Item = StepId> + 'a {
    (0u32..).zip(&model.steps).filter(|(_, step)| can_run(model, state, step)).map(|(id, _)| StepId(id))
}

/// Whether a step can be taken from a state: its thread stands where the step is, and the guard holds.
#[must_use]
pub fn can_run(model: &Model, state: &State, step: &Step) -> bool {
    let stands_there = step.from.is_none_or(|from| {
        let thread = model.threads.get(step.thread.0 as usize);
        thread.is_some_and(|thread| elements(model, state, thread.pc).first() == Some(&from))
    });
    stands_there && holds(model, state, &step.guard)
}

/// The state that a step leads to. It must be enabled: its guard is not asked again.
///
/// # Errors
/// The failure in which the step ends.
pub fn take(model: &Model, state: &State, step: StepId) -> Result<State, Failure> {
    watch(model, state, step, &mut |_, _| {})
}

/// What is done in the course of a step.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Did<'m> {
    /// An element of a variable takes a value.
    Set(VarId, usize, i32),
    /// A local variable goes out of scope.
    Forget(VarId),
    /// By the answer to a condition, one or the other is done.
    Way(&'m Expr, bool),
}

/// The same as [`take`], and `see` is told of everything that is done, just before it is, with the state as it is then.
///
/// # Errors
/// The failure in which the step ends.
pub fn watch<'m>(model: &'m Model, state: &State, step: StepId, see: &mut dyn FnMut(&State, Did<'m>)) -> Result<State, Failure> {
    let mut after = state.clone();
    if let Some(step) = model.steps.get(step.0 as usize) {
        run(model, &mut after, &step.actions, see)?;
    }
    Ok(after)
}

/// Does actions that belong to no step: what precedes the first steps.
///
/// # Errors
/// The failure in which they end.
pub fn perform(model: &Model, state: &mut State, actions: &[Action]) -> Result<(), Failure> {
    run(model, state, actions, &mut |_, _| {})
}

/// Does one action after the other; each sees what those before it wrote.
fn run<'m>(
    model: &'m Model,
    state: &mut State,
    actions: &'m [Action],
    see: &mut dyn FnMut(&State, Did<'m>),
) -> Result<(), Failure> {
    for action in actions {
        match action {
            Action::Set(place, expr) => {
                let value = value(model, state, expr);
                let length = model.vars.get(place.var.0 as usize).map_or(0, |var| var.elements.len());
                // An index outside the variable writes nothing.
                if let Some(at) = index(model, state, place).filter(|at| *at < length) {
                    see(state, Did::Set(place.var, at, value));
                    if let Some(slot) = state.0.get_mut(offset(model, place.var) + at) {
                        *slot = value;
                    }
                }
            }
            Action::Forget(var) => {
                see(state, Did::Forget(*var));
                if let Some(declared) = model.vars.get(var.0 as usize) {
                    let slots = state.0.iter_mut().skip(offset(model, *var)).take(declared.elements.len());
                    slots.for_each(|slot| *slot = declared.domain.lo);
                }
            }
            Action::If(condition, then, otherwise) => {
                let yes = holds(model, state, condition);
                see(state, Did::Way(condition, yes));
                run(model, state, if yes { then } else { otherwise }, see)?;
            }
            Action::Fail { when, why, at } => {
                if holds(model, state, when) {
                    return Err(Failure { why: Arc::clone(why), at: *at });
                }
            }
        }
    }
    Ok(())
}

/// Whether every thread has finished.
#[must_use]
pub fn finished(model: &Model, state: &State) -> bool {
    model.threads.iter().all(|thread| elements(model, state, thread.pc).first() == Some(&thread.end))
}

/// Whether a state violates a property by itself. (`sometimes` is a matter of all states together: no single one violates it.)
#[must_use]
pub fn violates(model: &Model, state: &State, property: &Property) -> bool {
    let asked = match property.ask {
        Ask::Always => true,
        Ask::Finally => finished(model, state),
        Ask::Sometimes => false,
    };
    asked && !holds(model, state, &property.condition)
}

#[cfg(test)]
mod tests;
