//! Litmus tests that nobody wrote: every program of a small [vocabulary](Step) that tells an ordering of the library from the right one,
//! and of which nothing can be taken away.
//!
//! A program *catches* an ordering if that allows it a final state that [`RIGHT`] forbids. It is kept if it is *minimal*: nothing that is
//! weaker, which is to say has a step less, or a store in place of an increment, catches at least the same orderings.
//!
//! What is looked at is bounded by the steps of all threads but the operator's; a second operation counts as such a step. A program in
//! which a test for all of [`BROKEN`] is contained is left out without a look: no program of three accesses catches any other.

mod condition;
mod judge;
mod minimise;
mod name;
mod program;
mod text;
mod vocabulary;

pub use judge::{BROKEN, RIGHT, SUSPECTS, Signature};
pub use name::Shape;
pub use program::Program;
pub use vocabulary::{Flag, Step, Virt};

use std::ops::ControlFlow;
use thiserror::Error;

/// What is to be generated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Steps of all threads but the operator's, at most.
    pub accesses: usize,
    /// Threads that explore; the result is the same for every number.
    pub workers: usize,
    /// Only what is minimal.
    pub minimal: bool,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Programs that are settled.
    pub settled: usize,
    /// Programs.
    pub programs: usize,
    /// States seen.
    pub states: u64,
}

/// A test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generated {
    /// What it is called: shape, operations and the steps of each thread, safe in a file's name.
    pub name: String,
    /// What it is about, in a word.
    pub shape: Shape,
    /// What its threads do, in words.
    pub title: String,
    /// Its threads.
    pub program: Program,
    /// Which orderings it catches.
    pub catches: Signature,
    /// States of all orderings.
    pub states: u64,
    /// The file.
    pub text: String,
}

/// All tests of a size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suite {
    /// By shape, and then by size.
    pub tests: Vec<Generated>,
    /// Programs that there are.
    pub programs: usize,
    /// Those that were explored: the others contain a test for all that is broken.
    pub explored: usize,
    /// States that were seen.
    pub states: u64,
}

/// Why there are no tests.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// A text that was generated cannot be explored.
    #[error(
        "the generated test {name} cannot be explored: {why}; this is an error of nostale's, please report it with this line"
    )]
    Unusable {
        /// The test.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The caller has had enough.
    #[error("interrupted: not all programs were looked at, so nothing is known to be minimal")]
    Interrupted,
}

/// Generates all tests of a size.
///
/// # Errors
/// When a program cannot be explored, or `progress` says that it is enough.
pub fn generate(options: &Options, progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync)) -> Result<Suite, GenerateError> {
    let found = minimise::minimise(options, progress)?;
    let mut tests = found.tests.iter().map(generated).collect::<Result<Vec<_>, _>>()?;
    tests.sort_by(|a, b| {
        let key = |test: &Generated| (test.shape, test.program.operator.len(), test.program.accesses());
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    Ok(Suite { tests, programs: found.programs, explored: found.explored, states: found.states })
}

/// A program as a file.
fn generated(program: &Program) -> Result<Generated, GenerateError> {
    let finals = judge::all_finals(program)?;
    let shape = Shape::of(program);
    let title = name::title(program);
    let condition = condition::condition(&text::columns(program), &finals);
    let claims = text::Claims { title: &title, items: &condition.items(shape.message(), finals.catches()) };
    let name = name::name(program);
    let text =
        text::formatted(&text::text(program, &claims)).map_err(|why| GenerateError::Unusable { name: name.clone(), why })?;
    Ok(Generated { name, shape, title, program: program.clone(), catches: finals.catches(), states: finals.states, text })
}

#[cfg(test)]
mod tests;
