//! RCU read sections and grace periods.
//!
//! A thread counts its nested sections. Whoever waits for a grace period notes who is inside a section, and is through when all of
//! these have left it once; an object that is freed after a grace period (see [`super::object`]) keeps the same notes.

use super::{arguments, lock};
use crate::{
    compile::{
        flow::Fault,
        fold,
        storage::DEEPEST,
        unit::{Result, Unit},
    },
    lang::{
        Span,
        ast::{Expr, Name},
    },
    model::{self, Action, BinOp, VarId},
};

pub(super) fn statement(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<()> {
    let [] = arguments(&name.text, args, at)?;
    if name.text == "might_sleep" {
        let faults = sleeping(unit, at).into_iter().collect();
        unit.step(faults, Vec::new(), at);
        return Ok(());
    }
    unit.usage.rcu = true;
    let Some(nesting) = unit.storage.nesting else { return Ok(()) };
    let me = fold::constant(unit.thread as i32);
    let mine = fold::read(nesting, me.clone());
    match name.text.as_str() {
        "rcu_read_lock" => {
            let when = fold::eq(mine.clone(), fold::constant(DEEPEST));
            let why = format!("RCU read sections nest deeper than {DEEPEST}").into();
            let deeper = fold::binary(BinOp::Add, mine, fold::constant(1));
            let actions = vec![Action::Set(fold::place(nesting, me), deeper)];
            unit.ordered_step(fold::truth(true), Vec::new(), vec![Fault { when, why, at }], actions, at);
        }
        "rcu_read_unlock" => {
            let when = fold::eq(mine.clone(), fold::constant(0));
            let why = "rcu_read_unlock outside a read section".into();
            let less = fold::binary(BinOp::Sub, mine.clone(), fold::constant(1));
            let outermost = fold::eq(mine, fold::constant(0));
            let left = leave(unit);
            let mut actions = vec![Action::Set(fold::place(nesting, me), less)];
            if !left.is_empty() {
                actions.push(Action::If(outermost, left, Vec::new()));
            }
            unit.ordered_step(fold::truth(true), Vec::new(), vec![Fault { when, why, at }], actions, at);
        }
        _ => {
            unit.not_in_atomic("`synchronize_rcu`", at)?;
            unit.usage.synchronizes.insert(unit.thread);
            let Some(waiting) = unit.storage.waiting[unit.thread] else { return Ok(()) };
            let faults: Vec<Fault> = sleeping(unit, at).into_iter().collect();
            let note = sections(unit, nesting).map(|(i, inside)| Action::Set(fold::place(waiting, fold::constant(i)), inside));
            let note = note.collect();
            unit.ordered_step(fold::truth(true), Vec::new(), faults, note, at);
            let through = fold::all((0..unit.storage.threads as i32).map(|i| fold::not(fold::read(waiting, fold::constant(i)))));
            unit.ordered_step(through, Vec::new(), Vec::new(), Vec::new(), at);
        }
    }
    Ok(())
}

/// For each thread, whether it is inside a read section.
pub(super) fn sections(unit: &Unit<'_>, nesting: VarId) -> impl Iterator<Item = (i32, model::Expr)> + use<> {
    (0..unit.storage.threads as i32).map(move |i| (i, fold::ne(fold::read(nesting, fold::constant(i)), fold::constant(0))))
}

/// What happens when the thread leaves its outermost section: nobody waits for it any more.
fn leave(unit: &Unit<'_>) -> Vec<Action> {
    let clear = |var: VarId, index: i32| Action::Set(fold::place(var, fold::constant(index)), fold::truth(false));
    let mut actions: Vec<Action> = unit.storage.waiting.iter().flatten().map(|var| clear(*var, unit.thread as i32)).collect();
    let threads = unit.storage.threads as i32;
    for (kind, lifetime) in unit.storage.lifetimes.iter().enumerate() {
        let Some(lifetime) = lifetime else { continue };
        let Some(grace) = lifetime.grace else { continue };
        for object in 0..unit.decls.kinds[kind].objects.len() as i32 {
            actions.push(clear(grace, object * threads + unit.thread as i32));
            if let Some(dying) = lifetime.dying {
                let object_place = |var| fold::place(var, fold::constant(object));
                let noted = (0..threads).map(|t| fold::not(fold::read(grace, fold::constant(object * threads + t))));
                let over = fold::and(fold::read(dying, fold::constant(object)), fold::all(noted));
                let end = [dying, lifetime.live].map(|var| Action::Set(object_place(var), fold::truth(false)));
                actions.push(Action::If(over, end.to_vec(), Vec::new()));
            }
        }
    }
    actions
}

/// Sleeping where nobody may.
pub(super) fn sleeping(unit: &Unit<'_>, at: Span) -> Vec<Fault> {
    let spinning = lock::spinning(unit);
    let inside = match (unit.storage.nesting, unit.known) {
        (Some(nesting), Some(_)) => fold::ne(fold::read(nesting, fold::constant(unit.thread as i32)), fold::constant(0)),
        _ => fold::truth(false),
    };
    let text = unit.text(at);
    let found = [(spinning, "while holding a spinning lock"), (inside, "inside an RCU read section")];
    let faults = found.into_iter().filter(|(when, _)| !fold::is_false(when));
    faults.map(|(when, how)| Fault { when, why: format!("`{text}` sleeps {how}").into(), at }).collect()
}

/// Ending inside a read section.
pub(super) fn at_end(unit: &Unit<'_>) -> Option<Fault> {
    let nesting = unit.storage.nesting?;
    let decl = &unit.decls.threads[unit.thread];
    let when = fold::ne(fold::read(nesting, fold::constant(unit.thread as i32)), fold::constant(0));
    Some(Fault { when, why: format!("`{}` ends inside an RCU read section", decl.name).into(), at: decl.body.span })
}
