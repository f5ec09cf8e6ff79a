//! One compilation: what is declared, where it is kept, and the thread that is being written.

use std::collections::BTreeMap;

use super::{
    builtin,
    decl::Decls,
    flow::{Fault, Graph, NodeId},
    fold,
    memory::{Memory, MemoryModel},
    scope::Scopes,
    storage::{Storage, Usage, domain},
    ty::Ty,
};
use crate::{
    lang::{Diagnostic, Diagnostics, Sources, Span, ast::Block},
    model::{Action, Ask, Element, Expr, Model, Property, Role, Step, Thread, ThreadId, VarId},
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
    pub(super) errors: Vec<Diagnostic>,
}

/// What an atomic block collects.
pub(super) struct Atomic {
    pub(super) guard: Expr,
    pub(super) faults: Vec<Fault>,
    /// Something has been done: nothing can be waited for any more.
    pub(super) begun: bool,
}

/// What a pass over the text gives.
pub(super) struct Pass {
    pub(super) model: Model,
    pub(super) usage: Usage,
}

impl<'a> Unit<'a> {
    /// Compiles everything once. `usage`: what the model uses, if that is known already.
    pub(super) fn pass(
        decls: &'a Decls<'a>,
        sources: &'a Sources,
        variant: Option<&'a str>,
        memory: MemoryModel,
        usage: Option<&'a Usage>,
    ) -> std::result::Result<Pass, Diagnostics> {
        let mut storage = Storage::of(decls, usage).map_err(Diagnostics)?;
        let memory = Memory::of(memory, decls, usage, &mut storage);
        let mut unit = Unit {
            decls,
            sources,
            variant,
            storage,
            memory,
            usage: Usage::default(),
            thread: 0,
            in_property: false,
            reads_memory: false,
            known: usage,
            graph: Graph::new(),
            scopes: Scopes::default(),
            atomic: None,
            expanding: Vec::new(),
            locals: BTreeMap::new(),
            outer: BTreeMap::new(),
            errors: Vec::new(),
        };
        let (threads, steps) = unit.threads();
        let properties = unit.properties();
        if !unit.errors.is_empty() {
            return Err(Diagnostics(unit.errors));
        }
        let model = Model {
            name: String::new(),
            variant: String::new(),
            vars: unit.storage.vars,
            threads,
            steps,
            properties,
            forbid_deadlock: !decls.allow.iter().any(|what| what.text == "deadlock"),
            forbid_livelock: !decls.allow.iter().any(|what| what.text == "livelock"),
        };
        Ok(Pass { model, usage: unit.usage })
    }

