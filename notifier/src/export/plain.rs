//! Expressions and actions with everything written out that other languages leave undefined: indexes outside an array, division
//! by zero, remainders of negative numbers. What comes out means the same in the IR, in Murphi and in C.

use super::{ExportError, write::Language};
use crate::model::{Action, BinOp, Expr, Model, Place, Var, VarId};

/// The least and the greatest value that an expression can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    pub(super) lo: i64,
    pub(super) hi: i64,
}

impl Range {
    const BOOL: Self = Self { lo: 0, hi: 1 };

    fn contains(self, value: i64) -> bool {
        (self.lo..=self.hi).contains(&value)
    }

    fn union(self, other: Self) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    /// Of a monotone operator (in each operand): its values at the corners bound the others.
    fn corners(self, other: Self, op: impl Fn(i64, i64) -> i64) -> Self {
        let corners = [op(self.lo, other.lo), op(self.lo, other.hi), op(self.hi, other.lo), op(self.hi, other.hi)];
        corners.into_iter().map(|at| Self { lo: at, hi: at }).reduce(Self::union).unwrap_or(self)
    }
}

/// Writes one step or property out.
pub(super) struct Plain<'m> {
    model: &'m Model,
    /// What is being written, for errors.
    what: &'m str,
    /// What it is written out for: spin takes no array that is indexed with one of its own elements.
    language: Language,
}

type Ranged = (Expr, Range);

impl<'m> Plain<'m> {
    pub(super) fn new(model: &'m Model, what: &'m str, language: Language) -> Self {
        Self { model, what, language }
    }

    fn var(&self, place: &Place) -> Result<&'m Var, ExportError> {
        let var = self.model.vars.get(place.var.0 as usize).filter(|var| !var.elements.is_empty());
        var.ok_or_else(|| ExportError::NoVariable(self.what.to_owned()))
    }

    /// Values of 32 bits only: beyond, every language does something else.
    fn within(&self, range: Range) -> Result<Range, ExportError> {
        let fits = i64::from(i32::MIN) <= range.lo && range.hi <= i64::from(i32::MAX);
        if fits { Ok(range) } else { Err(ExportError::Overflow(self.what.to_owned())) }
    }

    pub(super) fn expr(&self, expr: &Expr) -> Result<Expr, ExportError> {
        Ok(self.ranged(expr)?.0)
    }

    pub(super) fn ranged(&self, expr: &Expr) -> Result<Ranged, ExportError> {
        Ok(match expr {
            Expr::Const(number) => constant(*number),
            Expr::Read(place) => self.read(place)?,
            Expr::Not(operand) => (Expr::Not(Box::new(self.expr(operand)?)), Range::BOOL),
            Expr::Select(parts) => {
                let [condition, then, otherwise] = parts.as_ref();
                let (then, one) = self.ranged(then)?;
                let (otherwise, other) = self.ranged(otherwise)?;
                (select(self.expr(condition)?, then, otherwise), one.union(other))
            }
            Expr::Binary(op, left, right) => self.binary(*op, self.ranged(left)?, self.ranged(right)?)?,
        })
    }

    fn binary(&self, op: BinOp, left: Ranged, right: Ranged) -> Result<Ranged, ExportError> {
        let range = match op {
            BinOp::Add => self.within(left.1.corners(right.1, |a, b| a + b))?,
            BinOp::Sub => self.within(left.1.corners(right.1, |a, b| a - b))?,
            BinOp::Mul => self.within(left.1.corners(right.1, |a, b| a * b))?,
            BinOp::Div => return self.div(left, right),
            BinOp::Mod => return self.modulo(left, right),
            _ => Range::BOOL,
        };
        Ok((binary(op, left.0, right.0), range))
    }

    /// 0 where the divisor is.
    fn div(&self, (left, range): Ranged, (right, by): Ranged) -> Result<Ranged, ExportError> {
        // The quotient is no further from 0 than the dividend.
        let most = range.lo.abs().max(range.hi.abs());
        let exact = if by.lo > 0 || by.hi < 0 { range.corners(by, |a, b| a / b) } else { Range { lo: -most, hi: most } };
        let quotient = binary(BinOp::Div, left, right.clone());
        Ok(unless_zero(right, by, quotient, self.within(exact)?))
    }

    /// Never negative; 0 where the divisor is. The remainder of the other languages has the sign of the dividend.
    fn modulo(&self, (left, range): Ranged, (right, by): Ranged) -> Result<Ranged, ExportError> {
        let bound = (by.lo.abs().max(by.hi.abs()) - 1).max(0);
        let remainder = binary(BinOp::Mod, left, right.clone());
        if range.lo >= 0 {
            return Ok(unless_zero(right, by, remainder, Range { lo: 0, hi: bound.min(range.hi) }));
        }
        // The smallest number has no remainder by -1 in C, and `remainder + divisor` must fit.
        self.within(Range { lo: -2 * bound, hi: 2 * bound })?;
        if range.contains(i64::from(i32::MIN)) && by.contains(-1) {
            return Err(ExportError::Overflow(self.what.to_owned()));
        }
        let shifted = if by.lo >= 0 {
            binary(BinOp::Mod, binary(BinOp::Add, remainder, right.clone()), right.clone())
        } else {
            let op = binary(BinOp::Lt, right.clone(), Expr::Const(0));
            let away = |op| binary(op, remainder.clone(), right.clone());
            let positive = select(op, away(BinOp::Sub), away(BinOp::Add));
            select(binary(BinOp::Lt, remainder.clone(), Expr::Const(0)), positive, remainder)
        };
        Ok(unless_zero(right, by, shifted, Range { lo: 0, hi: bound }))
    }

    fn is_own_index(&self, place: &Place, index: &Expr) -> bool {
        self.language == Language::Promela && reads(index, place.var)
    }

    fn read(&self, place: &Place) -> Result<Ranged, ExportError> {
        let var = self.var(place)?;
        let range = Range { lo: i64::from(var.domain.lo), hi: i64::from(var.domain.hi) };
        let at = |index| Expr::Read(Place { var: place.var, index });
        let Some(index) = &place.index else { return Ok((at(first(var)), range)) };
        let (index, indexes) = self.ranged(index)?;
        Ok(match outside(var, &index, indexes) {
            // Inside or not, it is the first.
            _ if var.elements.len() == 1 => (at(None), range),
            _ if self.is_own_index(place, &index) => {
                let last = at(first(var));
                let each = numbers(var).skip(1).map(|number| (is(&index, number), at(Some(Box::new(Expr::Const(number))))));
                (each.fold(last, |otherwise, (here, read)| select(here, read, otherwise)), range)
            }
            Outside::Never => (at(Some(Box::new(index))), range),
            Outside::Always => (at(first(var)), range),
            Outside::Unless(inside) => (select(inside, at(Some(Box::new(index))), at(first(var))), range),
        })
    }

    pub(super) fn actions(&self, actions: &[Action]) -> Result<Vec<Action>, ExportError> {
        let mut plain = Vec::new();
        for action in actions {
            match action {
                Action::Set(place, value) => plain.extend(self.set(place, self.expr(value)?)?),
                Action::Forget(var) => plain.extend(self.actions(&Action::forgetting(self.model, *var).collect::<Vec<_>>())?),
                Action::If(condition, then, otherwise) => {
                    let (then, otherwise) = (self.actions(then)?, self.actions(otherwise)?);
                    plain.push(Action::If(self.expr(condition)?, then, otherwise));
                }
                Action::Fail { when, why, at } => {
                    plain.push(Action::Fail { when: self.expr(when)?, why: why.clone(), at: *at });
                }
            }
        }
        Ok(plain)
    }

    /// Nothing, where the index is outside.
    fn set(&self, place: &Place, value: Expr) -> Result<Option<Action>, ExportError> {
        let var = self.var(place)?;
        let at = |index| Place { var: place.var, index };
        let Some(index) = &place.index else { return Ok(Some(Action::Set(at(first(var)), value))) };
        let (index, indexes) = self.ranged(index)?;
        if var.elements.len() > 1 && self.is_own_index(place, &index) {
            let set = |number| Action::Set(at(Some(Box::new(Expr::Const(number)))), value.clone());
            let one = |otherwise: Option<Action>, number| {
                Some(Action::If(is(&index, number), vec![set(number)], otherwise.into_iter().collect()))
            };
            return Ok(numbers(var).fold(None, one));
        }
        let outside = outside(var, &index, indexes);
        let inner = if var.elements.len() == 1 { None } else { Some(Box::new(index)) };
        let set = Action::Set(at(inner), value);
        Ok(match outside {
            Outside::Never => Some(set),
            Outside::Always => None,
            Outside::Unless(inside) => Some(Action::If(inside, vec![set], Vec::new())),
        })
    }
}

