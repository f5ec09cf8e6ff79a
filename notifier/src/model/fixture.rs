//! Small models by hand, for tests of what works on models.

use std::sync::Arc;

use super::{Action, BinOp, Domain, Element, Expr, Model, Place, Role, Show, Step, Thread, ThreadId, Var, VarId};
use crate::lang::Span;

pub(crate) fn read(var: u32) -> Expr {
    Expr::Read(Place { var: VarId(var), index: None })
}

pub(crate) fn read_at(var: u32, index: Expr) -> Expr {
    Expr::Read(Place { var: VarId(var), index: Some(Box::new(index)) })
}

pub(crate) fn binary(op: BinOp, left: Expr, right: Expr) -> Expr {
    Expr::Binary(op, Box::new(left), Box::new(right))
}

pub(crate) fn set(var: u32, value: Expr) -> Action {
    Action::Set(Place { var: VarId(var), index: None }, value)
}

pub(crate) fn fail(when: Expr, why: &str) -> Action {
    Action::Fail { when, why: Arc::from(why), at: Span::default() }
}

pub(crate) fn var(name: &str, role: Role, domain: Domain, elements: &[(&str, i32)]) -> Var {
    let elements = elements.iter().map(|(name, init)| Element { name: (*name).to_owned(), init: *init }).collect();
    Var { name: name.to_owned(), role, domain, elements }
}

pub(crate) fn numbers(lo: i32, hi: i32) -> Domain {
    Domain { lo, hi, show: Show::Number }
}

pub(crate) fn step(thread: u32, from: Option<i32>, guard: Expr, actions: Vec<Action>, text: &str) -> Step {
    Step { thread: ThreadId(thread), from, guard, actions, text: text.to_owned(), at: Span::default() }
}

/// `flag` (a bool), `page.pte` of A and B (none, A or B), and one thread: take `A.pte` away when `flag`, then finish.
pub(crate) fn two_pages() -> Model {
    let names: Arc<[String]> = ["none", "A", "B"].map(str::to_owned).into();
    let pages = Domain { lo: 0, hi: 2, show: Show::Names(names) };
    Model {
        name: "two pages".to_owned(),
        variant: "default".to_owned(),
        vars: vec![
            var("flag", Role::Shared, Domain { lo: 0, hi: 1, show: Show::Bool }, &[("flag", 1)]),
            var("page.pte", Role::Shared, pages, &[("A.pte", 2), ("B.pte", 1)]),
            var("t.pc", Role::Pc(ThreadId(0)), numbers(0, 2), &[("t.pc", 0)]),
        ],
        threads: vec![Thread { name: "t".to_owned(), pc: VarId(2), end: 2 }],
        steps: vec![
            step(0, Some(0), read(0), vec![set(1, Expr::Const(0)), set(2, Expr::Const(1))], "A.pte = none"),
            step(0, Some(1), Expr::Const(1), vec![set(0, Expr::Const(0)), set(2, Expr::Const(2))], "flag = false"),
        ],
        properties: Vec::new(),
        observed: Vec::new(),
        forbid_deadlock: true,
        forbid_livelock: true,
    }
}
