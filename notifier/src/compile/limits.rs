//! How large a model may become. Macros, loops and quantifiers inside each other multiply: a few lines can ask for more than any
//! machine has, and are told so.

use super::{fold, operand::Value, unit::Unit};
use crate::{
    lang::{Diagnostic, Span},
    model::{Action, Expr},
};

/// Operators of one expression, with all that can go wrong in it.
const MOST_OPERATORS: usize = 1 << 12;
/// Operators of all steps.
pub(super) const MOST_SIZE: usize = 1 << 21;
/// Places in the control flow of all threads.
pub(super) const MOST_NODES: usize = 1 << 16;
/// Expressions that are looked at, again in each round of a loop or quantifier.
const MOST_LOOKS: usize = 1 << 22;
/// Elements of all variables: many more than the bits of a state.
pub(super) const MOST_ELEMENTS: usize = 1 << 12;
/// Threads, and orderings of a file.
pub(super) const MOST_THREADS: usize = 64;
pub(super) const MOST_ORDERINGS: usize = 64;
/// Blocks inside blocks, counted through operations: whatever follows recurses.
const DEEPEST_BLOCK: usize = 120;
/// More findings than this nobody reads, and what is left may follow from them.
pub(super) const MOST_ERRORS: usize = 20;

/// An expression beyond the limit.
fn too_large(at: Span) -> Diagnostic {
    Diagnostic::error("this becomes too large").at(at, "its parts multiply").help("make a `let` of a part")
}

/// Refuses an expression that is too large.
pub(super) fn check(value: &Value, at: Span) -> Result<(), Diagnostic> {
    let mut left = MOST_OPERATORS;
    for expr in value.faults.iter().map(|fault| &fault.when).chain([&value.expr]) {
        match left.checked_sub(fold::size(expr, left)) {
            Some(rest) => left = rest,
            None => return Err(too_large(at)),
        }
    }
    Ok(())
}

/// Refuses to copy an expression so often.
pub(super) fn check_copies(expr: &Expr, copies: usize, at: Span) -> Result<(), Diagnostic> {
    if fold::size(expr, MOST_OPERATORS).saturating_mul(copies) > 4 * MOST_OPERATORS { Err(too_large(at)) } else { Ok(()) }
}

/// What actions take up.
pub(super) fn weight(actions: &[Action]) -> usize {
    let size = |expr: &Expr| fold::size(expr, MOST_SIZE);
    let each = actions.iter().map(|action| match action {
        Action::Set(place, value) => place.index.as_deref().map_or(0, size) + size(value),
        Action::If(condition, yes, no) => size(condition) + weight(yes) + weight(no),
        Action::Fail { when, .. } => size(when),
        Action::Forget(_) => 1,
    });
    each.sum::<usize>() + actions.len()
}

impl Unit<'_> {
    /// Counts an expression that is looked at.
    pub(super) fn look_at(&mut self, at: Span) -> Result<(), Diagnostic> {
        self.looks += 1;
        if self.looks > MOST_LOOKS { Err(too_large(at)) } else { Ok(()) }
    }

    /// Whether there is no point in going on: the model has grown beyond all reason, or enough is wrong with it.
    pub(super) fn gives_up(&mut self, at: Span) -> bool {
        let large = self.graph.is_too_large() || self.looks > MOST_LOOKS || self.storage.vars.len() > MOST_ELEMENTS;
        if large && !self.gave_up {
            self.gave_up = true;
            self.report(Diagnostic::error("the model is too large").at(at, "its loops and operations multiply: it is full here"));
        }
        self.blocks > DEEPEST_BLOCK || large || self.errors.len() >= MOST_ERRORS
    }

    /// One block deeper; false where that is too deep.
    pub(super) fn enter_block(&mut self, at: Span) -> bool {
        self.blocks += 1;
        if self.blocks == DEEPEST_BLOCK + 1 {
            self.report(
                Diagnostic::error("nested too deep").at(at, format!("more than {DEEPEST_BLOCK} blocks inside each other")),
            );
        }
        self.blocks <= DEEPEST_BLOCK
    }

    /// Notes what is wrong: in an operation or loop the same is wrong wherever it is expanded.
    pub(super) fn report(&mut self, error: Diagnostic) {
        if self.errors.len() < MOST_ERRORS && !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }
}
