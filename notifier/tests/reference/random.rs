//! Small random models, well-formed as the compiler's are: every value that is set lies in its domain.
//!
//! What proptest draws speaks of "variable 17" and "line 9"; [`build`] takes that modulo what there is, so that every draw is a
//! model and every shrunk draw still is one.

use std::sync::Arc;

use nostale_notifier::{
    lang::Span,
    model::{Action, Ask, BinOp, Domain, Element, Expr, Model, Place, Property, Role, Show, Step, Thread, ThreadId, Var, VarId},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

/// Names that are hard on an exporter: words of other languages, macros of C, and two that differ by punctuation only.
const NAMES: [&str; 8] = ["len", "page.data", "page_data", "linux", "NULL", "end", "guest.r[1]", "now"];
/// Texts that are hard to quote; one of them twice.
const TEXTS: [&str; 5] = ["x.pte = B", "say \"50 %d\\n\"", "/* lock */ mmu", "x.pte = B", "x → y, *done*"];

/// Which numbers occur in expressions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Numbers {
    /// Near 0: no arithmetic leaves 32 bits.
    #[allow(dead_code, reason = "not every user needs them")]
    Small,
    /// Also the least and the greatest, so that arithmetic wraps.
    #[allow(dead_code, reason = "other languages have no wrapping arithmetic, so not every user compares it")]
    Extreme,
}

#[derive(Clone, Debug)]
struct RawVar {
    lo: i32,
    size: i32,
    inits: Vec<u8>,
}

/// One way to go on from a place in a thread.
#[derive(Clone, Debug)]
struct Way {
    guard: Option<Expr>,
    actions: Vec<Action>,
    /// Where to, under which condition, instead of the next line.
    jump: Option<(Expr, u8)>,
    text: u8,
}

#[derive(Clone, Debug)]
struct RawThread {
    locals: Vec<RawVar>,
    lines: Vec<Vec<Way>>,
    /// A step beside the program.
    beside: Option<Way>,
}

/// A conjunction of "element = value": true in few states.
type Corner = Vec<(u8, u8, u8)>;

/// A model of two or three threads, of a few thousand states at the most in nearly all cases.
pub(crate) fn models(numbers: Numbers) -> impl Strategy<Value = Model> {
    let shared = prop::collection::vec(var(3), 1..=3);
    let threads = prop::collection::vec(thread(numbers), 2..=3);
    let ask = prop_oneof![4 => Just(Ask::Always), 2 => Just(Ask::Sometimes), 2 => Just(Ask::Finally)];
    let properties = prop::collection::vec((ask, corner(), expr(numbers)), 0..=3);
    (shared, threads, properties, prop::bool::weighted(0.4), prop::bool::weighted(0.4))
        .prop_map(|(shared, threads, properties, deadlock, livelock)| build(&shared, &threads, properties, (deadlock, livelock)))
}

/// The same models in every run.
pub(crate) fn sample(numbers: Numbers, count: usize) -> Vec<Model> {
    let mut runner = TestRunner::deterministic();
    let models = models(numbers);
    (0..count).map(|_| models.new_tree(&mut runner).expect("nothing is filtered out").current()).collect()
}

/// How models are drawn in a test; what fails is shrunk and printed, and nothing is written into the tree.
#[allow(dead_code, reason = "not every user draws")]
pub(crate) fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

fn var(elements: usize) -> impl Strategy<Value = RawVar> {
    let inits = prop::collection::vec(any::<u8>(), 1..=elements);
    (-2..=1, 1..=3, inits).prop_map(|(lo, size, inits)| RawVar { lo, size, inits })
}

fn thread(numbers: Numbers) -> impl Strategy<Value = RawThread> {
    let locals = prop::collection::vec(var(1), 0..=1);
    let lines = prop::collection::vec(prop::collection::vec(way(numbers), 1..=2), 3..=6);
    (locals, lines, prop::option::weighted(0.2, way(numbers))).prop_map(|(locals, lines, beside)| RawThread {
        locals,
        lines,
        beside,
    })
}

fn way(numbers: Numbers) -> impl Strategy<Value = Way> {
    let guard = prop::option::weighted(0.3, expr(numbers));
    let actions = prop::collection::vec(action(numbers), 0..=2);
    let jump = prop::option::weighted(0.25, (expr(numbers), any::<u8>()));
    (guard, actions, jump, any::<u8>()).prop_map(|(guard, actions, jump, text)| Way { guard, actions, jump, text })
}

fn corner() -> impl Strategy<Value = Corner> {
    prop::collection::vec(any::<(u8, u8, u8)>(), 2..=4)
}

fn place(numbers: Numbers) -> impl Strategy<Value = Place> {
    // Without recursion: the index is a plain value, often one that lies outside.
    let index = prop_oneof![number(numbers), any::<u8>().prop_map(|var| read(u32::from(var)))];
    (any::<u8>(), prop::option::of(index))
        .prop_map(|(var, index)| Place { var: VarId(u32::from(var)), index: index.map(Box::new) })
}

