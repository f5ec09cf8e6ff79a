//! What an expression stands for before anything is loaded: a value, a place, or a group of them.

use super::{
    decl::Def,
    flow::Fault,
    fold, limits,
    scope::Binding,
    storage::SlotId,
    ty::Ty,
    unit::{Result, Unit},
    unknown::{suggest, unknown_in},
};
use crate::{
    lang::{
        Diagnostic, Span,
        ast::{Expr, ExprKind, Name},
    },
    model::{self, BinOp, VarId},
};

/// What can be computed: an expression of the model, its type, what may go wrong on the way.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) expr: model::Expr,
    pub(super) ty: Ty,
    pub(super) faults: Vec<Fault>,
    /// It reads what others can write: evaluating it is a step.
    pub(super) shared: bool,
}

/// Where a value, a lock or a list is kept.
#[derive(Clone, Debug)]
pub(super) struct Loc {
    pub(super) at: Home,
    pub(super) ty: Ty,
    /// The element, counted in values, locks or lists.
    pub(super) index: model::Expr,
    pub(super) faults: Vec<Fault>,
    /// Finding the place reads what others can write.
    pub(super) shared: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Home {
    Slot(SlotId),
    Local(VarId),
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Value(Value),
    Loc(Loc),
    /// All elements of an array; the place is that of the first.
    Array(Loc, i32),
    Kind(usize),
    Enum(usize),
    Family {
        kind: usize,
        first: i32,
        lo: i32,
        hi: i32,
    },
    Thread(usize),
    Threads {
        first: usize,
        lo: i32,
        hi: i32,
    },
}

impl Value {
    pub(super) fn constant(value: i32, ty: Ty) -> Self {
        Self { expr: fold::constant(value), ty, faults: Vec::new(), shared: false }
    }
}

impl Operand {
    pub(super) fn number(value: i32) -> Self {
        Self::Value(Value::constant(value, Ty::Int(value, value)))
    }

    pub(super) fn object(kind: usize, number: i32) -> Self {
        Self::Value(Value::constant(number + 1, Ty::Ref { kind, maybe: false }))
    }

    fn what(&self) -> &'static str {
        match self {
            Self::Value(_) => "a value",
            Self::Loc(_) => "a place",
            Self::Array(..) => "an array",
            Self::Kind(_) => "a kind",
            Self::Enum(_) => "an enum",
            Self::Family { .. } => "a family of objects",
            Self::Thread(_) => "a thread",
            Self::Threads { .. } => "a family of threads",
        }
    }
}

