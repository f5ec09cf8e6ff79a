//! Objects that come and go: `alloc`, `free`, `free_rcu`, `live`, and the check of every access.

use super::{arguments, rcu::sections};
use crate::{
    compile::{
        decl::unknown,
        flow::{Choice, Fault},
        fold,
        operand::{Loc, Operand, Value},
        storage::Lifetime,
        ty::Ty,
        unit::{Result, Unit},
    },
    lang::{
        Diagnostic, Span,
        ast::{Expr, ExprKind, Name},
    },
    model::{self, Action, BinOp, VarId},
};

/// The kind that `alloc(kind)` names.
pub(super) fn kind_of(unit: &mut Unit<'_>, args: &[Expr], at: Span) -> Result<usize> {
    let [arg] = arguments("alloc", args, at)?;
    if let ExprKind::Name(text) = &arg.kind
        && unit.decls.get(text).is_none()
    {
        let kinds = unit.decls.kinds.iter().map(|kind| kind.name);
        return Err(unknown("kind", &Name { text: text.clone(), span: arg.span }, None, kinds));
    }
    match unit.operand(arg)? {
        Operand::Kind(kind) => Ok(kind),
        _ => Err(Diagnostic::error("a kind is needed here").at(arg.span, "as in `let p = alloc(page)`")),
    }
}

/// Takes any free object; waits while there is none.
pub(in crate::compile) fn alloc(unit: &mut Unit<'_>, kind: usize, loc: &Loc, at: Span) -> Result<()> {
    unit.not_in_atomic("`alloc`", at)?;
    unit.usage.lifetimes.insert(kind);
    let Some(Lifetime { live, .. }) = unit.storage.lifetimes[kind] else {
        let name = unit.decls.kinds[kind].name;
        return Err(Diagnostic::error(format!("there is no `{name}` to allocate"))
            .at(at, "none is declared")
            .help(format!("declare one that is not allocated yet: `{name} new free`")));
    };
    let next = unit.graph.hole();
    let (drained, refresh) = unit.barrier();
    let mut choices = Vec::new();
    for object in 0..unit.decls.kinds[kind].objects.len() as i32 {
        let taken = Value::constant(object + 1, Ty::Ref { kind, maybe: false });
        let taken = unit.convert(taken, loc.ty, at)?;
        let mut actions: Vec<Action> = loc.faults.iter().cloned().map(Fault::action).collect();
        actions.extend(refresh.iter().cloned());
        actions.push(Action::Set(fold::place(live, fold::constant(object)), fold::truth(true)));
        if !unit.decls.kinds[kind].typesafe {
            actions.extend(fresh(unit, kind, object));
        }
        actions.extend(unit.write_loc(loc, taken.expr));
        let guard = fold::and(drained.clone(), fold::not(fold::read(live, fold::constant(object))));
        choices.push(Choice { guard, faults: Vec::new(), actions, next, text: None });
    }
    let text = unit.text(at);
    unit.graph.choices(choices, text, at);
    unit.graph.move_to(next);
    Ok(())
}

/// Every field of an object has its first value again, for the thread that allocates it as well.
fn fresh(unit: &mut Unit<'_>, kind: usize, object: i32) -> Vec<Action> {
    let mut actions = Vec::new();
    for id in unit.storage.fields[kind].clone() {
        let slot = unit.storage.slots[id.0].clone();
        // The object's elements of a variable, with their first values.
        let first = |var: VarId, each: i32| -> Vec<(model::Expr, model::Expr)> {
            let elements = unit.storage.vars[var.0 as usize].elements.iter().zip(0..);
            let its = elements.skip((object * each) as usize).take(each as usize);
            its.map(|(element, i)| (fold::constant(i), fold::constant(element.init))).collect()
        };
        let set =
            |var: VarId, each: i32| first(var, each).into_iter().map(move |(i, value)| Action::Set(fold::place(var, i), value));
        match slot.ty {
            Ty::List(of) => {
                let members = unit.decls.kinds[of].objects.len().max(1) as i32;
                actions.extend(set(slot.var, slot.len * members));
            }
            Ty::Lock(_) => {
                actions.extend(set(slot.var, slot.len));
                if let Some(readers) = slot.readers {
                    actions.extend(set(readers, slot.len * unit.storage.threads as i32));
                }
            }
            _ => {
                for (i, value) in first(slot.var, slot.len) {
                    actions.extend(unit.write(id, slot.var, i, value));
                }
            }
        }
    }
    actions
}