fn number(numbers: Numbers) -> BoxedStrategy<Expr> {
    match numbers {
        Numbers::Small => (-2..=4).prop_map(Expr::Const).boxed(),
        Numbers::Extreme => prop_oneof![9 => -2..=4, 1 => Just(i32::MIN), 1 => Just(i32::MAX)].prop_map(Expr::Const).boxed(),
    }
}

fn expr(numbers: Numbers) -> impl Strategy<Value = Expr> {
    use BinOp::{Add, And, Div, Eq, Ge, Gt, Le, Lt, Mod, Mul, Ne, Or, Sub};
    let leaf = prop_oneof![1 => number(numbers), 3 => place(numbers).prop_map(Expr::Read)];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let op = prop::sample::select(vec![Add, Sub, Mul, Div, Mod, Eq, Ne, Lt, Le, Gt, Ge, And, Or]);
        prop_oneof![
            6 => (op, inner.clone(), inner.clone()).prop_map(|(op, left, right)| binary(op, left, right)),
            1 => inner.clone().prop_map(|operand| Expr::Not(Box::new(operand))),
            1 => [inner.clone(), inner.clone(), inner.clone()].prop_map(|parts| Expr::Select(Box::new(parts))),
            1 => (any::<u8>(), inner).prop_map(|(var, index)| {
                Expr::Read(Place { var: VarId(u32::from(var)), index: Some(Box::new(index)) })
            }),
        ]
    })
}

fn action(numbers: Numbers) -> impl Strategy<Value = Action> {
    let set = (place(numbers), expr(numbers)).prop_map(|(place, expr)| Action::Set(place, expr)).boxed();
    // A step that fails in most states would leave nothing to explore.
    let fail = corner().prop_map(|corner| Action::Fail {
        when: raw_corner(&corner),
        why: "it must not come to this, 100 %".into(),
        at: Span::default(),
    });
    let branch = prop::collection::vec(set.clone(), 0..=2);
    let choice = (expr(numbers), branch.clone(), branch).prop_map(|(when, then, other)| Action::If(when, then, other));
    let forget = any::<u8>().prop_map(|var| Action::Forget(VarId(u32::from(var))));
    prop_oneof![6 => set, 2 => choice, 1 => forget, 1 => fail]
}

/// A conjunction over variables that are still to be chosen; see [`Builder::expr`] for the numbers it compares with.
fn raw_corner(corner: &Corner) -> Expr {
    let terms = corner.iter().map(|(var, element, value)| {
        let place = Place { var: VarId(u32::from(*var)), index: Some(Box::new(Expr::Const(i32::from(*element % 3)))) };
        binary(BinOp::Eq, Expr::Read(place), Expr::Const(i32::from(*value % 5) - 2))
    });
    terms.reduce(|left, right| binary(BinOp::And, left, right)).unwrap_or(Expr::Const(0))
}

fn read(var: u32) -> Expr {
    Expr::Read(Place { var: VarId(var), index: None })
}

fn binary(op: BinOp, left: Expr, right: Expr) -> Expr {
    Expr::Binary(op, Box::new(left), Box::new(right))
}

fn build(
    shared: &[RawVar],
    threads: &[RawThread],
    properties: Vec<(Ask, Corner, Expr)>,
    (forbid_deadlock, forbid_livelock): (bool, bool),
) -> Model {
    let mut builder = Builder { vars: Vec::new() };
    let shared: Vec<_> = shared.iter().map(|raw| builder.declare(raw, Role::Shared)).collect();
    let ids = (0u32..).map(ThreadId);
    let locals: Vec<Vec<_>> = ids
        .clone()
        .zip(threads)
        .map(|(id, thread)| thread.locals.iter().map(|raw| builder.declare(raw, Role::Local(id))).collect())
        .collect();
    let mut built = Vec::new();
    let mut steps = Vec::new();
    for ((id, thread), locals) in ids.zip(threads).zip(&locals) {
        let scope: Vec<_> = shared.iter().chain(locals).copied().collect();
        let end = i32::try_from(thread.lines.len()).expect("a few lines");
        let pc = builder.counter(id, end);
        for (from, ways) in (0..).zip(&thread.lines) {
            steps.extend(ways.iter().map(|way| builder.step(way, id, Some((pc, from, end)), &scope)));
        }
        steps.extend(thread.beside.iter().map(|way| builder.step(way, id, None, &scope)));
        built.push(Thread { name: format!("t[{}]", id.0), pc, end });
    }
    let everything: Vec<_> = (0u32..).map(VarId).take(builder.vars.len()).collect();
    let properties = properties
        .into_iter()
        .enumerate()
        .map(|(number, (ask, corner, any))| {
            let corner = builder.expr(&raw_corner(&corner), &everything);
            let condition = match ask {
                Ask::Always => Expr::Not(Box::new(corner)),
                Ask::Sometimes => binary(BinOp::Or, corner, builder.expr(&any, &everything)),
                Ask::Finally => binary(BinOp::Or, Expr::Not(Box::new(corner)), builder.expr(&any, &everything)),
            };
            let text = format!("\"{number}\" \\ {}", TEXTS[number % TEXTS.len()]);
            Property { ask, condition, text, message: None, at: Span::default() }
        })
        .collect();
    Model {
        name: "random */ -- \"model\"".to_owned(),
        variant: "default".to_owned(),
        vars: builder.vars,
        threads: built,
        steps,
        properties,
        observed: Vec::new(),
        forbid_deadlock,
        forbid_livelock,
    }
}

