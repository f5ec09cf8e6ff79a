//! A compiled model: finite variables, threads, and atomic steps with guards. All that the explorer, the exporters and the
//! printer of traces need, and nothing of the language it was written in.
//!
//! Every value is an `i32` inside the range of its [`Domain`]; a reference to an object is its number counted from 1, with 0
//! for `none`; a `bool` is 0 or 1. A state is one value for each element of each variable.

pub mod eval;
#[cfg(test)]
pub(crate) mod fixture;
pub mod show;
pub mod targets;

use std::sync::Arc;

use crate::lang::Span;

/// One variant of a model file, under one memory model, compiled.
#[derive(Clone, Debug)]
pub struct Model {
    /// The text after `model`.
    pub name: String,
    /// The ordering, or `default` where the file has none.
    pub variant: String,
    /// Every variable. The order is that of the text; program counters come last.
    pub vars: Vec<Var>,
    /// The threads, in the order of the text.
    pub threads: Vec<Thread>,
    /// What the threads (and, under a weak memory model, their store buffers and caches) can do.
    pub steps: Vec<Step>,
    /// What must hold.
    pub properties: Vec<Property>,
    /// What of a final state is of interest: the columns of a litmus test's table. It has no meaning for the explorer.
    pub observed: Vec<Observed>,
    /// A state in which nothing can run, though not every thread has finished, is a failure.
    pub forbid_deadlock: bool,
    /// A state from which no finished state can be reached is a failure. (Where a deadlock is none, that is as good an end.)
    pub forbid_livelock: bool,
}

/// Index into [`Model::vars`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VarId(pub u32);

/// Index into [`Model::threads`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ThreadId(pub u32);

/// Index into [`Model::steps`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StepId(pub u32);

/// Index into [`Model::properties`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PropertyId(pub u32);

/// One variable: a scalar, or an array (a field of a kind has an element for each object).
#[derive(Clone, PartialEq, Debug)]
pub struct Var {
    /// Unique in the model, and an identifier up to dots and brackets: `mmu`, `page.data`, `guest.r`, `guest.pc`.
    pub name: String,
    /// Whose it is.
    pub role: Role,
    /// Its values.
    pub domain: Domain,
    /// At least one element.
    pub elements: Vec<Element>,
}

/// One element of a variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Element {
    /// As a person calls it: `A.data`, `F[3].data`, `mmu`.
    pub name: String,
    /// Its value in the first state; within the domain.
    pub init: i32,
}

/// Whose a variable is, and what for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Seen by all threads, declared in the text.
    Shared,
    /// A thread's own, declared in the text.
    Local(ThreadId),
    /// Where a thread stands. Its last value is [`Thread::end`].
    Pc(ThreadId),
    /// The stores that wait in a thread's buffer, the oldest first. The first variable of this role says where each store goes (by
    /// name, the least value being none), the second what it stores, a third behind which of them a barrier stands.
    Buffer(ThreadId),
    /// Bookkeeping of the compiler (RCU sections, copies of memory, …): printed where it changes, but not the user's.
    Hidden,
}

/// The values of a variable: `lo..=hi`.
#[derive(Clone, PartialEq, Debug)]
pub struct Domain {
    /// The least.
    pub lo: i32,
    /// The greatest; not below `lo`.
    pub hi: i32,
    /// How they are written.
    pub show: Show,
}

/// How values are written.
#[derive(Clone, PartialEq, Debug)]
pub enum Show {
    /// `3`
    Number,
    /// `false`, `true`
    Bool,
    /// By name: `names[value - lo]`.
    Names(Arc<[String]>),
}

/// A thread.
#[derive(Clone, PartialEq, Debug)]
pub struct Thread {
    /// As written: `guest`, `vcpu[1]`.
    pub name: String,
    /// Its program counter.
    pub pc: VarId,
    /// The value of the program counter when the thread has finished.
    pub end: i32,
}

/// An expression over one state. `And`, `Or` and `Select` leave out what does not count; a comparison yields 0 or 1.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// A number.
    Const(i32),
    /// The value of an element.
    Read(Place),
    /// 1 for 0, 0 for anything else.
    Not(Box<Expr>),
    /// Two operands. Division and remainder by 0 yield 0 (the compiler puts a [`Action::Fail`] before them).
    Binary(BinOp, Box<Expr>, Box<Expr>),
    /// The second where the first is not 0, the third otherwise.
    Select(Box<[Expr; 3]>),
}

