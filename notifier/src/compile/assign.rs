//! Values and where they go: `let`, assignments, and the values that take more than a look.

use super::{
    builtin,
    flow::{Choice, Fault},
    fold,
    operand::{Home, Loc, Operand, Value, beyond},
    scope::Binding,
    storage::SlotId,
    ty::Ty,
    unit::{Result, Unit},
};
use crate::{
    lang::{
        Diagnostic, Span,
        ast::{AssignOp, Domain, Expr, ExprKind, Name, Type},
    },
    model::{self, Action, BinOp, VarId},
};

/// A value that takes more than a look.
pub(super) enum Special {
    /// `any …`
    Any(Vec<Value>, Ty),
    /// `alloc(kind)`
    Alloc(usize),
    /// `trylock(l)`, …: true or false, and something happens.
    Act(builtin::Act),
    /// `load_acquire(place)`: the value, and what happens after it was read.
    Acquire(Value, Vec<Action>),
    /// An operation was expanded: its result.
    Result(VarId, Ty),
    /// Nothing of these.
    Pure,
}

impl Special {
    /// The type of a variable that takes it.
    fn ty(&self) -> Option<Ty> {
        match self {
            Self::Any(_, ty) | Self::Result(_, ty) => Some(*ty),
            Self::Alloc(kind) => Some(Ty::Ref { kind: *kind, maybe: true }),
            Self::Act(_) => Some(Ty::Bool),
            Self::Acquire(value, _) => Some(value.ty),
            Self::Pure => None,
        }
    }
}