impl Unit<'_> {
    /// What a name, a field or an element stands for; any other expression stands for its value.
    pub(super) fn operand(&mut self, expr: &Expr) -> Result<Operand> {
        match &expr.kind {
            ExprKind::Name(name) => self.named(name, expr.span),
            ExprKind::Field(base, field) => self.field(base, field, expr.span),
            ExprKind::Index(base, index) => self.element(base, index, expr.span),
            _ => self.value(expr).map(Operand::Value),
        }
    }

    /// A place that can be written, or on which a lock or list operation works.
    pub(super) fn place(&mut self, expr: &Expr) -> Result<Loc> {
        match self.operand(expr)? {
            Operand::Loc(loc) => Ok(loc),
            Operand::Array(..) => Err(Diagnostic::error("an element of the array is needed").at(expr.span, "this is all of it")),
            other => {
                Err(Diagnostic::error(format!("{} cannot be written", other.what()))
                    .at(expr.span, "a variable or field is needed"))
            }
        }
    }

    fn named(&mut self, name: &str, at: Span) -> Result<Operand> {
        match self.scopes.get(name) {
            Some(Binding::Local(var, ty)) => return Ok(Operand::Loc(local(*var, *ty))),
            Some(Binding::Operand(operand)) => return Ok(operand.clone()),
            Some(Binding::Argument { plain, ordered }) => {
                return Ok(if self.is_ordered() { ordered.clone() } else { plain.clone() });
            }
            None => {}
        }
        Ok(match self.decls.get(name) {
            Some(Def::Const(value)) => Operand::number(value),
            Some(Def::Enum(of)) => Operand::Enum(of),
            Some(Def::Value { of, value }) => Operand::Value(Value::constant(value, Ty::Enum(of))),
            Some(Def::Kind(kind)) => Operand::Kind(kind),
            Some(Def::Object { kind, number }) => Operand::object(kind, number),
            Some(Def::Family { kind, first, lo, hi }) => Operand::Family { kind, first, lo, hi },
            Some(Def::Thread(thread)) => Operand::Thread(thread),
            Some(Def::Threads { first, lo, hi }) => Operand::Threads { first, lo, hi },
            Some(Def::Var(var)) => {
                let slot = self.storage.globals[var];
                self.slot(slot, fold::constant(0), Vec::new(), false)
            }
            Some(found @ Def::Op(_)) => {
                return Err(Diagnostic::error(format!("`{name}` is {}", found.what())).at(at, "call it: `name(…)`"));
            }
            None => {
                let error = Diagnostic::error(format!("nothing is called `{name}`")).at(at, "not declared");
                return Err(match suggest(name, self.scopes.names().chain(self.decls.names())) {
                    Some(help) => error.help(help),
                    None => error.help(format!("a local variable begins with `let {name} = …`")),
                });
            }
        })
    }

    fn slot(&self, slot: SlotId, object: model::Expr, faults: Vec<Fault>, shared: bool) -> Operand {
        let found = &self.storage.slots[slot.0];
        let index = fold::binary(BinOp::Mul, object, fold::constant(found.len));
        let loc = Loc { at: Home::Slot(slot), ty: found.ty, index, faults, shared };
        if found.is_array { Operand::Array(loc, found.len) } else { Operand::Loc(loc) }
    }

    fn field(&mut self, base: &Expr, field: &Name, at: Span) -> Result<Operand> {
        let of = match self.operand(base)? {
            Operand::Thread(thread) => return self.local_of(thread, field),
            Operand::Loc(loc) => self.load(loc, base.span)?,
            Operand::Value(value) => value,
            other => {
                return Err(Diagnostic::error(format!("{} has no fields", other.what())).at(base.span, "an object is needed"));
            }
        };
        let Ty::Ref { kind, maybe } = of.ty else {
            let what = self.decls.describe(of.ty);
            return Err(Diagnostic::error(format!("{what} has no fields")).at(base.span, "an object is needed"));
        };
        let Some(number) = self.decls.kinds[kind].fields.iter().position(|f| f.name.text == field.text) else {
            let known = self.decls.kinds[kind].fields.iter().map(|f| f.name.text.as_str());
            return Err(unknown_in(&format!("field of `{}`", self.decls.kinds[kind].name), field, None, known));
        };
        let mut faults = of.faults;
        if maybe {
            let when = fold::eq(of.expr.clone(), fold::constant(0));
            faults.push(Fault { when, why: format!("`{}` is none", self.text(base.span)).into(), at });
        }
        let object = fold::binary(BinOp::Sub, of.expr.clone(), fold::constant(1));
        faults.extend(self.use_after_free(kind, &of.expr, &object, base.span, at));
        let slot = self.storage.fields[kind][number];
        Ok(self.slot(slot, object, faults, of.shared))
    }

    /// `guest.r`: a local variable of a thread's outermost block.
    fn local_of(&self, thread: usize, field: &Name) -> Result<Operand> {
        let name = &self.decls.threads[thread].name;
        if !self.in_property {
            return Err(
                Diagnostic::error(format!("local variables of `{name}` are its own")).at(field.span, "only properties see them")
            );
        }
        match self.outer.get(&(thread, field.text.clone())) {
            Some((var, ty)) => Ok(Operand::Loc(local(*var, *ty))),
            None => {
                let known = self.outer.keys().filter(|(of, _)| *of == thread).map(|(_, name)| name.as_str());
                let error = unknown_in(&format!("local variable of `{name}`"), field, None, known);
                Err(error.note("only those of the outermost block keep their values"))
            }
        }
    }

    fn element(&mut self, base: &Expr, index: &Expr, at: Span) -> Result<Operand> {
        let operand = self.operand(base)?;
        let index_value = self.value(index)?;
        let Ty::Int(..) = index_value.ty else {
            let what = self.decls.describe(index_value.ty);
            return Err(Diagnostic::error("an index is a number").at(index.span, format!("this is {what}")));
        };
        match operand {
            Operand::Array(loc, len) => {
                let mut faults = loc.faults;
                faults.extend(index_value.faults.iter().cloned());
                faults.extend(self.outside(&index_value, 0, len - 1, base, index)?);
                let index = fold::binary(BinOp::Add, loc.index, index_value.expr);
                Ok(Operand::Loc(Loc { index, faults, shared: loc.shared || index_value.shared, ..loc }))
            }
            Operand::Family { kind, first, lo, hi } => {
                let mut faults = index_value.faults.clone();
                faults.extend(self.outside(&index_value, lo, hi, base, index)?);
                let expr = fold::binary(BinOp::Add, index_value.expr, fold::constant(first - lo + 1));
                Ok(Operand::Value(Value { expr, ty: Ty::Ref { kind, maybe: false }, faults, shared: index_value.shared }))
            }
            Operand::Threads { first, lo, hi } => match index_value.expr {
                model::Expr::Const(i) if (lo..=hi).contains(&i) => Ok(Operand::Thread(first + (i - lo) as usize)),
                _ => Err(Diagnostic::error("one of the threads is needed").at(index.span, format!("a number {lo}..{hi}"))),
            },
            other => Err(Diagnostic::error(format!("{} has no elements", other.what())).at(at, "an array or a family is needed")),
        }
    }

    /// The fault of an index outside its range; a diagnostic if it always is.
    fn outside(&self, index: &Value, lo: i32, hi: i32, base: &Expr, at: &Expr) -> Result<Option<Fault>> {
        let when = beyond(index, lo, hi);
        if fold::is_true(&when) {
            return Err(Diagnostic::error(format!("`{}` has elements {lo} to {hi}", self.text(base.span))).at(at.span, "outside"));
        }
        let why = format!("`{}` is not an element of `{}` ({lo}..{hi})", self.text(at.span), self.text(base.span));
        Ok((!fold::is_false(&when)).then(|| Fault { when, why: why.into(), at: at.span }))
    }

    /// Loads a place.
    pub(super) fn load(&mut self, loc: Loc, at: Span) -> Result<Value> {
        let (expr, shared) = match loc.at {
            Home::Local(var) => (fold::read(var, loc.index), loc.shared),
            Home::Slot(slot) => {
                let var = self.storage.slots[slot.0].var;
                if self.is_ordered() || !loc.ty.is_plain() {
                    (fold::read(var, loc.index), true)
                } else {
                    self.usage.loads.insert((self.thread, slot));
                    (self.memory.load(self.thread, slot, var, &loc.index), true)
                }
            }
        };
        let value = Value { expr, ty: loc.ty, faults: loc.faults, shared };
        limits::check(&value, at)?;
        Ok(value)
    }
}

fn local(var: VarId, ty: Ty) -> Loc {
    Loc { at: Home::Local(var), ty, index: fold::constant(0), faults: Vec::new(), shared: false }
}

/// When a number is outside a range, as far as its own range leaves that open.
pub(super) fn beyond(value: &Value, lo: i32, hi: i32) -> model::Expr {
    let Ty::Int(least, most) = value.ty else { return fold::truth(false) };
    if let model::Expr::Const(known) = value.expr {
        return fold::truth(!(lo..=hi).contains(&known));
    }
    let below = if least < lo { fold::binary(BinOp::Lt, value.expr.clone(), fold::constant(lo)) } else { fold::truth(false) };
    let above = if most > hi { fold::binary(BinOp::Gt, value.expr.clone(), fold::constant(hi)) } else { fold::truth(false) };
    fold::or(below, above)
}
