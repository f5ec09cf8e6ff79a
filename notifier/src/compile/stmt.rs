//! Statements, one after the other: who deals with each, and `assert`, `wait` and `atomic` themselves.

use super::{
    flow::{Choice, Fault},
    fold,
    scope::{Label, Target},
    ty::Ty,
    unit::{Atomic, Result, Unit},
};
use crate::{
    lang::{
        Diagnostic, Span,
        ast::{Block, Expr, ExprKind, Quoted, Stmt, StmtKind},
        habits::TRUTH,
    },
    model::{Action, VarId},
};

impl Unit<'_> {
    /// The statements of a block, in the scope that is open. An error spoils its statement only.
    pub(super) fn statements(&mut self, block: &Block) {
        for stmt in &block.stmts {
            self.declare_label(stmt);
        }
        if self.enter_block(block.span) {
            for stmt in &block.stmts {
                if self.gives_up(stmt.span) {
                    break;
                }
                if let Err(error) = self.statement(stmt) {
                    self.report(error);
                }
            }
        }
        self.blocks -= 1;
    }

    /// A block with a scope of its own.
    pub(super) fn block(&mut self, block: &Block) {
        self.scopes.open();
        self.statements(block);
        let ending = self.scopes.close();
        self.reset(&ending);
    }

    fn declare_label(&mut self, stmt: &Stmt) {
        if let StmtKind::Label(name, inner) = &stmt.kind {
            let target = Target { node: self.graph.hole(), depth: self.scopes.depth() };
            if let Some(first) = self.scopes.label(&name.text, Label { target, at: name.span }) {
                self.report(
                    Diagnostic::error(format!("the label `{}` is there twice", name.text))
                        .at(name.span, "here again")
                        .also(first.at, "first here"),
                );
            }
            self.declare_label(inner);
        }
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<()> {
        let at = stmt.span;
        match &stmt.kind {
            StmtKind::Let { name, ty, value } => self.declare(name, ty.as_ref(), value.as_ref(), at),
            StmtKind::Assign { place, how, value } => {
                let result = self.assign(place, *how, value.as_ref(), at);
                result.map_err(|error| self.truth_as_in_c(error, place, value.as_ref()))
            }
            StmtKind::Call { name, args, .. } => self.call(name, args, at),
            StmtKind::If { condition, then, otherwise } => self.either(condition, then, otherwise.as_ref(), at),
            StmtKind::Loop(body) => self.endless(body, at),
            StmtKind::While { condition, body } => self.while_loop(condition, body, at),
            StmtKind::Repeat { times, body } => self.repeat(times, body),
            StmtKind::For { name, domain, body } => self.each(name, domain, body, at),
            StmtKind::Atomic(body) => {
                self.atomic_block(body, at);
                Ok(())
            }
            StmtKind::Choose(blocks) => self.choose(blocks, at),
            StmtKind::Wait(condition) => self.wait(condition, at),
            StmtKind::Assert { condition, message } => self.assert(condition, message.as_ref(), at),
            StmtKind::Break => self.leave_loop(at, "break"),
            StmtKind::Continue => self.leave_loop(at, "continue"),
            StmtKind::Return(value) => self.give_back(value.as_ref(), at),
            StmtKind::Goto(label) => self.jump(label),
            StmtKind::Label(name, inner) => {
                if let Some(Label { target, .. }) = self.scopes.find_label(&name.text).cloned() {
                    self.graph.goto(target.node);
                    self.graph.move_to(target.node);
                }
                self.statement(inner)
            }
        }
    }

    /// `done = 1`, where `done` is a flag.
    fn truth_as_in_c(&mut self, error: Diagnostic, place: &Expr, value: Option<&Expr>) -> Diagnostic {
        let number = value.is_some_and(|value| matches!(value.kind, ExprKind::Number(0 | 1)));
        let a_flag = number && self.place(place).is_ok_and(|place| place.ty == Ty::Bool);
        if a_flag { error.help(TRUTH) } else { error }
    }

    /// Does what others cannot see: together with the step before.
    pub(super) fn local_work(&mut self, actions: Vec<Action>) {
        if let Some(atomic) = &mut self.atomic {
            atomic.begun |= !actions.is_empty();
        }
        self.graph.local(actions);
    }

    /// Local variables go out of scope.
    pub(super) fn reset(&mut self, locals: &[VarId]) {
        self.graph.local(locals.iter().copied().map(Action::Forget).collect());
    }

    fn wait(&mut self, condition: &Expr, at: Span) -> Result<()> {
        self.may_wait(at)?;
        let value = self.condition(condition)?;
        if fold::is_true(&value.expr) {
            return Ok(());
        }
        self.waiting_step(value.expr, value.faults, Vec::new(), Vec::new(), at);
        Ok(())
    }

    fn assert(&mut self, condition: &Expr, message: Option<&Quoted>, at: Span) -> Result<()> {
        let value = self.condition(condition)?;
        let why = message.map_or_else(|| self.text(at), |message| message.text.clone());
        let mut faults = value.faults;
        faults.push(Fault { when: fold::not(value.expr), why: why.into(), at });
        if value.shared {
            self.step(faults, Vec::new(), at);
        } else {
            self.local_work(faults.into_iter().map(Fault::action).collect());
        }
        Ok(())
    }

    fn atomic_block(&mut self, body: &Block, at: Span) {
        if self.atomic.is_some() {
            self.block(body);
            return;
        }
        let entry = self.graph.cursor();
        let inner = self.graph.hole();
        self.graph.move_to(inner);
        let (drained, refresh) = self.barrier();
        self.atomic = Some(Atomic { guard: fold::truth(true), faults: Vec::new(), begun: false });
        self.block(body);
        if let Some(atomic) = self.atomic.take() {
            let faults = atomic.faults.into_iter().map(|fault| fault.once(&drained)).collect();
            let guard = fold::and(drained, atomic.guard);
            let text = self.text(at);
            self.graph.step_into(entry, Choice { guard, faults, actions: refresh, next: inner, text: None }, text, at);
        }
    }
}
