//! Numbers that are known when the model is compiled.

use std::{cell::RefCell, collections::BTreeMap};

use super::{
    decl::{Decls, Def, MOST},
    unit::Result,
    unknown::{unknown, unknown_in},
};
use crate::lang::{
    Diagnostic, Span,
    ast::{BinaryOp, Expr, ExprKind, Name, UnaryOp},
};

impl Decls<'_> {
    /// A range that has to be known when the model is compiled; not empty, and not longer than [`MOST`].
    pub(super) fn bounds(&self, lo: &Expr, hi: &Expr) -> Result<(i32, i32)> {
        let (low, high) = (self.constant(lo)?, self.constant(hi)?);
        let span = Span { end: hi.span.end, ..lo.span };
        if low > high {
            return Err(Diagnostic::error("an empty range").at(span, format!("{low} is more than {high}")));
        }
        if i64::from(high) - i64::from(low) >= i64::from(MOST) {
            return Err(Diagnostic::error("a range that is too long to be unrolled").at(span, format!("at most {MOST} numbers")));
        }
        Ok((low, high))
    }

    /// A number that is known when the model is compiled.
    pub(super) fn constant(&self, expr: &Expr) -> Result<i32> {
        constant(expr, &mut |name, span| match self.get(name) {
            Some(Def::Const(value)) => Ok(value),
            Some(found) => Err(Diagnostic::error("a constant is needed here").at(span, format!("this is {}", found.what()))),
            None => Err(unknown("constant", &Name { text: name.to_owned(), span }, None, self.names())),
        })
    }
}

/// The constants of a file.
#[derive(Default)]
pub(super) struct Constants<'a> {
    pub(super) exprs: BTreeMap<&'a str, &'a Expr>,
    /// Those whose values have been looked at: without it, `a + a` of `b + b` of … would look at the last one for ever.
    pub(super) known: RefCell<BTreeMap<String, i32>>,
}

/// The longest chain of constants, each defined by the next.
const LONGEST: usize = 64;

/// The value of a `const`, which may be written with others, in whatever order.
pub(super) fn constant_item<'a>(consts: &Constants<'a>, name: &Name, value: &'a Expr) -> Result<i32> {
    fn look(consts: &Constants<'_>, name: &str, span: Span, left: usize) -> Result<i32> {
        if let Some(known) = consts.known.borrow().get(name) {
            return Ok(*known);
        }
        // A chain longer than the number of constants comes back to one of them.
        let Some(left) = left.checked_sub(1) else {
            let error = Diagnostic::error(format!("the constant `{name}` is defined by itself"));
            let long = format!("or by more than {LONGEST} others, one by the other");
            return Err(if consts.exprs.len() > LONGEST { error.note(long) } else { error }.at(span, "comes back here"));
        };
        let Some(expr) = consts.exprs.get(name) else {
            return Err(unknown_in("constant", &Name { text: name.to_owned(), span }, None, consts.exprs.keys().copied()));
        };
        let value = constant(expr, &mut |name, span| look(consts, name, span, left))?;
        consts.known.borrow_mut().insert(name.to_owned(), value);
        Ok(value)
    }
    let depth = consts.exprs.len().min(LONGEST);
    constant(value, &mut |inner, span| {
        if inner == name.text {
            return Err(Diagnostic::error(format!("the constant `{inner}` is defined by itself")).at(span, "comes back here"));
        }
        look(consts, inner, span, depth)
    })
}

/// The value of an expression of numbers and constants.
fn constant(expr: &Expr, name: &mut dyn FnMut(&str, Span) -> Result<i32>) -> Result<i32> {
    let too_large = || Diagnostic::error("a number that does not fit into 32 bits").at(expr.span, "too large");
    match &expr.kind {
        ExprKind::Number(value) => i32::try_from(*value).map_err(|_| too_large()),
        ExprKind::Name(text) => name(text, expr.span),
        ExprKind::Unary(UnaryOp::Neg, inner) => constant(inner, name)?.checked_neg().ok_or_else(too_large),
        ExprKind::Binary(op, a, b) => {
            let (a, b) = (constant(a, name)?, constant(b, name)?);
            match op {
                BinaryOp::Add => a.checked_add(b).ok_or_else(too_large),
                BinaryOp::Sub => a.checked_sub(b).ok_or_else(too_large),
                BinaryOp::Mul => a.checked_mul(b).ok_or_else(too_large),
                BinaryOp::Div => a.checked_div(b).ok_or_else(too_large),
                BinaryOp::Mod => a.checked_rem_euclid(b).ok_or_else(too_large),
                _ => Err(Diagnostic::error("a number is needed here").at(expr.span, "this is a condition")),
            }
        }
        _ => Err(Diagnostic::error("a number that is known beforehand is needed here").at(expr.span, "not a constant")),
    }
}
