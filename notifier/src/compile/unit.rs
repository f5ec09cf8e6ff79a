//! One compilation: what is declared, where it is kept, and the thread that is being written.

use std::collections::BTreeMap;

use super::{
    decl::Decls,
    flow::{Fault, Graph, NodeId},
    fold,
    memory::Memory,
    scope::Scopes,
    storage::{Storage, Usage, domain},
    ty::Ty,
};
use crate::{
    lang::{Diagnostic, Sources, Span},
    model::{Action, Element, Expr, Role, ThreadId, VarId},
};

/// What a statement or expression yields: itself, or a diagnostic.
pub(super) type Result<T> = std::result::Result<T, Diagnostic>;

/// Compiles one variant of a model.
pub(super) struct Unit<'a> {
    pub(super) decls: &'a Decls<'a>,
    pub(super) sources: &'a Sources,
    /// The ordering whose definitions count.
    pub(super) variant: Option<&'a str>,
    pub(super) storage: Storage,
    pub(super) memory: Memory,
    /// What has been used so far.
    pub(super) usage: Usage,
    /// The thread that is being written.
    pub(super) thread: usize,
    /// Not in a thread but in a property, which sees memory as it is.
    pub(super) in_property: bool,
    /// What is being evaluated is part of an ordered step: loads read memory itself.
    pub(super) reads_memory: bool,
    /// What the model is known to use, in the second pass.
    pub(super) known: Option<&'a Usage>,
    pub(super) graph: Graph,
    pub(super) scopes: Scopes,
    /// Inside `atomic { … }`.
    pub(super) atomic: Option<Atomic>,
    /// Operations that are being expanded: index into [`Decls::ops`].
    pub(super) expanding: Vec<usize>,
    /// Local variables by thread, by the place of their `let`, and by type: each expansion of an operation shares them, since no two
    /// expansions of the same `let` are alive at once.
    pub(super) locals: BTreeMap<(usize, Span, String), VarId>,
    /// Local variables of the outermost blocks, for properties.
    pub(super) outer: BTreeMap<(usize, String), (VarId, Ty)>,
    /// The program counters of the threads that are compiled, and their last values.
    pub(super) ends: Vec<(VarId, i32)>,
    pub(super) errors: Vec<Diagnostic>,
    /// Expressions that were looked at, and open blocks: see [`super::limits`].
    pub(super) looks: usize,
    pub(super) blocks: usize,
    pub(super) gave_up: bool,
}

/// What an atomic block collects.
pub(super) struct Atomic {
    pub(super) guard: Expr,
    pub(super) faults: Vec<Fault>,
    /// Something has been done: nothing can be waited for any more.
    pub(super) begun: bool,
}

