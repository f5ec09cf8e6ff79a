//! The control flow of a thread: nodes that are written in the order of the text, and what becomes of them: steps.
//!
//! Only [`Node::Step`] is a step. Everything else (local work, branches on local variables, jumps) happens together with the
//! step before it, so that control flow adds no interleavings: [`Graph::steps`] folds it into the actions of that step.

use std::{cell::Cell, sync::Arc};

use super::{fold, limits};
use crate::{
    lang::{Diagnostic, Span},
    model::{Action, Expr, Place, Step, ThreadId, VarId},
};

/// More actions than this in one step mean that its branches multiply.
const MOST_ACTIONS: usize = 1 << 14;
/// Branches after each other in one step; each doubles what follows, unless both ways soon end.
const MOST_BRANCHES: usize = 100;

/// Index into [`Graph::nodes`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct NodeId(usize);

/// Something that may go wrong in a step.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) when: Expr,
    pub(super) why: Arc<str>,
    pub(super) at: Span,
}

impl Fault {
    /// It can only happen where something else holds.
    pub(super) fn once(self, condition: &Expr) -> Self {
        Self { when: fold::and(condition.clone(), self.when), ..self }
    }

    pub(super) fn action(self) -> Action {
        Action::Fail { when: self.when, why: self.why, at: self.at }
    }
}

/// One of the ways in which a step can be taken.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) guard: Expr,
    /// What may go wrong in evaluating the guard.
    pub(super) faults: Vec<Fault>,
    pub(super) actions: Vec<Action>,
    pub(super) next: NodeId,
    /// What this way is called, where that differs from the step as a whole.
    pub(super) text: Option<String>,
}

impl Choice {
    fn weight(&self) -> usize {
        let size = |expr: &Expr| fold::size(expr, limits::MOST_SIZE);
        size(&self.guard) + self.faults.iter().map(|fault| size(&fault.when)).sum::<usize>() + limits::weight(&self.actions)
    }
}

#[derive(Clone, Debug)]
enum Node {
    /// Nothing stands here yet.
    Hole,
    Step {
        choices: Vec<Choice>,
        text: String,
        at: Span,
    },
    Local {
        actions: Vec<Action>,
        next: NodeId,
    },
    Branch {
        condition: Expr,
        yes: NodeId,
        no: NodeId,
    },
    Goto(NodeId),
    End,
}

/// A thread, as far as it is written. New nodes go to the cursor.
pub(super) struct Graph {
    nodes: Vec<Node>,
    cursor: NodeId,
    /// Where loops begin, for diagnostics.
    heads: Vec<(NodeId, Span)>,
    /// Nodes of the threads before this one.
    before: usize,
    /// Operators in all threads, those that were copied among them.
    size: Cell<usize>,
}

/// What a finished graph becomes.
pub(super) struct Flow {
    pub(super) steps: Vec<Step>,
    /// The value of the program counter at the end.
    pub(super) end: i32,
    /// What happens before the first step: sets local variables and the program counter.
    pub(super) entry: Vec<Action>,
    /// Whether the end can be reached at all.
    pub(super) ends: bool,
}

