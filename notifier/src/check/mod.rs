//! The explorer: every interleaving of a compiled [`Model`](crate::model::Model), breadth first, each state kept exactly.

mod act;
mod agreement;
mod build;
mod code;
mod emit;
mod ends;
mod explore;
mod fold;
mod layout;
mod levels;
mod livelock;
mod mem;
mod program;
mod random;
mod search;
mod store;
mod touch;
mod trace;
mod worker;

use std::time::Duration;

use crate::model::{PropertyId, State, StepId};

pub use agreement::{Agreement, agreement, is_vacuous};
pub use ends::{End, Ends, ends};
pub use explore::explore;
pub use layout::TooWide;
pub use random::{Walks, walk};

/// What bounds an exploration, and how it runs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Stop, with [`Verdict::Bounded`], where more states than this would be kept.
    pub max_states: u64,
    /// Stop, with [`Verdict::Bounded`], where more memory than this would be used. Bytes.
    pub max_bytes: u64,
    /// Worker threads; the results are the same for every number.
    pub workers: usize,
}

/// How far an exploration has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// States seen, about.
    pub states: u64,
    /// The level that is being expanded.
    pub depth: u32,
}

/// Which limit was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// [`Limits::max_states`].
    States,
    /// [`Limits::max_bytes`].
    Bytes,
    /// The caller has had enough.
    Interrupted,
    /// The number of random walks.
    Walks,
}

/// What an exploration says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Exhausted: every reachable state was seen, and all is well.
    Holds,
    /// A property or a step failed, or a `sometimes` never came true.
    Fails,
    /// A state in which nothing can run, though not every thread has finished.
    Deadlock,
    /// A state from which no finished state can be reached.
    Livelock,
    /// A limit was reached; nothing bad was seen until then, which proves nothing.
    Bounded,
}

/// The result of an exploration.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it says.
    pub verdict: Verdict,
    /// States seen, the first among them. The same in every run of the same input; after a failure, those of all levels up to
    /// and with the one in which it was found; at a limit, those of the levels that were completed.
    pub states: u64,
    /// Ways into these states: one for each step taken, and one for the first state, which is there without a step. That is how
    /// Spin and Murphi's kin count (rumur leaves the first one out).
    pub transitions: u64,
    /// Length of the longest shortest path: the last level that was completed.
    pub depth: u32,
    /// Time of the exploration, without what is needed to find the counterexample's steps.
    pub elapsed: Duration,
    /// The most memory that states and tables took at one time. Bytes.
    pub peak_bytes: u64,
    /// Bits of a packed state.
    pub state_bits: u32,
    /// Which limit was reached, where the verdict is [`Verdict::Bounded`].
    pub bound: Option<Bound>,
    /// What was violated, unless all is well or bounded.
    pub violation: Option<Violation>,
}

/// A violation and the way to it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What was violated.
    pub what: Cause,
    /// The first state.
    pub first: State,
    /// The steps in order, each with the state that it leads to; none for a `sometimes` that never came true. No way is
    /// shorter, and none of the same length changes threads less often.
    pub trace: Vec<(StepId, State)>,
    /// Livelock: steps that lead from the last state of `trace` into a round, and once around it; the index is where the round
    /// begins.
    pub round: Option<(usize, Vec<(StepId, State)>)>,
}

/// What a violation violates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// A property, in the last state of the trace (`sometimes`: in no state).
    Property(PropertyId),
    /// The last step of the trace failed (an `assert`, or a check of the compiler): why, and its place. The state beside that
    /// step is the one before it.
    Step {
        /// In words.
        why: String,
        /// The place that asks for it.
        at: crate::lang::Span,
    },
    /// Nothing can run in the last state of the trace.
    Deadlock,
    /// No finished state can be reached from the last state of the trace.
    Livelock,
}