struct Builder {
    vars: Vec<Var>,
}

impl Builder {
    fn push(&mut self, var: Var) -> VarId {
        self.vars.push(var);
        VarId(u32::try_from(self.vars.len() - 1).expect("a few variables"))
    }

    fn declare(&mut self, raw: &RawVar, role: Role) -> VarId {
        let name = NAMES[self.vars.len() % NAMES.len()];
        let elements = raw
            .inits
            .iter()
            .enumerate()
            .map(|(at, init)| Element { name: format!("{name}[{at}]"), init: raw.lo + i32::from(*init) % raw.size });
        let domain = Domain { lo: raw.lo, hi: raw.lo + raw.size - 1, show: Show::Number };
        self.push(Var { name: name.to_owned(), role, domain, elements: elements.collect() })
    }

    fn counter(&mut self, thread: ThreadId, end: i32) -> VarId {
        let name = format!("t[{}].pc", thread.0);
        let element = Element { name: name.clone(), init: 0 };
        let domain = Domain { lo: 0, hi: end, show: Show::Number };
        self.push(Var { name, role: Role::Pc(thread), domain, elements: vec![element] })
    }

    fn step(&self, way: &Way, thread: ThreadId, at: Option<(VarId, i32, i32)>, scope: &[VarId]) -> Step {
        let mut actions: Vec<_> = way.actions.iter().map(|action| self.action(action, scope)).collect();
        if let Some((pc, from, end)) = at {
            let go = |to| Action::Set(Place { var: pc, index: None }, Expr::Const(to));
            actions.push(match &way.jump {
                None => go(from + 1),
                Some((when, to)) => {
                    let to = i32::from(*to) % (end + 1);
                    Action::If(self.expr(when, scope), vec![go(to)], vec![go(from + 1)])
                }
            });
        }
        let guard = way.guard.as_ref().map_or(Expr::Const(1), |guard| self.expr(guard, scope));
        let text = TEXTS[usize::from(way.text) % TEXTS.len()].to_owned();
        Step { thread, from: at.map(|(_, from, _)| from), guard, actions, text, at: Span::default() }
    }

    fn place(&self, raw: &Place, scope: &[VarId]) -> Place {
        let index = raw.index.as_ref().map(|index| Box::new(self.expr(index, scope)));
        Place { var: scope[raw.var.0 as usize % scope.len()], index }
    }

    fn expr(&self, raw: &Expr, scope: &[VarId]) -> Expr {
        let inner = |raw: &Expr| Box::new(self.expr(raw, scope));
        match raw {
            Expr::Const(number) => Expr::Const(*number),
            Expr::Read(place) => Expr::Read(self.place(place, scope)),
            Expr::Not(operand) => Expr::Not(inner(operand)),
            Expr::Binary(op, left, right) => Expr::Binary(*op, inner(left), inner(right)),
            Expr::Select(parts) => Expr::Select(Box::new(parts.each_ref().map(|part| self.expr(part, scope)))),
        }
    }

    fn action(&self, raw: &Action, scope: &[VarId]) -> Action {
        let all = |actions: &[Action]| actions.iter().map(|action| self.action(action, scope)).collect();
        match raw {
            Action::Set(place, value) => {
                let place = self.place(place, scope);
                let value = wrapped(self.expr(value, scope), &self.vars[place.var.0 as usize].domain);
                Action::Set(place, value)
            }
            Action::Forget(raw) => Action::Forget(scope[raw.0 as usize % scope.len()]),
            Action::If(when, then, otherwise) => Action::If(self.expr(when, scope), all(then), all(otherwise)),
            Action::Fail { when, why, at } => Action::Fail { when: self.expr(when, scope), why: Arc::clone(why), at: *at },
        }
    }
}

/// `lo + (value - lo) mod size`
fn wrapped(value: Expr, domain: &Domain) -> Expr {
    let size = domain.hi - domain.lo + 1;
    let distance = binary(BinOp::Sub, value, Expr::Const(domain.lo));
    binary(BinOp::Add, Expr::Const(domain.lo), binary(BinOp::Mod, distance, Expr::Const(size)))
}
