//! Which orderings a program catches.

use super::{
    GenerateError,
    name::name,
    program::Program,
    text::{self, Claims},
};
use crate::{
    compile::{self, MemoryModel},
    lang::Sources,
    litmus::{Outcome, allowed},
};
use std::{collections::BTreeSet, ops::ControlFlow};

/// The ordering that allows what is right: today's.
pub const RIGHT: &str = "start_end";
/// Those that may allow more.
pub const SUSPECTS: [&str; 3] = ["before_populating", "after_unlock", "inside_lock"];
/// The suspects that are known to be broken.
pub const BROKEN: Signature = Signature(0b011);

/// No program of a generated test's size has nearly as many.
const MOST_STATES: u64 = 1 << 22;

/// Which of [`SUSPECTS`] a program catches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Signature(u8);

impl Signature {
    /// All signatures, by number.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..1 << SUSPECTS.len()).map(Self)
    }

    /// Its place among all.
    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// Whether nothing is caught.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all that another program catches is among it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// How many are caught.
    #[must_use]
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    fn has(self, suspect: usize) -> bool {
        self.0 >> suspect & 1 != 0
    }

    /// Whether this ordering is caught.
    #[must_use]
    pub fn catches(self, ordering: &str) -> bool {
        SUSPECTS.iter().position(|suspect| *suspect == ordering).is_some_and(|suspect| self.has(suspect))
    }

    /// The orderings that are caught.
    pub fn orderings(self) -> impl Iterator<Item = &'static str> {
        SUSPECTS.into_iter().enumerate().filter(move |(suspect, _)| self.has(*suspect)).map(|(_, name)| name)
    }
}

/// The final states under an ordering: values of all columns.
pub(super) type States = BTreeSet<Box<[i32]>>;

/// All final states of a program.
#[derive(Debug)]
pub(super) struct Finals {
    pub(super) right: States,
    /// Of each suspect.
    pub(super) suspects: [States; SUSPECTS.len()],
    /// States of all orderings.
    pub(super) states: u64,
}

impl Finals {
    pub(super) fn catches(&self) -> Signature {
        let caught = self.suspects.iter().enumerate().filter(|(_, states)| !states.is_subset(&self.right));
        Signature(caught.fold(0, |caught, (suspect, _)| caught | 1 << suspect))
    }
}

/// What a program catches, if that is not all among what is known already; and how many states were seen for that.
pub(super) fn catches(program: &Program, known: Signature) -> Result<(Signature, u64), GenerateError> {
    let ready = Ready::new(program)?;
    let mut states = 0;
    let right = ready.finals(RIGHT, &mut states)?;
    let mut caught = Signature::default();
    // What cannot make a difference by itself is looked at last.
    for is_known in [false, true] {
        for (suspect, ordering) in SUSPECTS.into_iter().enumerate().filter(|(suspect, _)| known.has(*suspect) == is_known) {
            if !ready.finals(ordering, &mut states)?.is_subset(&right) {
                caught.0 |= 1 << suspect;
            }
        }
        if caught.is_empty() {
            break;
        }
    }
    Ok((caught, states))
}

/// All final states of a program.
pub(super) fn all_finals(program: &Program) -> Result<Finals, GenerateError> {
    let ready = Ready::new(program)?;
    let mut states = 0;
    let right = ready.finals(RIGHT, &mut states)?;
    let mut suspects: [States; SUSPECTS.len()] = Default::default();
    for (finals, ordering) in suspects.iter_mut().zip(SUSPECTS) {
        *finals = ready.finals(ordering, &mut states)?;
    }
    Ok(Finals { right, suspects, states })
}

/// A program that was read.
struct Ready<'a> {
    program: &'a Program,
    compiled: compile::Program,
}

impl<'a> Ready<'a> {
    fn new(program: &'a Program) -> Result<Self, GenerateError> {
        let columns: Vec<String> = text::columns(program).into_iter().map(|column| column.name).collect();
        let claims = Claims { title: "", items: &format!("observe {}\n", columns.join(", ")) };
        let sources = Sources::new("generated", text::text(program, &claims));
        let compiled = compile::Program::read(sources).map_err(|wrong| unusable(program, wrong.render(false)))?;
        Ok(Self { program, compiled })
    }

    fn finals(&self, ordering: &str, states: &mut u64) -> Result<States, GenerateError> {
        let model = self.compiled.compile(ordering, MemoryModel::Sc);
        let model = model.map_err(|wrong| unusable(self.program, wrong.render(self.compiled.sources(), false)))?;
        let all = allowed(&model, MOST_STATES, &|_| ControlFlow::Continue(()));
        let all = all.map_err(|wide| unusable(self.program, wide.to_string()))?;
        if all.bound.is_some() {
            return Err(unusable(self.program, format!("it has more than {MOST_STATES} states")));
        }
        *states += all.states;
        let finished = all.outcomes.into_keys().map(|outcome| match outcome {
            Outcome::Finished(values) => Ok(values),
            other => Err(unusable(self.program, format!("it does not end well: {other:?}"))),
        });
        finished.collect()
    }
}

fn unusable(program: &Program, why: impl Into<String>) -> GenerateError {
    GenerateError::Unusable { name: name(program), why: why.into() }
}
