//! Names inside a thread: local variables, parameters, variables of loops, labels; and where control can go.

use std::collections::BTreeMap;

use super::{flow::NodeId, operand::Operand, ty::Ty};
use crate::{lang::Span, model::VarId};

/// What a name inside a thread stands for.
#[derive(Clone, Debug)]
pub(super) enum Binding {
    Local(VarId, Ty),
    /// The variable of an unrolled loop: whatever it stands for.
    Operand(Operand),
    /// A parameter: what it stands for as plain loads see it, and as steps see it that are ordered against everything.
    Argument {
        plain: Operand,
        ordered: Operand,
    },
}

/// A target of `break`, `continue`, `return` or `goto`, and how many scopes stay open there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) node: NodeId,
    pub(super) depth: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) target: Target,
    pub(super) at: Span,
}

#[derive(Default, Debug)]
struct Scope {
    names: BTreeMap<String, Binding>,
    /// Reset where the scope ends.
    locals: Vec<VarId>,
    labels: BTreeMap<String, Label>,
    /// The body of an operation: nothing outside can be seen or jumped to.
    opaque: bool,
    looping: Option<(Target, Target)>,
    returning: Option<(Target, Option<(VarId, Ty)>)>,
}

/// The open scopes, the innermost last.
#[derive(Default, Debug)]
pub(super) struct Scopes {
    open: Vec<Scope>,
    /// How many are open in the outermost block of the thread.
    base: usize,
}

impl Scopes {
    /// Binds the variable of a family of threads.
    pub(super) fn bind_number(&mut self, name: &str, value: i32) {
        self.open();
        self.bind(name, Binding::Operand(Operand::number(value)));
    }

    /// The outermost block of a thread.
    pub(super) fn open_thread(&mut self) {
        self.open();
        self.base = self.open.len();
    }

    pub(super) fn open(&mut self) {
        self.open.push(Scope::default());
    }

    /// The body of an operation.
    pub(super) fn open_opaque(&mut self, returning: Target, result: Option<(VarId, Ty)>) {
        self.open.push(Scope { opaque: true, returning: Some((returning, result)), ..Scope::default() });
    }

    /// Closes the innermost scope; yields the local variables that end with it.
    pub(super) fn close(&mut self) -> Vec<VarId> {
        self.open.pop().map(|scope| scope.locals).unwrap_or_default()
    }

    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The thread's own block is the innermost.
    pub(super) fn is_outermost(&self) -> bool {
        self.open.len() == self.base
    }

    pub(super) fn bind(&mut self, name: &str, binding: Binding) {
        if let Some(scope) = self.open.last_mut() {
            if let Binding::Local(var, _) = &binding {
                scope.locals.push(*var);
            }
            scope.names.insert(name.to_owned(), binding);
        }
    }

    /// A local variable without a name of its own ends with the innermost scope.
    pub(super) fn own(&mut self, var: VarId) {
        if let Some(scope) = self.open.last_mut() {
            scope.locals.push(var);
        }
    }

    /// What a name stands for here, up to the operation that is being expanded.
    pub(super) fn get(&self, name: &str) -> Option<&Binding> {
        self.visible().find_map(|scope| scope.names.get(name))
    }

    /// All names that can be seen here, for near misses.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.visible().flat_map(|scope| scope.names.keys().map(String::as_str))
    }

    pub(super) fn label(&mut self, name: &str, label: Label) -> Option<Label> {
        self.open.last_mut().and_then(|scope| scope.labels.insert(name.to_owned(), label))
    }

    pub(super) fn find_label(&self, name: &str) -> Option<&Label> {
        self.visible().find_map(|scope| scope.labels.get(name))
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.visible().flat_map(|scope| scope.labels.keys().map(String::as_str))
    }

    /// The innermost scope is the body of a loop: where `break` and `continue` lead.
    pub(super) fn set_loop(&mut self, out: Target, next: Target) {
        if let Some(scope) = self.open.last_mut() {
            scope.looping = Some((out, next));
        }
    }

    pub(super) fn innermost_loop(&self) -> Option<(Target, Target)> {
        self.visible().find_map(|scope| scope.looping)
    }

    pub(super) fn returning(&self) -> Option<(Target, Option<(VarId, Ty)>)> {
        self.visible().find_map(|scope| scope.returning)
    }

    /// The local variables of the scopes above a depth.
    pub(super) fn locals_above(&self, depth: usize) -> Vec<VarId> {
        self.open.iter().skip(depth).rev().flat_map(|scope| scope.locals.iter().copied()).collect()
    }

    fn visible(&self) -> impl Iterator<Item = &Scope> {
        let from = self.open.iter().rposition(|scope| scope.opaque).unwrap_or(0);
        self.open[from..].iter().rev()
    }
}