pub(super) fn free(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<()> {
    let [arg] = arguments(&name.text, args, at)?;
    let (value, kind) = unit.ordered(|unit| unit.object(arg, None))?;
    unit.usage.lifetimes.insert(kind);
    let Some(lifetime) = unit.storage.lifetimes[kind] else { return Ok(()) };
    let object = fold::binary(BinOp::Sub, value.expr, fold::constant(1));
    let of = |var: VarId| fold::read(var, object.clone());
    let gone = fold::or(fold::not(of(lifetime.live)), lifetime.dying.map_or(fold::truth(false), of));
    let mut faults = value.faults;
    faults.push(Fault { when: gone, why: format!("`{}` is freed twice", unit.text(arg.span)).into(), at });
    let bury = Action::Set(fold::place(lifetime.live, object.clone()), fold::truth(false));
    // The fields of what is freed can be read by nobody, unless the kind is typesafe: that they differ is of no interest.
    let mut actions = Vec::new();
    let threads = fold::constant(unit.storage.threads as i32);
    let note = |unit: &Unit<'_>| -> Vec<Action> {
        let (Some(nesting), Some(grace)) = (unit.storage.nesting, lifetime.grace) else { return Vec::new() };
        let first = fold::binary(BinOp::Mul, object.clone(), threads.clone());
        sections(unit, nesting)
            .map(|(i, inside)| {
                Action::Set(fold::place(grace, fold::binary(BinOp::Add, first.clone(), fold::constant(i))), inside)
            })
            .collect()
    };
    if name.text == "free_rcu" {
        unit.usage.rcu = true;
        unit.usage.deferred.insert(kind);
        let (Some(nesting), Some(dying)) = (unit.storage.nesting, lifetime.dying) else { return Ok(()) };
        let busy = fold::any(sections(unit, nesting).map(|(_, inside)| inside));
        let mut wait = note(unit);
        wait.push(Action::Set(fold::place(dying, object.clone()), fold::truth(true)));
        actions.push(Action::If(busy, wait, vec![bury]));
    } else {
        if unit.decls.kinds[kind].typesafe {
            actions.extend(note(unit));
        }
        actions.push(bury);
    }
    unit.ordered_step(fold::truth(true), Vec::new(), faults, actions, at);
    Ok(())
}

/// `live(p)`.
pub(super) fn is_live(unit: &mut Unit<'_>, args: &[Expr], at: Span) -> Result<Value> {
    let [arg] = arguments("live", args, at)?;
    let (value, kind) = unit.object(arg, None)?;
    let object = fold::binary(BinOp::Sub, value.expr, fold::constant(1));
    let expr = unit.storage.lifetimes[kind].map_or(fold::truth(true), |lifetime| fold::read(lifetime.live, object));
    Ok(Value { expr, ty: Ty::Bool, faults: value.faults, shared: true })
}

impl Unit<'_> {
    /// The fault of looking at an object that is free; properties may look at anything.
    pub(in crate::compile) fn use_after_free(
        &self,
        kind: usize,
        reference: &model::Expr,
        object: &model::Expr,
        name: Span,
        at: Span,
    ) -> Option<Fault> {
        let lifetime = self.storage.lifetimes[kind].filter(|_| !self.in_property)?;
        let mut when = fold::not(fold::read(lifetime.live, object.clone()));
        if let (true, Some(grace)) = (self.decls.kinds[kind].typesafe, lifetime.grace) {
            let first = fold::binary(BinOp::Mul, object.clone(), fold::constant(self.storage.threads as i32));
            let mine = fold::binary(BinOp::Add, first, fold::constant(self.thread as i32));
            when = fold::and(when, fold::not(fold::read(grace, mine)));
        }
        let when = fold::and(fold::ne(reference.clone(), fold::constant(0)), when);
        Some(Fault { when, why: format!("use after free: `{}` is free", self.text(name)).into(), at })
    }
}
