//! Mutexes, spin locks, and locks with readers.
//!
//! A lock is the number of the thread that holds it (0: nobody), and for readers one flag for each thread. Writers are not
//! preferred: a reader can always join readers.

use super::{Act, arguments};
use crate::{
    compile::{
        flow::Fault,
        fold,
        operand::{Home, Loc, Value},
        storage::SlotId,
        ty::{LockKind, Ty},
        unit::{Result, Unit},
    },
    lang::{
        Diagnostic, Span,
        ast::{Expr, Name},
    },
    model::{self, Action, BinOp, VarId},
};

/// A lock that an operation works on.
struct Lock {
    slot: SlotId,
    kind: LockKind,
    owner: VarId,
    readers: Option<VarId>,
    index: model::Expr,
    faults: Vec<Fault>,
    /// As written.
    name: String,
}

impl Lock {
    fn of(unit: &mut Unit<'_>, expr: &Expr) -> Result<Self> {
        let loc = unit.ordered(|unit| unit.place(expr))?;
        let Loc { at: Home::Slot(slot), ty: Ty::Lock(kind), index, faults, .. } = loc else {
            return Err(Diagnostic::error("a lock is needed here")
                .at(expr.span, format!("this is {}", unit.decls.describe(loc.ty)))
                .help("locks are `spin`, `mutex`, `rwlock` and `rwsem`"));
        };
        let (owner, readers) = (unit.storage.slots[slot.0].var, unit.storage.slots[slot.0].readers);
        Ok(Self { slot, kind, owner, readers, index, faults, name: unit.text(expr.span) })
    }

    fn owner(&self) -> model::Expr {
        fold::read(self.owner, self.index.clone())
    }

    fn reader_place(&self, unit: &Unit<'_>, thread: usize) -> Option<(VarId, model::Expr)> {
        let threads = fold::constant(unit.storage.threads as i32);
        let first = fold::binary(BinOp::Mul, self.index.clone(), threads);
        self.readers.map(|readers| (readers, fold::binary(BinOp::Add, first, fold::constant(thread as i32))))
    }

    fn reads(&self, unit: &Unit<'_>, thread: usize) -> model::Expr {
        self.reader_place(unit, thread).map_or(fold::truth(false), |(var, index)| fold::read(var, index))
    }

    fn set_reader(&self, unit: &Unit<'_>, value: bool) -> Action {
        match self.reader_place(unit, unit.thread) {
            Some((var, index)) => Action::Set(fold::place(var, index), fold::truth(value)),
            None => self.set_owner(0),
        }
    }

    fn set_owner(&self, value: i32) -> Action {
        Action::Set(fold::place(self.owner, self.index.clone()), fold::constant(value))
    }

    fn not_written(&self) -> model::Expr {
        fold::eq(self.owner(), fold::constant(0))
    }

    fn is_free(&self, unit: &Unit<'_>) -> model::Expr {
        let readers = (0..unit.storage.threads).map(|thread| fold::not(self.reads(unit, thread)));
        fold::and(self.not_written(), fold::all(readers))
    }

    fn is_mine(&self, unit: &Unit<'_>) -> model::Expr {
        fold::eq(self.owner(), fold::constant(unit.thread as i32 + 1))
    }
}

/// What an operation does to a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Read,
    Write,
}

/// The way that an operation's name means; refuses those that the lock does not have.
fn way(lock: &Lock, name: &Name, at: Span) -> Result<Way> {
    let verb = name.text.as_str();
    let plain = !verb.starts_with("read_") && !verb.starts_with("write_") && verb != "downgrade";
    match (plain, lock.kind.shared()) {
        (true, true) => Err(Diagnostic::error(format!("`{}` is {}: read or write?", lock.name, lock.kind.what()))
            .at(at, "not said")
            .help(format!("`read_{verb}` or `write_{verb}`"))),
        (false, false) => Err(Diagnostic::error(format!("`{}` is {}: it has no readers", lock.name, lock.kind.what()))
            .at(at, "takes an `rwlock` or `rwsem`")
            .help("`lock`, `unlock` or `trylock`")),
        _ => Ok(if verb.starts_with("read_") { Way::Read } else { Way::Write }),
    }
}

