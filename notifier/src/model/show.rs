//! How values and states are written for people.

mod told;
mod way;

pub use told::told;

use std::fmt;

use super::{Domain, Model, Role, Show, State, VarId, eval};

/// A value as its domain writes it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'d> {
    domain: &'d Domain,
    value: i32,
}

impl Domain {
    /// A value, as it is written.
    #[must_use]
    pub fn shown(&self, value: i32) -> Shown<'_> {
        Shown { domain: self, value }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (&self.domain.show, self.value) {
            (Show::Bool, 0) => Some("false"),
            (Show::Bool, 1) => Some("true"),
            (Show::Names(names), value) => {
                let at = value.checked_sub(self.domain.lo).and_then(|at| usize::try_from(at).ok());
                at.and_then(|at| names.get(at)).map(String::as_str)
            }
            _ => None,
        };
        match word {
            Some(word) => f.pad(word),
            // A number, or a value that the domain has no word for.
            None => fmt::Display::fmt(&self.value, f),
        }
    }
}

/// An element that is not what it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// The variable.
    pub var: VarId,
    /// Which of its elements, from 0.
    pub element: usize,
    /// Its value before.
    pub from: i32,
    /// Its value after.
    pub to: i32,
}

impl Change {
    /// The change in words: `A.pte: B → none`.
    #[must_use]
    pub fn shown<'m>(&self, model: &'m Model) -> ShownChange<'m> {
        ShownChange { model, change: *self }
    }
}

/// A change, to be written.
#[derive(Clone, Copy, Debug)]
pub struct ShownChange<'m> {
    model: &'m Model,
    change: Change,
}

impl fmt::Display for ShownChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { var, element, from, to } = self.change;
        match self.model.vars.get(var.0 as usize).and_then(|var| Some((var, var.elements.get(element)?))) {
            Some((var, element)) => {
                write!(f, "{}: {} → {}", element.name, var.domain.shown(from), var.domain.shown(to))
            }
            None => write!(f, "?: {from} → {to}"),
        }
    }
}

/// What differs between two states of a model, in the order of the text. Program counters are left out: the step that was taken
/// says where its thread stands. For people, [`told`] says it better.
#[must_use]
pub fn changes(model: &Model, before: &State, after: &State) -> Vec<Change> {
    let told = (0u32..).map(VarId).zip(&model.vars).filter(|(_, var)| !matches!(var.role, Role::Pc(_)));
    told.flat_map(|(var, _)| {
        let pairs = eval::elements(model, before, var).iter().zip(eval::elements(model, after, var));
        pairs.enumerate().filter(|(_, (from, to))| from != to).map(move |(element, (from, to))| Change {
            var,
            element,
            from: *from,
            to: *to,
        })
    })
    .collect()
}

#[cfg(test)]
mod tests;