impl Unit<'_> {
    /// The local variable of a `let`; its first value is what it has outside its block.
    pub(super) fn local(&mut self, name: &str, at: Span, ty: Ty) -> VarId {
        let key = (self.thread, at, format!("{ty:?}"));
        if let Some(var) = self.locals.get(&key) {
            return *var;
        }
        let thread = &self.decls.threads[self.thread].name;
        let called = format!("{thread}.{name}");
        // Another variable of the same name is another variable, also in a counterexample.
        let taken = |name: &String| self.storage.vars.iter().any(|var| var.name == *name);
        let numbered = (2..).map(|number| format!("{called}.{number}"));
        let unique = std::iter::once(called.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
        let domain = domain(self.decls, ty);
        let element = Element { name: unique.clone(), init: domain.lo };
        let var = self.storage.add(unique, Role::Local(ThreadId(self.thread as u32)), domain, vec![element]);
        self.locals.insert(key, var);
        var
    }

    /// What the text says at a place, on one line, without comments.
    pub(super) fn line(&self, at: Span) -> String {
        let lines = self.sources.slice(at).lines().map(|line| line.split('#').next().unwrap_or(""));
        lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
    }

    /// The same, cut to what a step or a message has room for.
    pub(super) fn text(&self, at: Span) -> String {
        const LONGEST: usize = 60;
        let line = self.line(at);
        if line.chars().count() <= LONGEST {
            return line;
        }
        let cut: String = line.chars().take(LONGEST - 2).collect();
        format!("{} …", cut.trim_end())
    }

    /// Whether what is being compiled takes effect at once, past the store buffer.
    pub(super) fn is_ordered(&self) -> bool {
        self.in_property || self.reads_memory || self.atomic.is_some()
    }

    /// Writes a step, or a part of the atomic step that is being written. Every fault fails it.
    pub(super) fn step(&mut self, faults: Vec<Fault>, actions: Vec<Action>, at: Span) {
        self.waiting_step(fold::truth(true), Vec::new(), faults, actions, at);
    }

    /// The same, once `guard` holds; inside an atomic block that may stand only where nothing has been done yet, which the caller
    /// has checked by [`Self::may_wait`].
    pub(super) fn waiting_step(
        &mut self,
        guard: Expr,
        guard_faults: Vec<Fault>,
        faults: Vec<Fault>,
        actions: Vec<Action>,
        at: Span,
    ) {
        let all = faults.into_iter().map(Fault::action).chain(actions).collect();
        if let Some(atomic) = &mut self.atomic {
            let open = std::mem::replace(&mut atomic.guard, fold::truth(true));
            // A later guard is only looked at where the earlier ones hold.
            atomic
                .faults
                .extend(guard_faults.into_iter().map(|fault| Fault { when: fold::and(open.clone(), fault.when), ..fault }));
            atomic.begun |= fold::is_true(&guard);
            atomic.guard = fold::and(open, guard);
            self.graph.local(all);
        } else {
            let text = self.text(at);
            self.graph.step(guard, guard_faults, all, text, at);
        }
    }

    /// A step that is ordered against everything around it (a lock, an atomic operation, …).
    pub(super) fn ordered_step(
        &mut self,
        guard: Expr,
        guard_faults: Vec<Fault>,
        faults: Vec<Fault>,
        actions: Vec<Action>,
        at: Span,
    ) {
        let (drained, refresh) = self.barrier();
        let actions = refresh.into_iter().chain(actions).collect();
        // Until then, memory does not have what the thread itself has stored.
        let guard_faults = guard_faults.into_iter().map(|fault| fault.once(&drained)).collect();
        self.waiting_step(fold::and(drained, guard), guard_faults, faults, actions, at);
    }

    /// What an ordered step waits for, and does first; nothing inside an atomic block, which is ordered as a whole.
    pub(super) fn barrier(&self) -> (Expr, Vec<Action>) {
        if self.atomic.is_some() { (fold::truth(true), Vec::new()) } else { self.memory.full_barrier(self.thread) }
    }

    /// Refuses to wait in the middle of an atomic step.
    pub(super) fn may_wait(&self, at: Span) -> Result<()> {
        match &self.atomic {
            Some(Atomic { begun: true, .. }) => Err(Diagnostic::error("an atomic step can wait at its beginning only")
                .at(at, "something has been done before this")
                .help("move it to the beginning of the block, or out of it")),
            _ => Ok(()),
        }
    }

    /// Refuses what takes a step of its own inside an atomic block.
    pub(super) fn not_in_atomic(&self, what: &str, at: Span) -> Result<()> {
        match self.atomic {
            Some(_) => {
                Err(Diagnostic::error(format!("{what} cannot be part of an atomic step")).at(at, "takes steps of its own"))
            }
            None => Ok(()),
        }
    }

    /// Where two ways meet again: both go on at a new place.
    pub(super) fn join(&mut self, branch: NodeId, ends: [NodeId; 2]) {
        let join = self.graph.hole();
        for end in ends {
            self.graph.move_to(end);
            self.graph.goto(join);
        }
        self.graph.straighten(branch, join);
        self.graph.move_to(join);
    }
}
