//! Barriers, acquire and release. Under `sc` they take no step: there is nothing to order.

use super::arguments;
use crate::{
    compile::{
        assign::Special,
        flow::Fault,
        fold,
        operand::Home,
        unit::{Result, Unit},
    },
    lang::{
        Diagnostic, Span,
        ast::{Expr, Name},
    },
};

pub(super) fn statement(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<()> {
    if name.text == "store_release" {
        return release(unit, args, at);
    }
    let [] = arguments(&name.text, args, at)?;
    if unit.atomic.is_some() {
        return Ok(());
    }
    let (guard, actions) = match name.text.as_str() {
        "smp_wmb" => (fold::truth(true), unit.memory.write_barrier(unit.thread)),
        "smp_rmb" => (fold::truth(true), unit.memory.refresh_all(unit.thread)),
        _ => unit.memory.full_barrier(unit.thread),
    };
    if !(fold::is_true(&guard) && actions.is_empty()) {
        unit.waiting_step(guard, Vec::new(), Vec::new(), actions, at);
    }
    Ok(())
}

fn release(unit: &mut Unit<'_>, args: &[Expr], at: Span) -> Result<()> {
    let [place, value] = arguments("store_release", args, at)?;
    let loc = unit.place(place)?;
    let value = unit.value(value)?;
    let Home::Slot(slot) = loc.at else {
        return Err(Diagnostic::error("nobody else sees a local variable").at(place.span, "use `=`"));
    };
    if !loc.ty.is_plain() {
        let what = unit.decls.describe(loc.ty);
        return Err(Diagnostic::error(format!("{what} cannot be assigned")).at(place.span, "use its operations"));
    }
    if unit.is_ordered() {
        return unit.store(loc, value, at, &[]);
    }
    let value = unit.convert(value, loc.ty, at)?;
    let faults: Vec<Fault> = loc.faults.into_iter().chain(value.faults).collect();
    unit.usage.stores.insert((unit.thread, slot));
    let var = unit.storage.slots[slot.0].var;
    let (guard, actions) = unit.memory.store(unit.thread, slot, var, &loc.index, value.expr, true);
    unit.waiting_step(guard, Vec::new(), faults, actions, at);
    Ok(())
}

/// `load_acquire(place)`: what is loaded later is not older.
pub(super) fn acquire(unit: &mut Unit<'_>, args: &[Expr], at: Span) -> Result<Special> {
    let [place] = arguments("load_acquire", args, at)?;
    let loc = unit.place(place)?;
    if !loc.ty.is_plain() {
        let what = unit.decls.describe(loc.ty);
        return Err(Diagnostic::error(format!("{what} has no value")).at(place.span, "cannot be loaded"));
    }
    let value = unit.load(loc, place.span)?;
    let refresh = unit.memory.refresh_all(unit.thread);
    Ok(Special::Acquire(value, refresh))
}
