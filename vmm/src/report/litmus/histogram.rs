//! A test where it was run: how often each state came up there.

use super::{Batch, Sighting, StateRow, TestResult};

/// What a test came to at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Histogram<'a> {
    pub(super) test: &'a TestResult,
    /// `soft` or `kvm`.
    pub(super) on: &'static str,
    pub(super) instances: u64,
    /// None in a document that is older than they are.
    pub(super) batches: &'a [Batch],
}

impl<'a> Histogram<'a> {
    /// Of all places where the test was run.
    pub(super) fn of(test: &'a TestResult) -> impl Iterator<Item = Self> {
        let soft = test.soft.iter().map(|ran| ("soft", ran.instances, &ran.batches));
        let kvm = test.kvm.iter().map(|ran| ("kvm", ran.instances, &ran.batches));
        soft.chain(kvm).map(move |(on, instances, batches)| Self { test, on, instances, batches })
    }

    /// How often a state was seen.
    pub(super) fn times(&self, row: &StateRow) -> u64 {
        let seen: Option<&Sighting> = if self.on == "soft" { row.soft.as_ref() } else { row.kvm.as_ref() };
        seen.map_or(0, |seen| seen.times)
    }

    /// Whether the batches are those of these instances and states, where there are any.
    pub(super) fn adds_up(&self) -> bool {
        let states = &self.test.states;
        let whole = |batch: &Batch| {
            batch.instances > 0 && batch.times.len() == states.len() && batch.times.iter().all(|times| *times <= batch.instances)
        };
        // So large that no sum overflows.
        let sum = |of: &dyn Fn(&Batch) -> u64| self.batches.iter().map(|batch| u128::from(of(batch))).sum::<u128>();
        self.batches.is_empty()
            || self.batches.iter().all(whole)
                && sum(&|batch| batch.instances) == u128::from(self.instances)
                && (0..).zip(states).all(|(at, row)| sum(&|batch| batch.times[at]) == u128::from(self.times(row)))
    }
}
