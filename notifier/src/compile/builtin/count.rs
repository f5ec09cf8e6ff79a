//! Reference counts and compare-and-swap: one atomic step each, ordered against everything around it.

use super::{Act, arguments};
use crate::{
    compile::{
        flow::Fault,
        fold,
        operand::{Loc, Value},
        ty::Ty,
        unit::{Result, Unit},
    },
    lang::{Diagnostic, Span, ast::Expr},
    model::BinOp,
};

/// A reference count: its place, and its value as memory has it.
fn counter(unit: &mut Unit<'_>, name: &str, args: &[Expr], at: Span) -> Result<(Loc, Value)> {
    let [arg] = arguments(name, args, at)?;
    let loc = unit.ordered(|unit| unit.place(arg))?;
    let Ty::Int(0, _) = loc.ty else {
        let what = unit.decls.describe(loc.ty);
        return Err(Diagnostic::error("a reference count is needed here")
            .at(arg.span, format!("this is {what}"))
            .help("declare it from 0: `refs: 0..3`"));
    };
    let value = unit.ordered(|unit| unit.load(loc.clone(), arg.span))?;
    Ok((loc, value))
}

/// The count, one up or down.
fn moved(unit: &mut Unit<'_>, op: BinOp, loc: &Loc, value: Value, at: Span) -> Result<Value> {
    let one = Value::constant(1, Ty::Int(1, 1));
    let moved = unit.arithmetic(op, value, one, at)?;
    unit.convert(moved, loc.ty, at)
}

pub(super) fn get(unit: &mut Unit<'_>, args: &[Expr], at: Span) -> Result<()> {
    let (loc, value) = counter(unit, "get", args, at)?;
    let when = fold::eq(value.expr.clone(), fold::constant(0));
    let up = moved(unit, BinOp::Add, &loc, value, at)?;
    let why = format!("`{}`: a reference is taken where none is left", unit.text(at)).into();
    let mut faults = up.faults;
    faults.push(Fault { when, why, at });
    let actions = unit.write_loc(&loc, up.expr);
    unit.ordered_step(fold::truth(true), Vec::new(), faults, actions, at);
    Ok(())
}

pub(super) fn put(unit: &mut Unit<'_>, args: &[Expr], at: Span) -> Result<Act> {
    let (loc, value) = counter(unit, "put", args, at)?;
    let last = fold::eq(value.expr.clone(), fold::constant(1));
    let when = fold::eq(value.expr.clone(), fold::constant(0));
    let why = format!("`{}`: a reference is given back where none is left", unit.text(at)).into();
    let faults = loc.faults.iter().cloned().chain([Fault { when, why, at }]).collect();
    let down = fold::binary(BinOp::Sub, value.expr, fold::constant(1));
    let actions = unit.write_loc(&loc, down);
    Ok(Act { faults, condition: last, yes: actions.clone(), no: actions })
}

pub(super) fn tryget(unit: &mut Unit<'_>, args: &[Expr], at: Span) -> Result<Act> {
    let (loc, value) = counter(unit, "tryget", args, at)?;
    let some = fold::ne(value.expr.clone(), fold::constant(0));
    let up = moved(unit, BinOp::Add, &loc, value, at)?;
    let yes = unit.write_loc(&loc, up.expr);
    Ok(Act { faults: up.faults, condition: some, yes, no: Vec::new() })
}

pub(super) fn cas(unit: &mut Unit<'_>, args: &[Expr], at: Span) -> Result<Act> {
    let [place, old, new] = arguments("cas", args, at)?;
    let loc = unit.ordered(|unit| unit.place(place))?;
    let (found, old, new) =
        unit.ordered(|unit| -> Result<_> { Ok((unit.load(loc.clone(), place.span)?, unit.value(old)?, unit.value(new)?)) })?;
    if !found.ty.meets(old.ty) {
        let (a, b) = (unit.decls.describe(found.ty), unit.decls.describe(old.ty));
        return Err(Diagnostic::error("these two cannot be equal").at(at, format!("{a} and {b}")));
    }
    let condition = fold::eq(found.expr, old.expr);
    let computed = new.faults.len();
    let mut new = unit.convert(new, loc.ty, at)?;
    // A value that is not stored need not fit.
    for fault in &mut new.faults[computed..] {
        fault.when = fold::and(condition.clone(), fault.when.clone());
    }
    let faults = found.faults.into_iter().chain(old.faults).chain(new.faults).collect();
    let yes = unit.write_loc(&loc, new.expr);
    Ok(Act { faults, condition, yes, no: Vec::new() })
}