impl Graph {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::Hole], cursor: NodeId(0), heads: Vec::new(), before: 0, size: Cell::new(0) }
    }

    /// The graph of the next thread: all threads together have to stay within the limits.
    pub(super) fn after(last: &Self) -> Self {
        Self { before: last.before + last.nodes.len(), size: last.size.clone(), ..Self::new() }
    }

    /// Where the next node goes.
    pub(super) fn cursor(&self) -> NodeId {
        self.cursor
    }

    /// Goes on writing elsewhere.
    pub(super) fn move_to(&mut self, node: NodeId) {
        self.cursor = node;
    }

    /// A place to jump to and to write later.
    pub(super) fn hole(&mut self) -> NodeId {
        self.nodes.push(Node::Hole);
        NodeId(self.nodes.len() - 1)
    }

    /// Whether the threads have grown beyond all reason.
    pub(super) fn is_too_large(&self) -> bool {
        self.before + self.nodes.len() > limits::MOST_NODES || self.size.get() > limits::MOST_SIZE
    }

    fn spend(&self, size: usize) {
        self.size.set(self.size.get().saturating_add(size));
    }

    pub(super) fn loop_head(&mut self, at: Span) -> NodeId {
        // A node of its own, so that a jump back to it is not a jump to whatever precedes it.
        let head = self.hole();
        self.goto(head);
        self.cursor = head;
        self.heads.push((head, at));
        head
    }

    pub(super) fn goto(&mut self, target: NodeId) {
        self.place(Node::Goto(target));
        self.cursor = self.hole();
    }

    pub(super) fn local(&mut self, actions: Vec<Action>) {
        if actions.is_empty() {
            return;
        }
        let next = self.hole();
        self.place(Node::Local { actions, next });
        self.cursor = next;
    }

    /// A step with one way to take it.
    pub(super) fn step(&mut self, guard: Expr, faults: Vec<Fault>, actions: Vec<Action>, text: String, at: Span) {
        let next = self.hole();
        self.place(Node::Step { choices: vec![Choice { guard, faults, actions, next, text: None }], text, at });
        self.cursor = next;
    }

    /// A step that was written around its contents: `entry` is where it begins, and its actions go on at `inner`.
    pub(super) fn step_into(&mut self, entry: NodeId, choice: Choice, text: String, at: Span) {
        self.nodes[entry.0] = Node::Step { choices: vec![choice], text, at };
    }

    /// A step with several ways; the cursor is lost.
    pub(super) fn choices(&mut self, choices: Vec<Choice>, text: String, at: Span) {
        self.place(Node::Step { choices, text, at });
    }

    /// Goes on at one of two new places.
    pub(super) fn branch(&mut self, condition: Expr) -> (NodeId, NodeId) {
        let (yes, no) = (self.hole(), self.hole());
        self.place(Node::Branch { condition, yes, no });
        (yes, no)
    }

    /// Where both ways of the branch at `node` do local work only until they meet at `join`, makes them one: sequences of such
    /// branches would otherwise multiply.
    pub(super) fn straighten(&mut self, node: NodeId, join: NodeId) {
        let Node::Branch { condition, yes, no } = &self.nodes[node.0] else { return };
        if let (Some(yes), Some(no)) = (self.straight(*yes, join), self.straight(*no, join)) {
            let actions = vec![Action::If(condition.clone(), yes, no)];
            self.spend(limits::weight(&actions));
            self.nodes[node.0] = Node::Local { actions, next: join };
        }
    }

    fn straight(&self, mut node: NodeId, join: NodeId) -> Option<Vec<Action>> {
        let mut all = Vec::new();
        for _ in 0..self.nodes.len() {
            if node == join {
                return Some(all);
            }
            match &self.nodes[node.0] {
                Node::Goto(next) => node = *next,
                Node::Local { actions, next } => {
                    all.extend(actions.iter().cloned());
                    node = *next;
                }
                _ => return None,
            }
        }
        None
    }

    /// The thread ends here.
    pub(super) fn end(&mut self) {
        self.place(Node::End);
    }

    fn place(&mut self, node: Node) {
        self.spend(match &node {
            Node::Step { choices, .. } => choices.iter().map(Choice::weight).sum(),
            Node::Local { actions, .. } => limits::weight(actions),
            Node::Branch { condition, .. } => fold::size(condition, limits::MOST_SIZE),
            Node::Hole | Node::Goto(_) | Node::End => 0,
        });
        self.nodes[self.cursor.0] = node;
    }

    /// The steps of the thread. `last` is what happens together with its last step.
    pub(super) fn steps(&self, thread: ThreadId, pc: VarId, last: &[Action]) -> Result<Flow, Diagnostic> {
        let reachable = self.reachable();
        let mut numbers = vec![None; self.nodes.len()];
        let mut end = 0;
        for (node, number) in numbers.iter_mut().enumerate() {
            if reachable[node] && matches!(self.nodes[node], Node::Step { .. }) {
                *number = Some(end);
                end += 1;
            }
        }
        let folder = Folder { graph: self, numbers: &numbers, pc: Place { var: pc, index: None }, end, last };
        let mut path = Path { nodes: Vec::new(), on: vec![false; self.nodes.len()], branches: 0 };
        let mut steps = Vec::new();
        for (node, number) in numbers.iter().enumerate() {
            let (Some(from), Node::Step { choices, text, at }) = (*number, &self.nodes[node]) else { continue };
            for choice in choices {
                let mut step = |guard, actions| {
                    let text = choice.text.clone().unwrap_or_else(|| text.clone());
                    steps.push(Step { thread, from: Some(from), guard, actions, text, at: *at });
                };
                let mut safe = choice.guard.clone();
                for fault in &choice.faults {
                    let why = Fault { when: fold::truth(true), ..fault.clone() };
                    step(fault.when.clone(), vec![why.action()]);
                    safe = fold::and(fold::not(fault.when.clone()), safe);
                }
                if fold::is_false(&safe) {
                    continue;
                }
                let mut actions = choice.actions.clone();
                folder.follow(choice.next, &mut actions, &mut path, *at)?;
                step(safe, actions);
            }
        }
        let mut entry = Vec::new();
        folder.follow(NodeId(0), &mut entry, &mut path, Span::default())?;
        let ends = self.nodes.iter().zip(&reachable).any(|(node, reached)| *reached && matches!(node, Node::End));
        Ok(Flow { steps, end, entry, ends })
    }

    fn reachable(&self) -> Vec<bool> {
        let mut seen = vec![false; self.nodes.len()];
        let mut open = vec![NodeId(0)];
        while let Some(node) = open.pop() {
            if std::mem::replace(&mut seen[node.0], true) {
                continue;
            }
            match &self.nodes[node.0] {
                Node::Hole | Node::End => {}
                Node::Step { choices, .. } => open.extend(choices.iter().map(|choice| choice.next)),
                Node::Local { next, .. } | Node::Goto(next) => open.push(*next),
                Node::Branch { condition, yes, no } => {
                    open.extend((!fold::is_false(condition)).then_some(*yes));
                    open.extend((!fold::is_true(condition)).then_some(*no));
                }
            }
        }
        seen
    }

    /// The first loop of the text, for the diagnostic that nothing leads out.
    pub(super) fn first_loop(&self) -> Option<Span> {
        let reachable = self.reachable();
        self.heads.iter().find(|(head, _)| reachable[head.0]).map(|(_, at)| *at)
    }
}

