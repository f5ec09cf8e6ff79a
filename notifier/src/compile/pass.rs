//! A pass over all threads and properties. The first finds out what the model uses, the second compiles with just that.

use std::collections::BTreeMap;

use super::{
    builtin,
    decl::Decls,
    flow::Graph,
    fold,
    memory::{Memory, MemoryModel},
    scope::Scopes,
    storage::{Storage, Usage, domain},
    unit::Unit,
};
use crate::{
    lang::{
        Diagnostic, Diagnostics, Sources, Span,
        ast::{Block, Expr, PropertyKind},
    },
    model::{Action, Ask, Domain, Element, Model, Observed, Property, Role, Show, Step, Thread, ThreadId, VarId, eval},
};

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
            ends: Vec::new(),
            errors: Vec::new(),
            looks: 0,
            blocks: 0,
            gave_up: false,
        };
        let (threads, steps, entry) = unit.threads();
        let properties = unit.properties();
        let observed = unit.observed();
        if !unit.errors.is_empty() {
            return Err(Diagnostics(unit.errors));
        }
        let mut model = Model {
            name: String::new(),
            variant: String::new(),
            vars: unit.storage.vars,
            threads,
            steps,
            properties,
            observed,
            forbid_deadlock: !decls.allow.iter().any(|what| what.text == "deadlock"),
            forbid_livelock: !decls.allow.iter().any(|what| what.text == "livelock"),
        };
        enter(&mut model, &entry)?;
        Ok(Pass { model, usage: unit.usage })
    }

    /// The threads, their steps, and what precedes the first of these.
    fn threads(&mut self) -> (Vec<Thread>, Vec<Step>, Vec<Action>) {
        let (mut threads, mut steps, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for (number, decl) in self.decls.threads.iter().enumerate() {
            self.thread = number;
            if self.gives_up(decl.body.span) {
                break;
            }
            self.graph = Graph::after(&self.graph);
            self.scopes = Scopes::default();
            if let Some((name, value)) = decl.each {
                self.scopes.bind_number(name, value);
            }
            let known = self.errors.len();
            self.thread_body(decl.body);
            if self.gave_up {
                break;
            }
            if self.errors.len() > known {
                // What follows from a statement that is missing here would only be confusing.
                self.ends.push((VarId(0), 0));
                continue;
            }
            let id = ThreadId(number as u32);
            let pc = VarId(self.storage.vars.len() as u32);
            let last = builtin::at_end(self);
            match self.graph.steps(id, pc, &last) {
                Ok(flow) => {
                    if !flow.ends && !self.decls.allow.iter().any(|what| what.text == "livelock") {
                        let at = self.graph.first_loop().unwrap_or(decl.body.span);
                        self.report(
                            Diagnostic::error(format!("the thread `{}` can never finish", decl.name))
                                .at(at, "nothing leads out of this loop")
                                .help("leave it with `break`, bound it with `repeat 3 { … }`, or say `allow livelock`"),
                        );
                    }
                    let domain = Domain { lo: 0, hi: flow.end, show: Show::Number };
                    let element = Element { name: format!("{}.pc", decl.name), init: 0 };
                    self.storage.add(format!("{}.pc", decl.name), Role::Pc(id), domain, vec![element]);
                    self.ends.push((pc, flow.end));
                    threads.push(Thread { name: decl.name.clone(), pc, end: flow.end });
                    steps.extend(flow.steps);
                    entries.extend(flow.entry);
                }
                Err(error) => self.report(error),
            }
        }
        steps.extend(self.memory.background(&self.storage));
        (threads, steps, entries)
    }

    fn thread_body(&mut self, body: &'a Block) {
        self.scopes.open_thread();
        self.statements(body);
        // The outermost local variables keep their values: properties may look at them.
        self.scopes.close();
        self.graph.end();
    }

    fn properties(&mut self) -> Vec<Property> {
        self.in_property = true;
        self.scopes = Scopes::default();
        let mut all = Vec::new();
        for decl in &self.decls.properties {
            if self.gives_up(decl.at) {
                break;
            }
            let value = match self.condition(decl.condition) {
                Ok(value) => value,
                Err(error) => {
                    self.report(error);
                    continue;
                }
            };
            let text = self.line(Span { end: decl.condition.span.end, ..decl.at });
            let message = decl.message.map(str::to_owned);
            // Looking through `none` is nobody's intention: it counts as a failure, not as an answer.
            let safe = fold::not(fold::any(value.faults.iter().map(|fault| fault.when.clone())));
            let (ask, condition) = match decl.what {
                PropertyKind::Never => (Ask::Always, fold::and(safe, fold::not(value.expr))),
                PropertyKind::Always => (Ask::Always, fold::and(safe, value.expr)),
                PropertyKind::Sometimes => (Ask::Sometimes, fold::and(safe, value.expr)),
                PropertyKind::Finally => {
                    // Nothing is asked before the last store has reached memory.
                    let asked = fold::or(fold::not(self.memory.quiet()), fold::and(safe, value.expr));
                    (Ask::Finally, asked)
                }
            };
            all.push(Property { ask, condition, text, message, at: decl.at });
        }
        all
    }
}

impl Unit<'_> {
    /// What a person wants to see of the states in which everything has finished.
    fn observed(&mut self) -> Vec<Observed> {
        let mut all = Vec::new();
        for expr in &self.decls.observed {
            if self.gives_up(expr.span) {
                break;
            }
            match self.observation(expr) {
                Ok(observed) => all.push(observed),
                Err(error) => self.report(error),
            }
        }
        all
    }

    fn observation(&mut self, expr: &Expr) -> super::unit::Result<Observed> {
        let value = self.value(expr)?;
        if !value.faults.is_empty() {
            return Err(Diagnostic::error("what is observed has to have a value in the end, whatever happens")
                .at(expr.span, "may look through `none`, or outside of something")
                .help("observe the reference itself, and the fields of the objects by their names"));
        }
        Ok(Observed { text: self.line(expr.span), value: value.expr, domain: domain(self.decls, value.ty) })
    }
}

/// Does what precedes the first steps of the threads, which can only depend on constants and on local variables: the first state is
/// the one behind it.
fn enter(model: &mut Model, entry: &[Action]) -> std::result::Result<(), Diagnostic> {
    let mut state = eval::first(model);
    eval::perform(model, &mut state, entry)
        .map_err(|failure| Diagnostic::error(failure.why.to_string()).at(failure.at, "always fails, before any step"))?;
    let elements = model.vars.iter_mut().flat_map(|var| &mut var.elements);
    elements.zip(state.0).for_each(|(element, value)| element.init = value);
    Ok(())
}