impl Unit<'_> {
    pub(super) fn declare(&mut self, name: &Name, ty: Option<&Type>, value: Option<&Expr>, at: Span) -> Result<()> {
        let declared = match ty {
            Some(ty) => Some(self.decls.ty(ty)?),
            None => None,
        };
        if let Some(ty) = declared.filter(|ty| !ty.is_plain()) {
            let what = self.decls.describe(ty);
            return Err(Diagnostic::error(format!("{what} cannot be local")).at(at, "declare it at the top level"));
        }
        let Some(value) = value else {
            let Some(ty) = declared else {
                return Err(Diagnostic::error("a type or a value is needed").at(at, "neither is given"));
            };
            // It begins anew, even where a jump leads back to here.
            let var = self.bind_local(name, ty);
            self.reset(&[var]);
            return Ok(());
        };
        let special = self.special(value)?;
        let plain = if let Special::Pure = special { Some(self.value(value)?) } else { None };
        let ty = declared.unwrap_or_else(|| special.ty().or(plain.as_ref().map(|plain| plain.ty)).unwrap_or(Ty::None));
        let loc = self.new_local(name, ty, at)?;
        match plain {
            Some(plain) => self.store(loc, plain, at, &[]),
            None => self.take(special, loc, at),
        }
    }

    fn new_local(&mut self, name: &Name, ty: Ty, at: Span) -> Result<Loc> {
        if ty == Ty::None {
            return Err(Diagnostic::error("the type of `none` is open")
                .at(at, "an object of which kind?")
                .help(format!("say it: `let {}: page? = none`", name.text)));
        }
        let var = self.bind_local(name, ty);
        Ok(Loc { at: Home::Local(var), ty, index: fold::constant(0), faults: Vec::new(), shared: false })
    }

    fn bind_local(&mut self, name: &Name, ty: Ty) -> VarId {
        let var = self.local(&name.text, name.span, ty);
        if self.scopes.is_outermost() {
            self.outer.insert((self.thread, name.text.clone()), (var, ty));
        }
        self.scopes.bind(&name.text, Binding::Local(var, ty));
        var
    }

    pub(super) fn assign(&mut self, place: &Expr, how: AssignOp, value: Option<&Expr>, at: Span) -> Result<()> {
        if let (AssignOp::Set, Some(value)) = (how, value) {
            match self.special(value)? {
                Special::Pure => {}
                special @ Special::Act(_) => {
                    let loc = self.ordered(|unit| unit.place(place))?;
                    return self.take(special, loc, at);
                }
                special => {
                    let loc = self.place(place)?;
                    return self.take(special, loc, at);
                }
            }
        }
        let loc = self.place(place)?;
        let one = Value::constant(1, Ty::Int(1, 1));
        let given = match value {
            Some(value) => self.value(value)?,
            None => one,
        };
        let op = match how {
            AssignOp::Set => return self.store(loc, given, at, &[]),
            AssignOp::Add | AssignOp::Increment => BinOp::Add,
            AssignOp::Sub | AssignOp::Decrement => BinOp::Sub,
        };
        let old = self.load(loc.clone(), at)?;
        let new = self.arithmetic(op, old, given, at)?;
        self.store(loc, new, at, &[])
    }

    /// Stores a value that takes more than a look.
    fn take(&mut self, special: Special, loc: Loc, at: Span) -> Result<()> {
        match special {
            Special::Any(values, _) => self.take_any(values, &loc, at),
            Special::Alloc(kind) => builtin::object::alloc(self, kind, &loc, at),
            Special::Act(act) => self.act_into(act, &loc, at),
            Special::Acquire(value, refresh) => self.store(loc, value, at, &refresh),
            Special::Result(var, ty) => {
                let value = Value { expr: fold::read(var, fold::constant(0)), ty, faults: Vec::new(), shared: false };
                self.store(loc, value, at, &[])?;
                self.reset(&[var]);
                Ok(())
            }
            // The caller has seen to that.
            Special::Pure => Ok(()),
        }
    }

    /// Stores any value: that of an operation which returns one.
    pub(super) fn assign_value(&mut self, value: &Expr, loc: Loc, at: Span) -> Result<()> {
        match self.special(value)? {
            Special::Pure => {
                let value = self.value(value)?;
                self.store(loc, value, at, &[])
            }
            special => self.take(special, loc, at),
        }
    }

    /// Makes a value fit a type, or fails where it does not.
    pub(super) fn convert(&mut self, mut value: Value, ty: Ty, at: Span) -> Result<Value> {
        if !ty.meets(value.ty) {
            let (to, from) = (self.decls.describe(ty), self.decls.describe(value.ty));
            return Err(Diagnostic::error(format!("{to} is needed here")).at(at, format!("this gives {from}")));
        }
        let (when, why) = match (ty, value.ty) {
            (Ty::Int(lo, hi), Ty::Int(low, high)) => {
                let wider = format!("give the variable the range {}..{}", lo.min(low), hi.max(high));
                let when = beyond(&value, lo, hi);
                if fold::is_true(&when) {
                    let known = self.decls.describe(value.ty);
                    return Err(Diagnostic::error(format!("{known} does not fit {lo}..{hi}")).at(at, "too narrow").help(wider));
                }
                if lo == hi && !fold::is_false(&when) {
                    return Err(Diagnostic::error(format!("the variable can be nothing but {lo}"))
                        .at(at, "may give another number")
                        .note("a local variable without a type has that of its first value")
                        .help(wider));
                }
                (when, format!("`{}` leaves the range {lo}..{hi}", self.text(at)))
            }
            (Ty::Ref { maybe: false, .. }, Ty::None) => {
                return Err(Diagnostic::error(format!("{} is never none", self.decls.describe(ty)))
                    .at(at, "this gives none")
                    .help("add a `?` to its type"));
            }
            (Ty::Ref { maybe: false, .. }, Ty::Ref { maybe: true, .. }) => {
                (fold::eq(value.expr.clone(), fold::constant(0)), format!("`{}`: none where an object is needed", self.text(at)))
            }
            _ => return Ok(value),
        };
        if !fold::is_false(&when) {
            value.faults.push(Fault { when, why: why.into(), at });
        }
        value.ty = ty;
        Ok(value)
    }

    /// Stores a value; `after` happens together with it.
    pub(super) fn store(&mut self, loc: Loc, value: Value, at: Span, after: &[Action]) -> Result<()> {
        if !loc.ty.is_plain() {
            let what = self.decls.describe(loc.ty);
            return Err(Diagnostic::error(format!("{what} cannot be assigned")).at(at, "use its operations"));
        }
        let value = self.convert(value, loc.ty, at)?;
        let shared = value.shared || loc.shared || !after.is_empty();
        let mut faults = loc.faults;
        faults.extend(value.faults);
        let slot = match loc.at {
            Home::Local(var) => {
                let mut actions = vec![Action::Set(fold::place(var, loc.index), value.expr)];
                actions.extend_from_slice(after);
                if shared {
                    self.step(faults, actions, at);
                } else {
                    self.local_work(faults.into_iter().map(Fault::action).chain(actions).collect());
                }
                return Ok(());
            }
            Home::Slot(slot) => slot,
        };
        let var = self.storage.slots[slot.0].var;
        let (guard, mut actions) = if self.is_ordered() {
            (fold::truth(true), self.write(slot, var, loc.index, value.expr))
        } else {
            self.usage.stores.insert((self.thread, slot));
            self.memory.store(self.thread, slot, var, &loc.index, value.expr, false)
        };
        actions.extend_from_slice(after);
        self.waiting_step(guard, Vec::new(), faults, actions, at);
        Ok(())
    }

    /// Writes memory itself: what ordered steps do.
    pub(super) fn write(&mut self, slot: SlotId, var: VarId, index: model::Expr, value: model::Expr) -> Vec<Action> {
        self.usage.writes.insert((self.thread, slot));
        // The thread's own copy first: the value may be read from memory.
        let mut actions = Vec::new();
        if let Some(copy) = self.memory.copy(self.thread, slot) {
            actions.push(Action::Set(fold::place(copy, index.clone()), value.clone()));
        }
        actions.push(Action::Set(fold::place(var, index), value));
        actions
    }

    /// Writes a place within an ordered step.
    pub(super) fn write_loc(&mut self, loc: &Loc, value: model::Expr) -> Vec<Action> {
        match loc.at {
            Home::Local(var) => vec![Action::Set(fold::place(var, loc.index.clone()), value)],
            Home::Slot(slot) => {
                let var = self.storage.slots[slot.0].var;
                self.write(slot, var, loc.index.clone(), value)
            }
        }
    }

    /// Evaluates something of an ordered step: its loads read memory itself.
    pub(super) fn ordered<T>(&mut self, evaluate: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.reads_memory, true);
        let result = evaluate(self);
        self.reads_memory = before;
        result
    }

    /// A step that takes any of the values: a plain store of one of them.
    fn take_any(&mut self, values: Vec<Value>, loc: &Loc, at: Span) -> Result<()> {
        self.not_in_atomic("`any`", at)?;
        let next = self.graph.hole();
        let mut choices = Vec::new();
        for value in values {
            let value = self.convert(value, loc.ty, at)?;
            let mut actions: Vec<Action> = loc.faults.iter().cloned().chain(value.faults).map(Fault::action).collect();
            let (guard, stores) = match loc.at {
                Home::Local(_) => (fold::truth(true), self.write_loc(loc, value.expr)),
                Home::Slot(slot) => {
                    self.usage.stores.insert((self.thread, slot));
                    let var = self.storage.slots[slot.0].var;
                    self.memory.store(self.thread, slot, var, &loc.index, value.expr, false)
                }
            };
            actions.extend(stores);
            choices.push(Choice { guard, faults: Vec::new(), actions, next, text: None });
        }
        let text = self.text(at);
        self.graph.choices(choices, text, at);
        self.graph.move_to(next);
        Ok(())
    }

    fn act_into(&mut self, act: builtin::Act, loc: &Loc, at: Span) -> Result<()> {
        if loc.shared {
            return Err(Diagnostic::error("where the result goes may change in the same step")
                .at(at, "looked up in what others see")
                .help("put the result into a local variable first"));
        }
        let yes = self.convert(Value::constant(1, Ty::Bool), loc.ty, at)?;
        let mut then = act.yes;
        then.extend(self.write_loc(loc, yes.expr));
        let mut otherwise = act.no;
        otherwise.extend(self.write_loc(loc, fold::constant(0)));
        let faults = loc.faults.iter().cloned().chain(act.faults).collect();
        self.ordered_step(fold::truth(true), Vec::new(), faults, vec![Action::If(act.condition, then, otherwise)], at);
        Ok(())
    }

    /// What may stand as a whole value only.
    pub(super) fn special(&mut self, expr: &Expr) -> Result<Special> {
        match &expr.kind {
            ExprKind::Any(domain) => {
                let values = self.any_of(domain)?;
                let ty = values.iter().map(|value| value.ty).reduce(|a, b| match (a, b) {
                    (Ty::Int(al, ah), Ty::Int(bl, bh)) => Ty::Int(al.min(bl), ah.max(bh)),
                    (a, _) => a,
                });
                match ty {
                    Some(ty) => Ok(Special::Any(values, ty)),
                    None => Err(Diagnostic::error("nothing to choose from").at(expr.span, "empty")),
                }
            }
            ExprKind::Call(name, args) => match self.op(&name.text) {
                Some(op) => self.result_of(op, name, args, expr.span),
                None => builtin::special(self, name, args, expr.span),
            },
            // An operation without parameters is called by its name, here as well.
            ExprKind::Name(text) if self.scopes.get(text).is_none() => match self.op(text) {
                Some(op) => self.result_of(op, &Name { text: text.clone(), span: expr.span }, &[], expr.span),
                None => Ok(Special::Pure),
            },
            _ => Ok(Special::Pure),
        }
    }

    fn result_of(&mut self, op: usize, name: &Name, args: &[Expr], at: Span) -> Result<Special> {
        match self.expand(op, name, args, at)? {
            Some((var, ty)) => Ok(Special::Result(var, ty)),
            None => Err(Diagnostic::error(format!("`{}` returns nothing", name.text))
                .at(at, "a value is needed here")
                .help(format!("say what it returns: `op {}(…): bool`", name.text))),
        }
    }

    fn any_of(&mut self, domain: &Domain) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        for member in self.members(domain)? {
            if let Operand::Value(value) = member {
                values.push(value);
            }
        }
        Ok(values)
    }
}
