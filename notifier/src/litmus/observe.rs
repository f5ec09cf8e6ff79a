//! What is looked at when a litmus test has ended.

use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::model::{Action, Expr, Model, Observed, Place, Role, VarId};

/// How one run of a litmus test ended.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// All threads have finished: the values of what is [`observed`], in its order.
    Finished(Box<[i32]>),
    /// A step failed (an `assert`, or a check of the compiler): why.
    Failed(Arc<str>),
    /// Threads wait for each other for ever.
    Stuck,
    /// Threads go round in circles for ever.
    Endless,
}

impl Outcome {
    /// The outcome in words: `guest.r=1 A.data=0`, with the columns that [`observed`] gave.
    #[must_use]
    pub fn shown<'a>(&'a self, columns: &'a [Observed]) -> Shown<'a> {
        Shown { outcome: self, columns }
    }
}

/// An outcome, to be written.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    outcome: &'a Outcome,
    columns: &'a [Observed],
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Outcome::Finished(values) if values.is_empty() => f.write_str("finished"),
            Outcome::Finished(values) => {
                for (number, (column, value)) in self.columns.iter().zip(values).enumerate() {
                    let gap = if number > 0 { " " } else { "" };
                    write!(f, "{gap}{}={}", column.text, column.domain.shown(*value))?;
                }
                Ok(())
            }
            Outcome::Failed(why) => write!(f, "fails: {why}"),
            Outcome::Stuck => f.write_str("stuck: threads wait for each other"),
            Outcome::Endless => f.write_str("endless: threads go round in circles"),
        }
    }
}

/// The columns of a test's table: what it says after `observe`, or else everything that its properties look at.
#[must_use]
pub fn observed(model: &Model) -> Vec<Observed> {
    if !model.observed.is_empty() {
        return model.observed.clone();
    }
    let mut places = BTreeSet::new();
    model.properties.iter().for_each(|property| reads(model, &property.condition, &mut places));
    let columns = places.into_iter().filter_map(|(var, element)| {
        let declared = model.vars.get(var.0 as usize)?;
        let index = (declared.elements.len() > 1).then(|| Box::new(Expr::Const(element as i32)));
        matches!(declared.role, Role::Shared | Role::Local(_)).then(|| Observed {
            text: declared.elements[element].name.clone(),
            value: Expr::Read(Place { var, index }),
            domain: declared.domain.clone(),
        })
    });
    columns.collect()
}

/// The elements that an expression reads or may read.
pub(super) fn reads(model: &Model, expr: &Expr, places: &mut BTreeSet<(VarId, usize)>) {
    match expr {
        Expr::Const(_) => {}
        Expr::Read(place) => {
            elements(model, place).for_each(|element| _ = places.insert((place.var, element)));
            place.index.iter().for_each(|index| reads(model, index, places));
        }
        Expr::Not(operand) => reads(model, operand, places),
        Expr::Binary(_, left, right) => [left, right].into_iter().for_each(|operand| reads(model, operand, places)),
        Expr::Select(parts) => parts.iter().for_each(|part| reads(model, part, places)),
    }
}

/// The elements that actions write or may write.
pub(super) fn writes(model: &Model, actions: &[Action], places: &mut BTreeSet<(VarId, usize)>) {
    for action in actions {
        match action {
            Action::Set(place, _) => elements(model, place).for_each(|element| _ = places.insert((place.var, element))),
            Action::Forget(var) => {
                let count = model.vars.get(var.0 as usize).map_or(0, |declared| declared.elements.len());
                (0..count).for_each(|element| _ = places.insert((*var, element)));
            }
            Action::If(_, then, other) => [then, other].into_iter().for_each(|actions| writes(model, actions, places)),
            Action::Fail { .. } => {}
        }
    }
}

/// What actions read or may read.
pub(super) fn read_by(model: &Model, actions: &[Action], places: &mut BTreeSet<(VarId, usize)>) {
    for action in actions {
        match action {
            Action::Set(place, value) => {
                reads(model, value, places);
                place.index.iter().for_each(|index| reads(model, index, places));
            }
            Action::Forget(_) => {}
            Action::If(when, then, other) => {
                reads(model, when, places);
                [then, other].into_iter().for_each(|actions| read_by(model, actions, places));
            }
            Action::Fail { when, .. } => reads(model, when, places),
        }
    }
}

/// The elements that a place may be: one, where its index is a number.
fn elements(model: &Model, place: &Place) -> std::ops::Range<usize> {
    let count = model.vars.get(place.var.0 as usize).map_or(0, |declared| declared.elements.len());
    match &place.index {
        None => 0..count.min(1),
        Some(index) => match **index {
            Expr::Const(at) => usize::try_from(at).ok().filter(|at| *at < count).map_or(0..count.min(1), |at| at..at + 1),
            _ => 0..count,
        },
    }
}
