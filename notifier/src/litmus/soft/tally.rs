//! Counts of outcomes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use super::{
    Unsuited,
    cells::{Cell, Cells},
    shape::SHAPES,
    thread::Failures,
};
use crate::{
    litmus::observe::{self, Outcome},
    model::{Model, Observed, eval},
};

/// Observed cells that can be told apart.
const MOST: usize = 32;

/// Counts by shape.
pub(super) type Counts = [u64; SHAPES.len()];

/// How an instance ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Ended {
    /// With these values in the observed cells.
    Finished([u64; MOST / 8]),
    /// With this failure.
    Failed(u32),
    /// It can do nothing.
    Stuck,
    /// It has not come to an end, whatever was tried.
    Endless,
}

impl Ended {
    /// A number that differs for most ends that differ.
    #[inline(always)]
    pub(super) fn hint(self) -> usize {
        match self {
            Self::Finished(key) => (key[0].wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize,
            Self::Failed(number) => number as usize,
            Self::Stuck | Self::Endless => 0,
        }
    }
}

/// The cells whose values make an outcome.
#[derive(Debug)]
pub(super) struct Eye {
    cells: Vec<Cell>,
    columns: Vec<Observed>,
}

impl Eye {
    pub(super) fn of(model: &Model, cells: &Cells) -> Result<Self, Unsuited> {
        let columns = observe::observed(model);
        let mut places = BTreeSet::new();
        columns.iter().for_each(|column| observe::reads(model, &column.value, &mut places));
        let seen = places.into_iter().map(|(var, element)| cells.cell(cells.elements(var).start + element));
        // Where a thread stands in the end is known.
        let cells: Vec<Cell> = seen.filter(|cell| !matches!(cell, Cell::Pc(_))).collect();
        if cells.len() > MOST {
            return Err(Unsuited::Observed { cells: cells.len(), most: MOST });
        }
        Ok(Self { cells, columns })
    }

    /// How an instance that has finished ended, where `byte` reads a cell.
    #[inline(always)]
    pub(super) fn look(&self, byte: impl Fn(Cell) -> u8) -> Ended {
        let mut key = [0; MOST / 8];
        for (at, cell) in self.cells.iter().enumerate() {
            key[at / 8] |= u64::from(byte(*cell)) << (at % 8 * 8);
        }
        Ended::Finished(key)
    }

    /// What an end means.
    pub(super) fn outcome(&self, model: &Model, cells: &Cells, failures: &Failures, ended: Ended) -> Outcome {
        match ended {
            Ended::Finished(key) => {
                let byte = |cell| match (cell, self.cells.iter().position(|seen| *seen == cell)) {
                    (_, Some(at)) => (key[at / 8] >> (at % 8 * 8)) as u8,
                    (Cell::Pc(thread), None) => model.threads.get(thread).map_or(0, |thread| thread.end as u8),
                    _ => 0,
                };
                let state = cells.state(byte);
                Outcome::Finished(self.columns.iter().map(|column| eval::value(model, &state, &column.value)).collect())
            }
            Ended::Failed(number) => Outcome::Failed(failures.get(number).cloned().unwrap_or_default()),
            Ended::Stuck => Outcome::Stuck,
            Ended::Endless => Outcome::Endless,
        }
    }
}

/// Mixes words into a hash; keys are short and come from nobody who means harm.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.write_u64(chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// What one processor has counted.
#[derive(Debug, Default)]
pub(super) struct Counter {
    counts: HashMap<Ended, (Counts, Duration), BuildHasherDefault<Mix>>,
}

impl Counter {
    /// Counts instances that ended so, in a round of this shape.
    #[inline(always)]
    pub(super) fn count(&mut self, ended: Ended, shape: usize, times: u64, now: impl FnOnce() -> Duration) {
        self.counts.entry(ended).or_insert_with(|| (Counts::default(), now())).0[shape] += times;
    }

    /// The counts of each outcome.
    pub(super) fn counts(&self) -> impl Iterator<Item = &Counts> {
        self.counts.values().map(|(counts, _)| counts)
    }

    /// The same without shapes, by how the instances ended.
    pub(super) fn totals(&self) -> impl Iterator<Item = (Ended, u64)> {
        self.counts.iter().map(|(ended, (counts, _))| (*ended, counts.iter().sum()))
    }

    /// Adds them to a table.
    pub(super) fn add_to(&self, tally: &mut Tally, (model, cells, eye, failures): (&Model, &Cells, &Eye, &Failures)) {
        for (ended, (counts, first)) in &self.counts {
            let outcome = eye.outcome(model, cells, failures, *ended);
            let seen = tally.entry(outcome).or_insert_with(|| Seen { times: 0, first: *first, by_shape: Counts::default() });
            seen.times += counts.iter().sum::<u64>();
            seen.first = seen.first.min(*first);
            seen.by_shape.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }
}

/// How often an outcome was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// How many instances ended so.
    pub times: u64,
    /// When the first one was seen, from the beginning of the run.
    pub first: Duration,
    /// The same by [`SHAPES`].
    pub by_shape: [u64; SHAPES.len()],
}

/// How often each outcome was seen.
pub type Tally = BTreeMap<Outcome, Seen>;
