//! Expressions: what can be computed from one state without changing it.

use super::{
    builtin,
    decl::Def,
    flow::Fault,
    fold, limits,
    operand::{Operand, Value},
    scope::Binding,
    ty::{Ty, range},
    unit::{Result, Unit},
};
use crate::{
    lang::{
        Diagnostic, Span,
        ast::{BinaryOp, Domain, Expr, ExprKind, Name, UnaryOp},
        habits::TRUTH,
    },
    model::{self, BinOp},
};

impl Unit<'_> {
    /// The value of an expression.
    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value> {
        self.look_at(expr.span)?;
        let value = self.unlimited(expr)?;
        limits::check(&value, expr.span)?;
        Ok(value)
    }

    fn unlimited(&mut self, expr: &Expr) -> Result<Value> {
        match &expr.kind {
            ExprKind::Number(value) => match i32::try_from(*value) {
                Ok(value) => Ok(Value::constant(value, Ty::Int(value, value))),
                Err(_) => Err(Diagnostic::error("a number that does not fit into 32 bits").at(expr.span, "too large")),
            },
            ExprKind::Bool(value) => Ok(Value::constant(i32::from(*value), Ty::Bool)),
            ExprKind::None => Ok(Value::constant(0, Ty::None)),
            ExprKind::Name(_) | ExprKind::Field(..) | ExprKind::Index(..) => match self.operand(expr)? {
                Operand::Value(value) => Ok(value),
                Operand::Loc(loc) => match loc.ty {
                    Ty::Lock(_) | Ty::List(_) => {
                        let (what, name) = (self.decls.describe(loc.ty), self.text(expr.span));
                        let ask = if loc.ty.is_list() {
                            format!("ask `v in {name}` or `list_empty({name})`")
                        } else {
                            format!("ask `held({name})`")
                        };
                        Err(Diagnostic::error(format!("{what} has no value")).at(expr.span, ask))
                    }
                    _ => self.load(loc, expr.span),
                },
                _ => Err(Diagnostic::error("a value is needed here").at(expr.span, "this is more than one")),
            },
            ExprKind::Call(name, args) => builtin::pure(self, name, args, expr.span),
            ExprKind::Any(_) => Err(Diagnostic::error("`any` stands alone").at(expr.span, "as in `n = any 0..2`")),
            ExprKind::List(_) => Err(Diagnostic::error("a list in brackets is a first value").at(expr.span, "not an expression")),
            ExprKind::Unary(UnaryOp::Not, inner) => {
                let value = self.condition(inner)?;
                Ok(Value { expr: fold::not(value.expr), ..value })
            }
            ExprKind::Unary(UnaryOp::Neg, inner) => {
                let zero = Value::constant(0, Ty::Int(0, 0));
                let value = self.value(inner)?;
                self.arithmetic(BinOp::Sub, zero, value, expr.span)
            }
            ExprKind::Binary(op, a, b) => self.binary(*op, a, b, expr.span),
            ExprKind::Quantified { all, name, domain, body } => self.quantified(*all, name, domain, body),
        }
    }

    /// An expression that is true or false.
    pub(super) fn condition(&mut self, expr: &Expr) -> Result<Value> {
        let value = self.value(expr)?;
        if value.ty == Ty::Bool {
            return Ok(value);
        }
        let what = self.decls.describe(value.ty);
        let error = Diagnostic::error("a condition is needed here").at(expr.span, format!("this is {what}"));
        Err(match value.ty {
            Ty::Int(0 | 1, _) if matches!(expr.kind, ExprKind::Number(0 | 1)) => error.help("write `true` or `false`"),
            Ty::Int(..) => error.help("compare it with something: `!= 0`"),
            Ty::Ref { .. } => error.help("compare it with something: `!= none`"),
            _ => error,
        })
    }

    /// A number.
    pub(super) fn number(&mut self, expr: &Expr) -> Result<Value> {
        let value = self.value(expr)?;
        match value.ty {
            Ty::Int(..) => Ok(value),
            ty => Err(Diagnostic::error("a number is needed here").at(expr.span, format!("this is {}", self.decls.describe(ty)))),
        }
    }

    /// An object that is there; where the value may be `none`, that is a fault.
    pub(super) fn object(&mut self, expr: &Expr, kind: Option<usize>) -> Result<(Value, usize)> {
        let mut value = self.value(expr)?;
        match value.ty {
            Ty::Ref { kind: found, maybe } if kind.is_none_or(|kind| kind == found) => {
                if maybe {
                    let when = fold::eq(value.expr.clone(), fold::constant(0));
                    value.faults.push(Fault { when, why: format!("`{}` is none", self.text(expr.span)).into(), at: expr.span });
                }
                Ok((value, found))
            }
            ty => {
                let wanted = kind.map_or("an object".to_owned(), |kind| format!("a `{}`", self.decls.kinds[kind].name));
                Err(Diagnostic::error(format!("{wanted} is needed here"))
                    .at(expr.span, format!("this is {}", self.decls.describe(ty))))
            }
        }
    }

    fn binary(&mut self, op: BinaryOp, a: &Expr, b: &Expr, at: Span) -> Result<Value> {
        let op = match op {
            BinaryOp::In => return builtin::list::member(self, a, b),
            BinaryOp::And | BinaryOp::Or => {
                let (left, right) = (self.condition(a)?, self.condition(b)?);
                return connect(op == BinaryOp::And, left, right, at);
            }
            BinaryOp::Eq => BinOp::Eq,
            BinaryOp::Ne => BinOp::Ne,
            BinaryOp::Lt => BinOp::Lt,
            BinaryOp::Le => BinOp::Le,
            BinaryOp::Gt => BinOp::Gt,
            BinaryOp::Ge => BinOp::Ge,
            BinaryOp::Add => BinOp::Add,
            BinaryOp::Sub => BinOp::Sub,
            BinaryOp::Mul => BinOp::Mul,
            BinaryOp::Div => BinOp::Div,
            BinaryOp::Mod => BinOp::Mod,
        };
        match op {
            BinOp::Eq | BinOp::Ne => {
                let (left, right) = (self.value(a)?, self.value(b)?);
                if !left.ty.meets(right.ty) {
                    let (l, r) = (self.decls.describe(left.ty), self.decls.describe(right.ty));
                    let error = Diagnostic::error("these two cannot be equal").at(at, format!("{l} and {r}"));
                    let as_in_c = matches!((left.ty, right.ty), (Ty::Bool, Ty::Int(0 | 1, _)) | (Ty::Int(0 | 1, _), Ty::Bool))
                        && [a, b].iter().any(|side| matches!(side.kind, ExprKind::Number(0 | 1)));
                    return Err(if as_in_c { error.help(TRUTH) } else { error });
                }
                Ok(merge(Ty::Bool, fold::binary(op, left.expr.clone(), right.expr.clone()), left, right))
            }
            BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge => {
                let (left, right) = (self.number(a)?, self.number(b)?);
                Ok(merge(Ty::Bool, fold::binary(op, left.expr.clone(), right.expr.clone()), left, right))
            }
            _ => {
                let (left, right) = (self.number(a)?, self.number(b)?);
                self.arithmetic(op, left, right, at)
            }
        }
    }

    /// A number from two numbers.
    pub(super) fn arithmetic(&self, op: BinOp, left: Value, right: Value, at: Span) -> Result<Value> {
        let (Ty::Int(al, ah), Ty::Int(bl, bh)) = (left.ty, right.ty) else {
            return Err(Diagnostic::error("numbers are needed here").at(at, "not both are"));
        };
        let Some((lo, hi)) = range(op, (al, ah), (bl, bh)) else {
            return Err(Diagnostic::error("a number that may not fit into 32 bits").at(at, "too large"));
        };
        let mut faults = Vec::new();
        if matches!(op, BinOp::Div | BinOp::Mod) && bl <= 0 && bh >= 0 {
            let when = fold::eq(right.expr.clone(), fold::constant(0));
            if fold::is_true(&when) {
                return Err(Diagnostic::error("a division by zero").at(at, "always zero"));
            }
            faults.push(Fault { when, why: format!("`{}` divides by zero", self.text(at)).into(), at });
        }
        let expr = fold::binary(op, left.expr.clone(), right.expr.clone());
        let mut value = merge(Ty::Int(lo, hi), expr, left, right);
        if let model::Expr::Const(known) = value.expr {
            value.ty = Ty::Int(known, known);
        }
        value.faults.extend(faults);
        Ok(value)
    }

    fn quantified(&mut self, all: bool, name: &Name, domain: &Domain, body: &Expr) -> Result<Value> {
        let mut result = Value::constant(i32::from(all), Ty::Bool);
        for operand in self.members(domain)? {
            self.scopes.open();
            self.scopes.bind(&name.text, Binding::Operand(operand));
            let instance = self.condition(body);
            self.scopes.close();
            result = connect(all, result, instance?, body.span)?;
        }
        Ok(result)
    }

    /// What a loop or quantifier runs through, where that is known beforehand.
    pub(super) fn members(&mut self, domain: &Domain) -> Result<Vec<Operand>> {
        match domain {
            Domain::Range(lo, hi) => {
                let (lo, hi) = self.known_bounds(lo, hi)?;
                Ok((lo..=hi).map(Operand::number).collect())
            }
            Domain::Of(expr) => match self.operand(expr)? {
                Operand::Kind(kind) => {
                    Ok((0..self.decls.kinds[kind].objects.len() as i32).map(|n| Operand::object(kind, n)).collect())
                }
                Operand::Family { kind, first, lo, hi } => {
                    Ok((first..=first + hi - lo).map(|n| Operand::object(kind, n)).collect())
                }
                Operand::Enum(of) => Ok((0..self.decls.enums[of].values.len() as i32)
                    .map(|value| Operand::Value(Value::constant(value, Ty::Enum(of))))
                    .collect()),
                _ => Err(Diagnostic::error("a kind, a family, an enum or a range is needed here")
                    .at(expr.span, "this cannot be run through beforehand")),
            },
        }
    }

    /// A range whose ends may be variables of unrolled loops and of families.
    fn known_bounds(&mut self, lo: &Expr, hi: &Expr) -> Result<(i32, i32)> {
        let mut known = |expr: &Expr| match self.number(expr)?.expr {
            model::Expr::Const(value) => Ok(value),
            _ => Err(Diagnostic::error("a number that is known beforehand is needed here")
                .at(expr.span, "can change")
                .help("bound the loop by a constant, and leave it with `break`")),
        };
        let (low, high) = (known(lo)?, known(hi)?);
        let span = Span { end: hi.span.end, ..lo.span };
        if i64::from(high) - i64::from(low) >= i64::from(super::decl::MOST) {
            return Err(Diagnostic::error("a range that is too long to be unrolled")
                .at(span, format!("at most {} numbers", super::decl::MOST)));
        }
        Ok((low, high))
    }

    /// A number that must be known beforehand.
    pub(super) fn known_number(&mut self, expr: &Expr) -> Result<i32> {
        self.known_bounds(expr, expr).map(|(value, _)| value)
    }

    /// Whether a name is an operation of the file.
    pub(super) fn op(&self, name: &str) -> Option<usize> {
        match self.decls.get(name) {
            Some(Def::Op(op)) => Some(op),
            _ => None,
        }
    }
}

/// `&&` and `||`: the second is looked at only where the first leaves it open, and so are its faults.
pub(super) fn connect(all: bool, a: Value, b: Value, at: Span) -> Result<Value> {
    limits::check_copies(&a.expr, b.faults.len() + 1, at)?;
    let open = if all { a.expr.clone() } else { fold::not(a.expr.clone()) };
    let mut faults = a.faults;
    faults.extend(
        b.faults
            .into_iter()
            .map(|fault| Fault { when: fold::and(open.clone(), fault.when), ..fault })
            .filter(|fault| !fold::is_false(&fault.when)),
    );
    let expr = if all { fold::and(a.expr, b.expr) } else { fold::or(a.expr, b.expr) };
    Ok(Value { expr, ty: Ty::Bool, faults, shared: a.shared || b.shared })
}

fn merge(ty: Ty, expr: model::Expr, a: Value, b: Value) -> Value {
    let faults = a.faults.into_iter().chain(b.faults).collect();
    Value { expr, ty, faults, shared: a.shared || b.shared }
}
