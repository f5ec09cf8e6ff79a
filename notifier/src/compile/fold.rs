//! Building expressions, folded as far as their constants go: what the text decides is not decided again in every state.

use crate::model::{BinOp, Expr, Place, VarId};

pub(super) fn constant(value: i32) -> Expr {
    Expr::Const(value)
}

pub(super) fn truth(value: bool) -> Expr {
    Expr::Const(i32::from(value))
}

pub(super) fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(value) if *value != 0)
}

pub(super) fn is_false(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(0))
}

/// The operators of an expression, counted until they are more than `most`.
pub(super) fn size(expr: &Expr, most: usize) -> usize {
    let mut size = 0;
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        size += 1;
        if size > most {
            break;
        }
        match expr {
            Expr::Const(_) => {}
            Expr::Read(place) => open.extend(place.index.as_deref()),
            Expr::Not(inner) => open.push(inner),
            Expr::Binary(_, a, b) => open.extend([a.as_ref(), b.as_ref()]),
            Expr::Select(parts) => open.extend(parts.as_ref()),
        }
    }
    size
}

/// The element of `var` at `index`.
pub(super) fn place(var: VarId, index: Expr) -> Place {
    match index {
        Expr::Const(0) => Place { var, index: None },
        index => Place { var, index: Some(Box::new(index)) },
    }
}

pub(super) fn read(var: VarId, index: Expr) -> Expr {
    Expr::Read(place(var, index))
}

pub(super) fn not(expr: Expr) -> Expr {
    match expr {
        Expr::Const(value) => truth(value == 0),
        Expr::Binary(BinOp::Eq, a, b) => Expr::Binary(BinOp::Ne, a, b),
        Expr::Binary(BinOp::Ne, a, b) => Expr::Binary(BinOp::Eq, a, b),
        expr => Expr::Not(Box::new(expr)),
    }
}

pub(super) fn and(a: Expr, b: Expr) -> Expr {
    match (a, b) {
        (Expr::Const(0), _) | (_, Expr::Const(0)) => truth(false),
        (Expr::Const(_), b) => b,
        (a, Expr::Const(_)) => a,
        (a, b) => Expr::Binary(BinOp::And, Box::new(a), Box::new(b)),
    }
}

pub(super) fn or(a: Expr, b: Expr) -> Expr {
    match (a, b) {
        (Expr::Const(0), b) => b,
        (a, Expr::Const(0)) => a,
        (Expr::Const(_), _) | (_, Expr::Const(_)) => truth(true),
        (a, b) => Expr::Binary(BinOp::Or, Box::new(a), Box::new(b)),
    }
}

pub(super) fn all(terms: impl IntoIterator<Item = Expr>) -> Expr {
    terms.into_iter().fold(truth(true), and)
}

pub(super) fn any(terms: impl IntoIterator<Item = Expr>) -> Expr {
    terms.into_iter().fold(truth(false), or)
}

pub(super) fn select(condition: Expr, yes: Expr, no: Expr) -> Expr {
    match condition {
        Expr::Const(0) => no,
        Expr::Const(_) => yes,
        condition => Expr::Select(Box::new([condition, yes, no])),
    }
}

pub(super) fn eq(a: Expr, b: Expr) -> Expr {
    binary(BinOp::Eq, a, b)
}

pub(super) fn ne(a: Expr, b: Expr) -> Expr {
    binary(BinOp::Ne, a, b)
}

/// Any operator, folded where both sides are constants or one side decides.
pub(super) fn binary(op: BinOp, a: Expr, b: Expr) -> Expr {
    match (op, &a, &b) {
        (BinOp::And, ..) => and(a, b),
        (BinOp::Or, ..) => or(a, b),
        (BinOp::Add | BinOp::Sub, _, Expr::Const(0)) => a,
        (BinOp::Add, Expr::Const(0), _) => b,
        (BinOp::Mul, _, Expr::Const(1)) => a,
        (BinOp::Mul, Expr::Const(1), _) => b,
        (_, Expr::Const(x), Expr::Const(y)) => constant(op.apply(*x, *y)),
        _ => Expr::Binary(op, Box::new(a), Box::new(b)),
    }
}