/// The indexes of a variable.
fn numbers(var: &Var) -> impl Iterator<Item = i32> {
    (0..).take(var.elements.len())
}

fn is(expr: &Expr, number: i32) -> Expr {
    binary(BinOp::Eq, expr.clone(), Expr::Const(number))
}

fn reads(expr: &Expr, var: VarId) -> bool {
    match expr {
        Expr::Const(_) => false,
        Expr::Read(place) => place.var == var || place.index.as_ref().is_some_and(|index| reads(index, var)),
        Expr::Not(operand) => reads(operand, var),
        Expr::Binary(_, left, right) => reads(left, var) || reads(right, var),
        Expr::Select(parts) => parts.iter().any(|part| reads(part, var)),
    }
}

/// Whether an index can lie outside its variable.
enum Outside {
    Never,
    Always,
    /// Where this condition does not hold.
    Unless(Expr),
}

fn outside(var: &Var, index: &Expr, range: Range) -> Outside {
    let last = i32::try_from(var.elements.len() - 1).unwrap_or(i32::MAX);
    if range.hi < 0 || range.lo > i64::from(last) {
        return Outside::Always;
    }
    let from = (range.lo < 0).then(|| binary(BinOp::Ge, index.clone(), Expr::Const(0)));
    let to = (range.hi > i64::from(last)).then(|| binary(BinOp::Le, index.clone(), Expr::Const(last)));
    match (from, to) {
        (Some(from), Some(to)) => Outside::Unless(binary(BinOp::And, from, to)),
        (Some(one), None) | (None, Some(one)) => Outside::Unless(one),
        (None, None) => Outside::Never,
    }
}

/// The index of the first element; a variable of one element is no array.
fn first(var: &Var) -> Option<Box<Expr>> {
    (var.elements.len() > 1).then(|| Box::new(Expr::Const(0)))
}

fn unless_zero(divisor: Expr, by: Range, result: Expr, range: Range) -> Ranged {
    if !by.contains(0) {
        return (result, range);
    }
    if by == (Range { lo: 0, hi: 0 }) {
        return constant(0);
    }
    let zero = binary(BinOp::Eq, divisor, Expr::Const(0));
    (select(zero, Expr::Const(0), result), range.union(Range { lo: 0, hi: 0 }))
}

fn constant(number: i32) -> Ranged {
    (Expr::Const(number), Range { lo: i64::from(number), hi: i64::from(number) })
}

fn binary(op: BinOp, left: Expr, right: Expr) -> Expr {
    Expr::Binary(op, Box::new(left), Box::new(right))
}

fn select(condition: Expr, then: Expr, otherwise: Expr) -> Expr {
    Expr::Select(Box::new([condition, then, otherwise]))
}