    fn threads(&mut self) -> (Vec<Thread>, Vec<Step>) {
        let (mut threads, mut steps, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for (number, decl) in self.decls.threads.iter().enumerate() {
            self.thread = number;
            self.graph = Graph::new();
            self.scopes = Scopes::default();
            if let Some((name, value)) = decl.each {
                self.scopes.bind_number(name, value);
            }
            self.thread_body(decl.body);
            let id = ThreadId(number as u32);
            let pc = VarId(self.storage.vars.len() as u32);
            let last = builtin::at_end(self);
            match self.graph.steps(id, pc, &last) {
                Ok(flow) => {
                    if !flow.ends && !self.decls.allow.iter().any(|what| what.text == "livelock") {
                        let at = self.graph.first_loop().unwrap_or(decl.body.span);
                        self.errors.push(
                            Diagnostic::error(format!("the thread `{}` can never finish", decl.name))
                                .at(at, "nothing leads out of this loop")
                                .help("leave it with `break`, bound it with `repeat 3 { … }`, or say `allow livelock`"),
                        );
                    }
                    let domain = crate::model::Domain { lo: 0, hi: flow.end, show: crate::model::Show::Number };
                    let element = Element { name: format!("{}.pc", decl.name), init: 0 };
                    self.storage.add(format!("{}.pc", decl.name), Role::Pc(id), domain, vec![element]);
                    threads.push(Thread { name: decl.name.clone(), pc, end: flow.end });
                    steps.extend(flow.steps);
                    entries.extend(flow.entry);
                }
                Err(error) => self.errors.push(error),
            }
        }
        self.enter(&entries);
        steps.extend(self.memory.background(&self.storage));
        (threads, steps)
    }

    fn thread_body(&mut self, body: &'a Block) {
        self.scopes.open_thread();
        self.statements(body);
        // The outermost local variables keep their values: properties may look at them.
        self.scopes.close();
        self.graph.end();
    }

    /// Does what precedes the first steps of the threads: it can only depend on constants and on local variables.
    fn enter(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Set(place, value) => {
                    let value = self.first_value(value);
                    if let Some(element) = self.storage.vars[place.var.0 as usize].elements.first_mut() {
                        element.init = value;
                    }
                }
                Action::If(condition, yes, no) => {
                    let way = if self.first_value(condition) == 0 { no } else { yes };
                    self.enter(way);
                }
                Action::Fail { when, why, at } => {
                    if self.first_value(when) != 0 {
                        self.errors.push(Diagnostic::error(why.to_string()).at(*at, "always fails, before any step"));
                    }
                }
            }
        }
    }

    /// The value of an expression in the first state.
    fn first_value(&self, expr: &Expr) -> i32 {
        match expr {
            Expr::Const(value) => *value,
            Expr::Read(place) => {
                let index = place.index.as_ref().map_or(0, |index| self.first_value(index));
                let elements = &self.storage.vars[place.var.0 as usize].elements;
                usize::try_from(index).ok().and_then(|index| elements.get(index)).or(elements.first()).map_or(0, |e| e.init)
            }
            Expr::Not(inner) => i32::from(self.first_value(inner) == 0),
            Expr::Binary(op, a, b) => fold::apply(*op, self.first_value(a), self.first_value(b)),
            Expr::Select(parts) => {
                let [condition, yes, no] = parts.as_ref();
                if self.first_value(condition) == 0 { self.first_value(no) } else { self.first_value(yes) }
            }
        }
    }

    fn properties(&mut self) -> Vec<Property> {
        use crate::lang::ast::PropertyKind;
        self.in_property = true;
        self.scopes = Scopes::default();
        let mut all = Vec::new();
        for decl in &self.decls.properties {
            let value = match self.condition(decl.condition) {
                Ok(value) => value,
                Err(error) => {
                    self.errors.push(error);
                    continue;
                }
            };
            // The message has its own field.
            let text = self.line(Span { end: decl.condition.span.end, ..decl.at });
            let message = decl.message.map(str::to_owned);
            // Looking through `none` is nobody's intention: it counts as a failure, not as an answer.
            let safe = fold::not(fold::any(value.faults.iter().map(|fault| fault.when.clone())));
            let (ask, condition) = match decl.what {
                PropertyKind::Never => (Ask::Always, fold::and(safe, fold::not(value.expr))),
                PropertyKind::Always => (Ask::Always, fold::and(safe, value.expr)),
                PropertyKind::Sometimes => (Ask::Sometimes, fold::and(safe, value.expr)),
                PropertyKind::Finally => {
                    let settled = fold::or(fold::not(self.memory.quiet()), value.expr);
                    (Ask::Finally, fold::and(safe, settled))
                }
            };
            all.push(Property { ask, condition, text, message, at: decl.at });
        }
        all
    }

    /// The local variable of a `let`; its first value is what it has outside its block.
    pub(super) fn local(&mut self, name: &str, at: Span, ty: Ty) -> VarId {
        let key = (self.thread, at, format!("{ty:?}"));
        if let Some(var) = self.locals.get(&key) {
            return *var;
        }
        let thread = &self.decls.threads[self.thread].name;
        let called = format!("{thread}.{name}");
        let alike = self.storage.vars.iter().filter(|var| var.elements[0].name == called).count();
        let unique = if alike == 0 { called.clone() } else { format!("{called}.{}", alike + 1) };
        let domain = domain(self.decls, ty);
        let element = Element { name: called, init: domain.lo };
        let var = self.storage.add(unique, Role::Local(ThreadId(self.thread as u32)), domain, vec![element]);
        self.locals.insert(key, var);
        var
    }

    /// What the text says at a place, on one line.
    fn line(&self, at: Span) -> String {
        let text = self.sources.slice(at);
        let without_comments = text.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace());
        without_comments.collect::<Vec<_>>().join(" ")
    }

    /// The same, cut to what can be read at a glance.
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
            atomic.faults.extend(guard_faults.into_iter().map(|fault| Fault { when: fold::and(open.clone(), fault.when), ..fault }));
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
            Some(_) => Err(Diagnostic::error(format!("{what} cannot be part of an atomic step")).at(at, "takes steps of its own")),
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
