//! Expressions with what is known of them worked out beforehand.

use crate::model::{BinOp, Expr, Model, Place, VarId};

use super::layout::Layout;

/// What is known of the state where an expression is evaluated: values of elements.
pub(super) type Known = std::collections::BTreeMap<usize, i32>;

/// The element that a place with a constant index names: to read (an index outside names the first) or to write (it names none).
pub(super) fn element(layout: &Layout, place: &Place, write: bool) -> Option<usize> {
    let elements = layout.elements(place.var);
    match place.index.as_deref() {
        None => Some(elements.start),
        Some(&Expr::Const(index)) => match usize::try_from(index) {
            Ok(index) if index < elements.len() => Some(elements.start + index),
            _ if write => None,
            _ => Some(elements.start),
        },
        Some(_) => None,
    }
}

/// Whether the index of a place is a constant (or none).
pub(super) fn is_static(place: &Place) -> bool {
    matches!(place.index.as_deref(), None | Some(Expr::Const(_)))
}

/// Whether a model's expression can only be 0 or 1.
fn is_truth(model: &Model, e: &Expr) -> bool {
    match e {
        Expr::Const(value) => matches!(value, 0 | 1),
        Expr::Read(place) => {
            let domain = &model.vars[place.var.0 as usize].domain;
            domain.lo >= 0 && domain.hi <= 1
        }
        Expr::Not(_) => true,
        Expr::Binary(op, ..) => !matches!(op, BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div | BinOp::Mod),
        Expr::Select(parts) => is_truth(model, &parts[1]) && is_truth(model, &parts[2]),
    }
}

/// The same expression with everything worked out that does not depend on the state, given what is known of it.
pub(super) fn fold(model: &Model, layout: &Layout, known: &Known, e: &Expr) -> Expr {
    let truth = |e: Expr| {
        if is_truth(model, &e) { e } else { Expr::Binary(BinOp::Ne, Box::new(e), Box::new(Expr::Const(0))) }
    };
    match e {
        Expr::Const(value) => Expr::Const(*value),
        Expr::Read(place) => {
            let place = fold_place(model, layout, known, place);
            if layout.elements(place.var).len() == 1 || is_static(&place) {
                let at = element(layout, &place, false).unwrap_or(layout.elements(place.var).start);
                let field = &layout.fields[at];
                let value = if field.span == 0 { Some(field.lo) } else { known.get(&at).copied() };
                value.map_or_else(|| Expr::Read(named(layout, place.var, at)), Expr::Const)
            } else {
                Expr::Read(place)
            }
        }
        Expr::Not(inner) => match fold(model, layout, known, inner) {
            Expr::Const(value) => Expr::Const(i32::from(value == 0)),
            Expr::Not(inner) => truth(*inner),
            other => Expr::Not(Box::new(other)),
        },
        Expr::Binary(op, a, b) => {
            let (a, b) = (fold(model, layout, known, a), fold(model, layout, known, b));
            match (op, a, b) {
                (op, Expr::Const(a), Expr::Const(b)) => Expr::Const(op.apply(a, b)),
                (BinOp::And, Expr::Const(0), _) | (BinOp::And, _, Expr::Const(0)) => Expr::Const(0),
                (BinOp::Or, Expr::Const(value), _) | (BinOp::Or, _, Expr::Const(value)) if value != 0 => Expr::Const(1),
                (BinOp::And | BinOp::Or, Expr::Const(_), other) | (BinOp::And | BinOp::Or, other, Expr::Const(_)) => truth(other),
                (BinOp::Eq | BinOp::Ne, Expr::Const(value), read @ Expr::Read(_)) => {
                    equality(layout, *op == BinOp::Eq, read, value)
                }
                (BinOp::Eq | BinOp::Ne, read @ Expr::Read(_), Expr::Const(value)) => {
                    equality(layout, *op == BinOp::Eq, read, value)
                }
                (op, a, b) => Expr::Binary(*op, Box::new(a), Box::new(b)),
            }
        }
        Expr::Select(parts) => match fold(model, layout, known, &parts[0]) {
            Expr::Const(0) => fold(model, layout, known, &parts[2]),
            Expr::Const(_) => fold(model, layout, known, &parts[1]),
            when => Expr::Select(Box::new([when, fold(model, layout, known, &parts[1]), fold(model, layout, known, &parts[2])])),
        },
    }
}

/// A variable that is (not) a constant: decided where its domain does not have the constant.
fn equality(layout: &Layout, equal: bool, read: Expr, value: i32) -> Expr {
    let Expr::Read(place) = &read else { unreachable!("the callers pass a read") };
    if !layout.fields[layout.elements(place.var).start].holds(value) {
        return Expr::Const(i32::from(!equal));
    }
    Expr::Binary(if equal { BinOp::Eq } else { BinOp::Ne }, Box::new(read), Box::new(Expr::Const(value)))
}

/// The place of an element.
fn named(layout: &Layout, var: VarId, element: usize) -> Place {
    let elements = layout.elements(var);
    let index = (elements.len() > 1).then(|| Box::new(Expr::Const((element - elements.start) as i32)));
    Place { var, index }
}

/// The same place with its index worked out.
pub(super) fn fold_place(model: &Model, layout: &Layout, known: &Known, place: &Place) -> Place {
    Place { var: place.var, index: place.index.as_ref().map(|index| Box::new(fold(model, layout, known, index))) }
}
