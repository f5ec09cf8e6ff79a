//! Models built by hand.

#![allow(dead_code, reason = "each test uses a part of it")]

use nostale_notifier::lang::Span;
use nostale_notifier::model::*;

pub(crate) mod naive;

/// A place without a text.
pub(crate) fn nowhere() -> Span {
    Span { text: 0, start: 0, end: 0 }
}

/// A number.
pub(crate) fn c(value: i32) -> Expr {
    Expr::Const(value)
}

/// A variable of one element.
pub(crate) fn place(var: VarId) -> Place {
    Place { var, index: None }
}

/// An element by a constant index.
pub(crate) fn item(var: VarId, index: i32) -> Place {
    Place { var, index: Some(Box::new(c(index))) }
}

/// An element by an index.
pub(crate) fn at(var: VarId, index: Expr) -> Place {
    Place { var, index: Some(Box::new(index)) }
}

pub(crate) fn read(place: &Place) -> Expr {
    Expr::Read(place.clone())
}

pub(crate) fn bin(op: BinOp, a: Expr, b: Expr) -> Expr {
    Expr::Binary(op, Box::new(a), Box::new(b))
}

pub(crate) fn eq(a: Expr, b: Expr) -> Expr {
    bin(BinOp::Eq, a, b)
}

pub(crate) fn ne(a: Expr, b: Expr) -> Expr {
    bin(BinOp::Ne, a, b)
}

pub(crate) fn and(a: Expr, b: Expr) -> Expr {
    bin(BinOp::And, a, b)
}

pub(crate) fn or(a: Expr, b: Expr) -> Expr {
    bin(BinOp::Or, a, b)
}

pub(crate) fn not(a: Expr) -> Expr {
    Expr::Not(Box::new(a))
}

pub(crate) fn add(a: Expr, b: Expr) -> Expr {
    bin(BinOp::Add, a, b)
}

pub(crate) fn set(place: &Place, value: Expr) -> Action {
    Action::Set(place.clone(), value)
}

/// A model under construction.
pub(crate) struct Build {
    pub(crate) model: Model,
}

impl Build {
    pub(crate) fn new(name: &str) -> Build {
        Build {
            model: Model {
                name: name.into(),
                variant: "default".into(),
                vars: Vec::new(),
                threads: Vec::new(),
                steps: Vec::new(),
                properties: Vec::new(),
                observed: Vec::new(),
                forbid_deadlock: true,
                forbid_livelock: false,
            },
        }
    }

    /// An array variable from 0 to `hi`.
    pub(crate) fn array(&mut self, name: &str, hi: i32, inits: &[i32]) -> VarId {
        self.var(name, Role::Shared, (0, hi), inits)
    }

    pub(crate) fn var(&mut self, name: &str, role: Role, (lo, hi): (i32, i32), inits: &[i32]) -> VarId {
        let elements =
            inits.iter().enumerate().map(|(index, &init)| Element { name: format!("{name}[{index}]"), init }).collect();
        self.model.vars.push(Var { name: name.into(), role, domain: Domain { lo, hi, show: Show::Number }, elements });
        VarId(self.model.vars.len() as u32 - 1)
    }

    /// A variable of one element, from 0 to `hi`, at first 0.
    pub(crate) fn scalar(&mut self, name: &str, hi: i32) -> Place {
        place(self.array(name, hi, &[0]))
    }

    /// A thread whose last program counter is `end`.
    pub(crate) fn thread(&mut self, name: &str, end: i32) -> ThreadId {
        let id = ThreadId(self.model.threads.len() as u32);
        let pc = self.var(&format!("{name}.pc"), Role::Pc(id), (0, end), &[0]);
        self.model.threads.push(Thread { name: name.into(), pc, end });
        id
    }

    /// The program counter of a thread.
    pub(crate) fn pc(&self, thread: ThreadId) -> Place {
        place(self.model.threads[thread.0 as usize].pc)
    }

    /// A step from one program counter to another.
    pub(crate) fn step(&mut self, thread: ThreadId, from: i32, to: i32, guard: Expr, actions: Vec<Action>) {
        let mut actions = actions;
        actions.push(set(&self.pc(thread), c(to)));
        self.raw(thread, Some(from), guard, actions);
    }

    pub(crate) fn raw(&mut self, thread: ThreadId, from: Option<i32>, guard: Expr, actions: Vec<Action>) {
        let text = format!("{}@{from:?}", self.model.threads[thread.0 as usize].name);
        self.model.steps.push(Step { thread, from, guard, actions, text, at: nowhere() });
    }

    pub(crate) fn property(&mut self, ask: Ask, text: &str, condition: Expr) -> PropertyId {
        self.model.properties.push(Property { ask, condition, text: text.into(), message: None, at: nowhere() });
        PropertyId(self.model.properties.len() as u32 - 1)
    }
}
