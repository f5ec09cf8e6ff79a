//! Lists: objects of a kind in order, each at most once, as many elements as the kind has objects, `none` behind the last.
//!
//! Shifting is written as one assignment for each element; since every member is there once, an element that equals its
//! neighbour is one that has been shifted already.

use super::arguments;
use crate::{
    compile::{
        flow::Fault,
        fold, limits,
        operand::{Home, Loc, Operand, Value},
        scope::Binding,
        ty::Ty,
        unit::{Result, Unit},
    },
    lang::{
        Diagnostic, Span,
        ast::{Block, Expr, Name},
    },
    model::{self, Action, BinOp, VarId},
};

/// A list that an operation works on.
struct List {
    var: VarId,
    first: model::Expr,
    len: usize,
    kind: usize,
    faults: Vec<Fault>,
    /// As written.
    name: String,
}

impl List {
    fn of(unit: &mut Unit<'_>, expr: &Expr) -> Result<Self> {
        let loc = unit.ordered(|unit| unit.place(expr))?;
        let Loc { at: Home::Slot(slot), ty: Ty::List(kind), index, faults, .. } = loc else {
            let what = unit.decls.describe(loc.ty);
            return Err(Diagnostic::error("a list is needed here").at(expr.span, format!("this is {what}")));
        };
        let len = unit.decls.kinds[kind].objects.len().max(1);
        limits::check_copies(&index, len, expr.span)?;
        let first = fold::binary(BinOp::Mul, index, fold::constant(len as i32));
        Ok(Self { var: unit.storage.slots[slot.0].var, first, len, kind, faults, name: unit.text(expr.span) })
    }

    fn index(&self, at: usize) -> model::Expr {
        fold::binary(BinOp::Add, self.first.clone(), fold::constant(at as i32))
    }

    /// The member at a position; `none` behind the last.
    fn at(&self, at: usize) -> model::Expr {
        if at < self.len { fold::read(self.var, self.index(at)) } else { fold::constant(0) }
    }

    fn set(&self, at: usize, value: model::Expr) -> Action {
        Action::Set(fold::place(self.var, self.index(at)), value)
    }

    /// Whether `value` is among the first `count` members.
    fn has(&self, value: &model::Expr, count: usize) -> model::Expr {
        fold::any((0..count).map(|at| fold::eq(self.at(at), value.clone())))
    }

    fn missing(&self, value: &model::Expr, what: &str, at: Span) -> Fault {
        let why = format!("`{what}` is not in `{}`", self.name).into();
        Fault { when: fold::not(self.has(value, self.len)), why, at }
    }

    fn add_tail(&self, value: &model::Expr) -> Vec<Action> {
        let free = |at| fold::eq(self.at(at), fold::constant(0));
        (0..self.len).rev().fold(Vec::new(), |rest, at| vec![Action::If(free(at), vec![self.set(at, value.clone())], rest)])
    }

    fn delete(&self, value: &model::Expr) -> Vec<Action> {
        let actions = (0..self.len).map(|at| {
            let here = fold::eq(self.at(at), value.clone());
            let shifted = match at.checked_sub(1) {
                None => fold::truth(false),
                // Its predecessor already holds what this one held: the gap has passed.
                Some(before) => {
                    let there = fold::ne(self.at(at), fold::constant(0));
                    fold::and(there, fold::eq(self.at(at), self.at(before)))
                }
            };
            self.set(at, fold::select(fold::or(here, shifted), self.at(at + 1), self.at(at)))
        });
        actions.collect()
    }

    /// Inserts `value` so that it follows the first `before` members that `anchor` is among, or begins the list.
    fn insert(&self, value: &model::Expr, anchor: Option<(&model::Expr, bool)>) -> Vec<Action> {
        let actions = (0..self.len).rev().map(|at| {
            let previous = at.checked_sub(1).map_or(fold::constant(0), |before| self.at(before));
            let (moves, here) = match anchor {
                None => (fold::truth(at > 0), fold::truth(at == 0)),
                Some((anchor, true)) => (self.has(anchor, at), fold::eq(self.at(at), anchor.clone())),
                Some((anchor, false)) => {
                    let after = at.checked_sub(1).map_or(fold::truth(false), |before| fold::eq(self.at(before), anchor.clone()));
                    (self.has(anchor, at.saturating_sub(1)), after)
                }
            };
            self.set(at, fold::select(moves, previous, fold::select(here, value.clone(), self.at(at))))
        });
        actions.collect()
    }
}