pub(super) fn statement(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<()> {
    let [expr] = arguments(&name.text, args, at)?;
    let lock = Lock::of(unit, expr)?;
    let way = way(&lock, name, at)?;
    unit.usage.locks.insert((unit.thread, lock.slot));
    match name.text.as_str() {
        "downgrade" => {
            let faults = not_mine(unit, &lock, "downgraded", fold::not(lock.is_mine(unit)), at);
            let actions = vec![lock.set_owner(0), lock.set_reader(unit, true)];
            unit.ordered_step(fold::truth(true), Vec::new(), faults, actions, at);
        }
        verb if verb.ends_with("unlock") => {
            let (mine, action) = match way {
                Way::Read => (lock.reads(unit, unit.thread), lock.set_reader(unit, false)),
                Way::Write => (lock.is_mine(unit), lock.set_owner(0)),
            };
            let faults = not_mine(unit, &lock, "unlocked", fold::not(mine), at);
            unit.ordered_step(fold::truth(true), Vec::new(), faults, vec![action], at);
        }
        _ => {
            unit.may_wait(at)?;
            let (guard, action) = match way {
                Way::Read => (lock.not_written(), lock.set_reader(unit, true)),
                Way::Write => (lock.is_free(unit), lock.set_owner(unit.thread as i32 + 1)),
            };
            let mut guard_faults = lock.faults.clone();
            if lock.kind.sleeps() {
                guard_faults.extend(super::rcu::sleeping(unit, at));
            }
            if way == Way::Read {
                let why = format!("`{}` is read-locked twice by the same thread", lock.name).into();
                guard_faults.push(Fault { when: lock.reads(unit, unit.thread), why, at });
            }
            unit.ordered_step(guard, guard_faults, Vec::new(), vec![action], at);
        }
    }
    Ok(())
}

fn not_mine(unit: &Unit<'_>, lock: &Lock, done: &str, when: model::Expr, at: Span) -> Vec<Fault> {
    let thread = &unit.decls.threads[unit.thread].name;
    let why = format!("`{}` is {done} by `{thread}`, which does not hold it", lock.name).into();
    lock.faults.iter().cloned().chain([Fault { when, why, at }]).collect()
}

pub(super) fn try_lock(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<Act> {
    let [expr] = arguments(&name.text, args, at)?;
    let lock = Lock::of(unit, expr)?;
    unit.usage.locks.insert((unit.thread, lock.slot));
    let (condition, action) = match way(&lock, name, at)? {
        Way::Read => {
            let free = fold::and(lock.not_written(), fold::not(lock.reads(unit, unit.thread)));
            (free, lock.set_reader(unit, true))
        }
        Way::Write => (lock.is_free(unit), lock.set_owner(unit.thread as i32 + 1)),
    };
    Ok(Act { faults: lock.faults, condition, yes: vec![action], no: Vec::new() })
}

/// `held(l)`: by anyone; `holds(l)`: by the thread itself.
pub(super) fn is_held(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<Value> {
    let [expr] = arguments(&name.text, args, at)?;
    let lock = Lock::of(unit, expr)?;
    let expr = if name.text == "held" {
        fold::not(lock.is_free(unit))
    } else if unit.in_property {
        return Err(Diagnostic::error("a property belongs to no thread").at(at, "who holds it?").help("`held(…)`"));
    } else {
        fold::or(lock.is_mine(unit), lock.reads(unit, unit.thread))
    };
    Ok(Value { expr, ty: Ty::Bool, faults: lock.faults, shared: true })
}

/// The locks that a thread ever takes: each element with the condition that the thread holds it.
fn mine(unit: &Unit<'_>) -> Vec<(LockKind, String, model::Expr)> {
    let mut all = Vec::new();
    let Some(known) = unit.known else { return all };
    for (_, slot) in known.locks.range((unit.thread, SlotId(0))..(unit.thread + 1, SlotId(0))) {
        let found = &unit.storage.slots[slot.0];
        let Ty::Lock(kind) = found.ty else { continue };
        for i in 0..found.count {
            let owned = fold::eq(fold::read(found.var, fold::constant(i)), fold::constant(unit.thread as i32 + 1));
            let reading = found.readers.map_or(fold::truth(false), |readers| {
                fold::read(readers, fold::constant(i * unit.storage.threads as i32 + unit.thread as i32))
            });
            let name = unit.storage.vars[found.var.0 as usize].elements[i as usize].name.clone();
            all.push((kind, name, fold::or(owned, reading)));
        }
    }
    all
}

/// The thread holds a lock under which nobody may sleep.
pub(super) fn spinning(unit: &Unit<'_>) -> model::Expr {
    fold::any(mine(unit).into_iter().filter(|(kind, ..)| !kind.sleeps()).map(|(_, _, held)| held))
}

/// Ending while holding a lock.
pub(super) fn at_end(unit: &Unit<'_>) -> Vec<Fault> {
    let decl = &unit.decls.threads[unit.thread];
    let fault = |(_, name, when): (LockKind, String, model::Expr)| Fault {
        when,
        why: format!("`{}` ends while it holds `{name}`", decl.name).into(),
        at: decl.body.span,
    };
    mine(unit).into_iter().map(fault).collect()
}