/// Operators; [`BinOp::apply`] says what they yield.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "each is the operator of its name")]
pub enum BinOp {
    Add,
    Sub,
    Mul,
    Div,
    /// The remainder that is never negative (Euclid's).
    Mod,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

impl BinOp {
    /// What an operator yields for two values: one meaning for the reference, the explorer and the compiler. Arithmetic wraps like
    /// `i32` (`i32::MIN / -1` is `i32::MIN`), and dividing by 0 yields 0 (the compiler makes that a failure before it is looked at).
    /// Conditions are 0 or 1, and anything but 0 is true.
    #[must_use]
    #[inline]
    pub fn apply(self, a: i32, b: i32) -> i32 {
        match self {
            Self::Add => a.wrapping_add(b),
            Self::Sub => a.wrapping_sub(b),
            Self::Mul => a.wrapping_mul(b),
            Self::Div | Self::Mod if b == 0 => 0,
            Self::Div => a.wrapping_div(b),
            Self::Mod => a.wrapping_rem_euclid(b),
            Self::Eq => i32::from(a == b),
            Self::Ne => i32::from(a != b),
            Self::Lt => i32::from(a < b),
            Self::Le => i32::from(a <= b),
            Self::Gt => i32::from(a > b),
            Self::Ge => i32::from(a >= b),
            Self::And => i32::from(a != 0 && b != 0),
            Self::Or => i32::from(a != 0 || b != 0),
        }
    }
}

/// An element of a variable.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    /// The variable.
    pub var: VarId,
    /// Which element, from 0; none: the first. An index outside the variable reads 0's element and writes nothing (the compiler
    /// puts an [`Action::Fail`] before it).
    pub index: Option<Box<Expr>>,
}

/// What a step does. Each sees what those before it wrote.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Writes a value, which the compiler knows to be within the domain.
    Set(Place, Expr),
    /// A local variable goes out of scope: it takes its domain's least value again, so that states that differ only in what nobody
    /// will read are one. Not an event of the model, which is why it is no [`Action::Set`].
    Forget(VarId),
    /// Does one or the other.
    If(Expr, Vec<Action>, Vec<Action>),
    /// Where the condition holds, the step ends here and is a violation; no state follows from it.
    Fail {
        /// The condition.
        when: Expr,
        /// What it is a violation of.
        why: Arc<str>,
        /// The place in the text that asks for it.
        at: Span,
    },
}

impl Action {
    /// What [`Action::Forget`] does, said without it; nothing for a variable that the model does not have.
    pub fn forgetting(model: &Model, var: VarId) -> impl Iterator<Item = Action> {
        let declared = model.vars.get(var.0 as usize);
        let (least, elements) = declared.map_or((0, 0), |declared| (declared.domain.lo, declared.elements.len()));
        (0..).take(elements).map(move |element| {
            let index = (elements > 1).then(|| Box::new(Expr::Const(element)));
            Action::Set(Place { var, index }, Expr::Const(least))
        })
    }
}

/// One atomic step: where the guard holds, all of its actions, at once.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Who takes it.
    pub thread: ThreadId,
    /// The program counter at which it can be taken, and which its actions set; none for a store buffer that drains or a
    /// cached value that is refreshed, which happen beside the program.
    pub from: Option<i32>,
    /// What else must hold. Reads only.
    pub guard: Expr,
    /// What it does.
    pub actions: Vec<Action>,
    /// As a person reads it: `x.pte = B`, `lock mmu`. One line.
    pub text: String,
    /// Where it stands in the text.
    pub at: Span,
}

/// What must hold.
#[derive(Clone, PartialEq, Debug)]
pub struct Property {
    /// When it is looked at, and what is asked.
    pub ask: Ask,
    /// The condition.
    pub condition: Expr,
    /// As written: `never A.data == 2`.
    pub text: String,
    /// What it means, in the author's words.
    pub message: Option<String>,
    /// Where it stands in the text.
    pub at: Span,
}

/// What is looked at in a state in which all threads have finished.
#[derive(Clone, PartialEq, Debug)]
pub struct Observed {
    /// As written: `guest.r`.
    pub text: String,
    /// Its value.
    pub value: Expr,
    /// Its values.
    pub domain: Domain,
}

/// What a property asks of its condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// To be true in every state (`never` is compiled to this).
    Always,
    /// To be true in at least one state.
    Sometimes,
    /// To be true in every state in which all threads have finished.
    Finally,
}

/// A state, unpacked: the values of all elements of all variables, one variable after the other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct State(pub Box<[i32]>);