/// The object that an operation moves; one that is looked up in what the operation changes is looked up before.
struct Member {
    value: model::Expr,
    faults: Vec<Fault>,
    name: String,
    /// Sets and clears the variable that holds it during the step.
    around: Option<(Action, Action)>,
}

impl Member {
    fn of(unit: &mut Unit<'_>, expr: &Expr, list: &List, at: Span) -> Result<Self> {
        let (value, _) = unit.ordered(|unit| unit.object(expr, Some(list.kind)))?;
        let name = unit.text(expr.span);
        limits::check_copies(&value.expr, list.len, expr.span)?;
        if !value.shared {
            return Ok(Self { value: value.expr, faults: value.faults, name, around: None });
        }
        let held = unit.local("list member", Span { end: expr.span.end, ..at }, Ty::Ref { kind: list.kind, maybe: true });
        let set = |value| Action::Set(fold::place(held, fold::constant(0)), value);
        let around = Some((set(value.expr), set(fold::constant(0))));
        Ok(Self { value: fold::read(held, fold::constant(0)), faults: value.faults, name, around })
    }
}

pub(super) fn statement(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<()> {
    let verb = name.text.as_str();
    let (member, anchor, list) = match verb {
        "list_add_before" | "list_add_after" => {
            let [member, anchor, list] = arguments(verb, args, at)?;
            (member, Some(anchor), list)
        }
        _ => {
            let [member, list] = arguments(verb, args, at)?;
            (member, None, list)
        }
    };
    let list = List::of(unit, list)?;
    let member = Member::of(unit, member, &list, at)?;
    let anchor = anchor.map(|anchor| Member::of(unit, anchor, &list, at)).transpose()?;
    let mut faults = list.faults.clone();
    faults.extend(member.faults.iter().cloned());
    faults.extend(anchor.iter().flat_map(|anchor| anchor.faults.iter().cloned()));
    let mut checks = Vec::new();
    if matches!(verb, "list_del" | "list_move_tail") {
        checks.push(list.missing(&member.value, &member.name, at));
    } else {
        let why = format!("`{}` is in `{}` already", member.name, list.name).into();
        checks.push(Fault { when: list.has(&member.value, list.len), why, at });
    }
    checks.extend(anchor.iter().map(|anchor| list.missing(&anchor.value, &anchor.name, at)));
    let mut actions: Vec<Action> =
        [Some(&member), anchor.as_ref()].into_iter().flatten().filter_map(|m| m.around.clone()).map(|a| a.0).collect();
    actions.extend(checks.into_iter().map(Fault::action));
    actions.extend(match (verb, &anchor) {
        ("list_del", _) => list.delete(&member.value),
        ("list_move_tail", _) => {
            let mut both = list.delete(&member.value);
            both.extend(list.add_tail(&member.value));
            both
        }
        ("list_add_tail", _) => list.add_tail(&member.value),
        (_, anchor) => list.insert(&member.value, anchor.as_ref().map(|anchor| (&anchor.value, verb == "list_add_before"))),
    });
    actions.extend([Some(&member), anchor.as_ref()].into_iter().flatten().filter_map(|m| m.around.clone()).map(|a| a.1));
    unit.ordered_step(fold::truth(true), Vec::new(), faults, actions, at);
    Ok(())
}

/// `v in l`.
pub(in crate::compile) fn member(unit: &mut Unit<'_>, member: &Expr, list: &Expr) -> Result<Value> {
    let list = List::of(unit, list)?;
    let value = unit.value(member)?;
    limits::check_copies(&value.expr, list.len, member.span)?;
    if !value.ty.meets(Ty::Ref { kind: list.kind, maybe: true }) {
        let (wanted, found) = (unit.decls.kinds[list.kind].name, unit.decls.describe(value.ty));
        return Err(
            Diagnostic::error(format!("`{}` holds objects of `{wanted}`", list.name)).at(member.span, format!("this is {found}"))
        );
    }
    let is_object = fold::ne(value.expr.clone(), fold::constant(0));
    let expr = fold::and(is_object, list.has(&value.expr, list.len));
    Ok(Value { expr, ty: Ty::Bool, faults: list.faults.into_iter().chain(value.faults).collect(), shared: true })
}

/// `list_first`, `list_next`, `list_empty`.
pub(super) fn look(unit: &mut Unit<'_>, name: &Name, args: &[Expr], at: Span) -> Result<Value> {
    if name.text == "list_next" {
        let [from, list] = arguments(&name.text, args, at)?;
        let list = List::of(unit, list)?;
        let (from_value, kind) = unit.object(from, Some(list.kind))?;
        limits::check_copies(&from_value.expr, list.len, from.span)?;
        let mut faults = list.faults.clone();
        faults.extend(from_value.faults);
        faults.push(list.missing(&from_value.expr, &unit.text(from.span), at));
        return Ok(Value { expr: next(&list, &from_value.expr), ty: Ty::Ref { kind, maybe: true }, faults, shared: true });
    }
    let [list] = arguments(&name.text, args, at)?;
    let list = List::of(unit, list)?;
    let (expr, ty) = if name.text == "list_first" {
        (list.at(0), Ty::Ref { kind: list.kind, maybe: true })
    } else {
        (fold::eq(list.at(0), fold::constant(0)), Ty::Bool)
    };
    Ok(Value { expr, ty, faults: list.faults, shared: true })
}

fn next(list: &List, from: &model::Expr) -> model::Expr {
    (0..list.len)
        .rev()
        .fold(fold::constant(0), |rest, at| fold::select(fold::eq(list.at(at), from.clone()), list.at(at + 1), rest))
}

/// `for v in list { … }`: each step from one member to the next looks at the list as it is then.
pub(in crate::compile) fn walk(unit: &mut Unit<'_>, name: &Name, list: &Expr, body: &Block, at: Span) -> Result<()> {
    unit.not_in_atomic("a walk through a list", at)?;
    let found = List::of(unit, list)?;
    let ty = Ty::Ref { kind: found.kind, maybe: true };
    let cursor = unit.local(&name.text, name.span, ty);
    let read = fold::read(cursor, fold::constant(0));
    let set = |value| Action::Set(fold::place(cursor, fold::constant(0)), value);
    unit.ordered_step(fold::truth(true), Vec::new(), found.faults.clone(), vec![set(found.at(0))], at);
    let head = unit.graph.loop_head(at);
    let (yes, done) = unit.graph.branch(fold::ne(read.clone(), fold::constant(0)));
    let (out, next_member) = (unit.graph.hole(), unit.graph.hole());
    unit.graph.move_to(yes);
    unit.scopes.open();
    unit.scopes.own(cursor);
    // Inside the body the variable is an object, never none.
    let value = Value { expr: read.clone(), ty: Ty::Ref { kind: found.kind, maybe: false }, faults: Vec::new(), shared: false };
    unit.scopes.bind(&name.text, Binding::Operand(Operand::Value(value)));
    unit.walk_body(body, out, next_member);
    unit.scopes.close();
    unit.graph.move_to(next_member);
    let mut faults = found.faults.clone();
    let why = format!("the walk through `{}` stands on `{}`, which is not in it any more", found.name, name.text).into();
    faults.push(Fault { when: fold::not(found.has(&read, found.len)), why, at });
    unit.ordered_step(fold::truth(true), Vec::new(), faults, vec![set(next(&found, &read))], at);
    unit.graph.goto(head);
    unit.graph.move_to(done);
    unit.graph.goto(out);
    unit.graph.move_to(out);
    unit.reset(&[cursor]);
    Ok(())
}