/// The way from a step to where its actions end.
struct Path {
    nodes: Vec<NodeId>,
    /// Whether each node of the graph is one of them.
    on: Vec<bool>,
    /// Branches on it that are no constants.
    branches: usize,
}

impl Path {
    fn push(&mut self, node: NodeId) {
        self.nodes.push(node);
        self.on[node.0] = true;
    }

    fn truncate(&mut self, depth: usize) {
        for node in self.nodes.drain(depth..) {
            self.on[node.0] = false;
        }
    }
}

/// Folds what follows a step into it.
struct Folder<'a> {
    graph: &'a Graph,
    numbers: &'a [Option<i32>],
    pc: Place,
    end: i32,
    last: &'a [Action],
}

impl Folder<'_> {
    fn follow(&self, mut node: NodeId, actions: &mut Vec<Action>, path: &mut Path, step: Span) -> Result<usize, Diagnostic> {
        let depth = path.nodes.len();
        let mut size = 0;
        loop {
            if path.on[node.0] {
                let head = self.graph.heads.iter().rev().find(|(head, _)| path.on[head.0]);
                return Err(Diagnostic::error("this loop can go round without taking a step")
                    .at(head.map_or(step, |(_, at)| *at), "would never end")
                    .help("bound it (`repeat 3 { … }`), or let every round wait for or look at something that others can change")
                    .note("whatever its local variables say: every way round has to take a step"));
            }
            path.push(node);
            self.graph.spend(1);
            if self.graph.is_too_large() {
                return Err(Diagnostic::error("the model is too large").at(step, "much is done between steps"));
            }
            match &self.graph.nodes[node.0] {
                Node::Goto(next) => node = *next,
                Node::Local { actions: own, next } => {
                    size += own.len();
                    self.graph.spend(limits::weight(own));
                    actions.extend(own.iter().cloned());
                    node = *next;
                }
                Node::Branch { condition, yes, no } => match condition {
                    Expr::Const(0) => node = *no,
                    Expr::Const(_) => node = *yes,
                    condition => {
                        let (mut then, mut otherwise) = (Vec::new(), Vec::new());
                        path.branches += 1;
                        if path.branches <= MOST_BRANCHES {
                            size += self.follow(*yes, &mut then, path, step)?;
                            size += self.follow(*no, &mut otherwise, path, step)?;
                        }
                        path.branches -= 1;
                        if size > MOST_ACTIONS || path.branches >= MOST_BRANCHES {
                            return Err(Diagnostic::error("too many ways through one step").at(step, "its branches multiply"));
                        }
                        actions.push(Action::If(condition.clone(), then, otherwise));
                        break;
                    }
                },
                Node::Step { .. } => {
                    let number = self.numbers[node.0].unwrap_or(self.end);
                    actions.push(Action::Set(self.pc.clone(), Expr::Const(number)));
                    break;
                }
                Node::Hole | Node::End => {
                    self.graph.spend(limits::weight(self.last));
                    actions.extend(self.last.iter().cloned());
                    actions.push(Action::Set(self.pc.clone(), Expr::Const(self.end)));
                    break;
                }
            }
        }
        path.truncate(depth);
        Ok(size + 1)
    }
}
