//! From a step's actions to a patch of constants and the instructions for the rest.

use std::sync::Arc;

use crate::lang::Span;
use crate::model::{Action, Expr, Model, Place};

use super::code::{DONE, Op};
use super::emit::Emitter;
use super::fold::{Known, element, fold, fold_place, is_static};
use super::layout::Layout;
use super::touch::Elements;

/// A check in a step that can fail.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Failure {
    pub(super) at: (u16, u32, u32),
    pub(super) why: Arc<str>,
}

impl Failure {
    pub(super) fn span(&self) -> Span {
        Span { text: self.at.0, start: self.at.1, end: self.at.2 }
    }
}

/// The actions of a step, compiled.
pub(super) struct Acts {
    /// Constants, written before the code runs.
    pub(super) patch: Vec<(usize, i32)>,
    /// The rest, if there is any.
    pub(super) code: Option<u32>,
    /// What is known of the state afterwards.
    pub(super) after: Known,
}

/// Compiles actions, of which `known` holds beforehand.
pub(super) fn compile(
    model: &Model,
    emit: &mut Emitter<'_>,
    failures: &mut Vec<Failure>,
    known: Known,
    actions: &[Action],
) -> Acts {
    let layout = emit.layout;
    let mut known = known;
    let actions = fold_all(model, layout, &mut known, actions);
    let mut touched = Elements::none(layout);
    let mut patch = Vec::new();
    let mut rest = Vec::new();
    for action in actions {
        if let Action::Set(place, Expr::Const(value)) = &action
            && is_static(place)
        {
            match element(layout, place, true) {
                // Nothing before it in the code looks at it: it can as well be written first.
                Some(element) if !touched.has(element) && layout.fields[element].holds(*value) => {
                    patch.retain(|(other, _)| *other != element);
                    patch.push((element, *value));
                    continue;
                }
                None => continue,
                _ => {}
            }
        }
        touched.add_all(layout, std::slice::from_ref(&action));
        rest.push(action);
    }
    let code = (!rest.is_empty()).then(|| {
        let at = emit.here();
        sequence(emit, failures, &rest);
        emit.push(Op::Leave(DONE));
        at
    });
    Acts { patch, code, after: known }
}

/// Folds actions, each by what those before it leave known, and updates that.
fn fold_all(model: &Model, layout: &Layout, known: &mut Known, actions: &[Action]) -> Vec<Action> {
    let mut folded = Vec::new();
    for action in actions {
        match action {
            Action::Set(place, value) => {
                let place = fold_place(model, layout, known, place);
                let value = fold(model, layout, known, value);
                let action = Action::Set(place, value);
                forget(layout, known, std::slice::from_ref(&action));
                if let Action::Set(place, Expr::Const(value)) = &action
                    && is_static(place)
                    && let Some(element) = element(layout, place, true)
                {
                    known.insert(element, *value);
                }
                folded.push(action);
            }
            Action::Forget(var) => {
                let sets: Vec<_> = Action::forgetting(model, *var).collect();
                folded.extend(fold_all(model, layout, known, &sets));
            }
            Action::If(when, then, other) => match fold(model, layout, known, when) {
                Expr::Const(0) => folded.extend(fold_all(model, layout, known, other)),
                Expr::Const(_) => folded.extend(fold_all(model, layout, known, then)),
                when => {
                    let then = fold_all(model, layout, &mut known.clone(), then);
                    let other = fold_all(model, layout, &mut known.clone(), other);
                    let action = Action::If(when, then, other);
                    forget(layout, known, std::slice::from_ref(&action));
                    folded.push(action);
                }
            },
            Action::Fail { when, why, at } => match fold(model, layout, known, when) {
                Expr::Const(0) => {}
                when => {
                    let certain = matches!(when, Expr::Const(_));
                    folded.push(Action::Fail { when, why: why.clone(), at: *at });
                    if certain {
                        break;
                    }
                }
            },
        }
    }
    folded
}

/// What actions may write is no longer known.
fn forget(layout: &Layout, known: &mut Known, actions: &[Action]) {
    let written = Elements::written_by(layout, actions);
    known.retain(|&element, _| !written.has(element));
}

fn sequence(emit: &mut Emitter<'_>, failures: &mut Vec<Failure>, actions: &[Action]) {
    for action in actions {
        match action {
            Action::Set(place, value) => set(emit, place, value),
            // Folding has put constants in its place.
            Action::Forget(_) => {}
            Action::If(when, then, other) => {
                let (no, end) = (emit.label(), emit.label());
                emit.branch(when, false, no, 0);
                sequence(emit, failures, then);
                if !other.is_empty() {
                    emit.goto(end);
                }
                emit.bind(no);
                sequence(emit, failures, other);
                emit.bind(end);
            }
            Action::Fail { when, why, at } => {
                failures.push(Failure { at: (at.text, at.start, at.end), why: why.clone() });
                let pass = emit.label();
                emit.branch(when, false, pass, 0);
                emit.push(Op::Leave(failures.len() as u32));
                emit.bind(pass);
            }
        }
    }
}

fn set(emit: &mut Emitter<'_>, place: &Place, value: &Expr) {
    if let (false, Some(index)) = (is_static(place), &place.index) {
        let table = emit.table(place.var);
        let (index, r) = emit.pair(index, value, 0);
        return emit.push(Op::StoreAt { r, index, table, less: 0 });
    }
    let Some(field) = emit.field(place, true) else { return };
    if field.span == 0 {
        return;
    }
    if let Expr::Const(value) = value
        && field.holds(*value)
    {
        let bits = u64::from(field.raw(*value)) << field.shift;
        emit.push(Op::Patch { word: field.word, keep: !field.bits(), bits });
    } else if let Some((from, add)) = emit.affine(value) {
        emit.push(Op::Move {
            from: (from.word, from.shift),
            to: (field.word, field.shift),
            from_mask: from.mask,
            to_mask: field.mask,
            span: field.span,
            add: from.lo.wrapping_add(add).wrapping_sub(field.lo) as u32,
        });
    } else {
        emit.value(value, 0);
        emit.push(Op::Store { r: 0, field });
    }
}
