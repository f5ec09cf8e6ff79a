//! A run cut into consecutive slices, so that it can be told how much the rate of an outcome varies in the course of it.
//!
//! Instances of a round share one schedule: an outcome comes up hundreds of times in one round and not at all in the next. Whoever
//! compares two runs must not take instances for independent ones, and slices of many rounds nearly are.

use super::Outcome;
use std::collections::BTreeMap;

/// The most slices that are kept.
pub const MOST: usize = 64;

/// A slice of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// Instances.
    pub instances: u64,
    /// How many of them ended so; what is missing never came up.
    pub times: BTreeMap<Outcome, u64>,
}

/// Where slices end: what had been counted until then. A slice is the difference of two marks, and two slices become one when the mark
/// between them goes; so nothing has to be done for an instance, or for a round in which no slice ends.
///
/// Marks are on a grid: slices of two runs are equally wide, or those of one are 2, 4, 8, … of the other's.
#[derive(Clone, Debug)]
pub struct Marks<K> {
    /// Instances of a slice: no fewer than a round has.
    width: u64,
    marks: Vec<Mark<K>>,
}

/// What had been counted.
#[derive(Clone, Debug)]
struct Mark<K> {
    instances: u64,
    counts: BTreeMap<K, u64>,
}

impl<K: Ord + Clone> Marks<K> {
    /// Slices of so many instances, as long as there are few of them; a round has no more.
    #[must_use]
    pub fn new(width: u64) -> Self {
        Self { width: width.max(1), marks: Vec::new() }
    }

    /// A round has ended: so many instances in all, and how often each outcome came up in them. Who is told of the same numbers of
    /// instances has the same slices, whatever he has counted.
    pub fn reach<C: IntoIterator<Item = (K, u64)>>(&mut self, instances: u64, counts: impl FnOnce() -> C) {
        if instances < self.grid() {
            return;
        }
        if self.marks.len() == MOST {
            self.widen();
        }
        if instances >= self.grid() {
            self.mark(instances, counts());
        }
    }

    /// The slices of the whole run, in which `outcome` says what is meant by what was counted.
    pub fn finish<C: IntoIterator<Item = (K, u64)>>(
        mut self,
        instances: u64,
        counts: C,
        outcome: impl Fn(&K) -> Outcome,
    ) -> Vec<Batch> {
        if instances > self.last() {
            if self.marks.len() == MOST {
                self.widen();
            }
            // What is much narrower than the others would vary much more: it belongs to the last one.
            if instances - self.last() < self.width / 2 {
                self.marks.pop();
            }
            self.mark(instances, counts);
        }
        let mut before = &Mark { instances: 0, counts: BTreeMap::new() };
        let mut batches = Vec::new();
        for mark in &self.marks {
            let mut batch = Batch { instances: mark.instances - before.instances, times: BTreeMap::new() };
            for (key, count) in &mark.counts {
                let times = count - before.counts.get(key).unwrap_or(&0);
                if times > 0 {
                    *batch.times.entry(outcome(key)).or_insert(0) += times;
                }
            }
            batches.push(batch);
            before = mark;
        }
        batches
    }

    /// Where the next slice ends.
    fn grid(&self) -> u64 {
        (self.marks.len() as u64 + 1).saturating_mul(self.width)
    }

    fn last(&self) -> u64 {
        self.marks.last().map_or(0, |mark| mark.instances)
    }

    fn mark(&mut self, instances: u64, counts: impl IntoIterator<Item = (K, u64)>) {
        self.marks.push(Mark { instances, counts: counts.into_iter().collect() });
    }

    /// Two slices become one.
    fn widen(&mut self) {
        let mut seconds = [false, true].into_iter().cycle();
        self.marks.retain(|_| seconds.next() == Some(true));
        self.width *= 2;
    }
}

/// The slices of a run whose parts were counted apart: all parts were told of the same instances.
pub(crate) fn joined(parts: impl IntoIterator<Item = Vec<Batch>>) -> Vec<Batch> {
    let mut parts = parts.into_iter();
    let mut whole = parts.next().unwrap_or_default();
    for part in parts {
        for (sum, batch) in whole.iter_mut().zip(part) {
            debug_assert_eq!(sum.instances, batch.instances, "the same slices");
            for (outcome, times) in batch.times {
                *sum.times.entry(outcome).or_insert(0) += times;
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(key: &i32) -> Outcome {
        Outcome::Finished([*key].into())
    }

    /// A run of rounds: in each, so many instances, of which a third end in one way and, in every hundredth round, one in another.
    fn run(rounds: impl IntoIterator<Item = u64>, width: u64) -> (u64, Vec<Batch>) {
        let mut marks = Marks::new(width);
        let (mut instances, mut counts) = (0, BTreeMap::new());
        for (number, round) in rounds.into_iter().enumerate() {
            instances += round;
            *counts.entry(1).or_insert(0) += round / 3;
            if number % 100 == 99 {
                *counts.entry(2).or_insert(0) += 1;
            }
            marks.reach(instances, || counts.clone());
        }
        (instances, marks.finish(instances, counts, outcome))
    }

    #[test]
    fn slices_are_few_and_even_and_add_up() {
        for rounds in [0, 1, 2, 63, 64, 65, 96, 97, 127, 128, 129, 1000, 4095, 4096, 4097, 10_000] {
            for size in [1_u64, 7] {
                let width = 300 * size;
                let (instances, batches) = run((0..rounds).map(|round| 300 * (1 + round % size)), width);
                assert!(batches.len() <= MOST, "{rounds}: {}", batches.len());
                assert!(batches.len() >= MOST / 2 || batches.len() as u64 >= instances / width, "{rounds}: {}", batches.len());
                let sum = |of: &dyn Fn(&Batch) -> u64| batches.iter().map(of).sum::<u64>();
                assert_eq!(sum(&|batch| batch.instances), instances);
                assert_eq!(sum(&|batch| batch.times.get(&outcome(&1)).copied().unwrap_or(0)), instances / 3);
                assert_eq!(sum(&|batch| batch.times.get(&outcome(&2)).copied().unwrap_or(0)), rounds / 100);
                // All but the last are as wide as the grid, a round more or less.
                let doubled = (0..).map(|n| width << n).find(|width| width * MOST as u64 >= instances).unwrap_or(width);
                let even = batches.iter().rev().skip(1).all(|batch| batch.instances.abs_diff(doubled) < width);
                assert!(even, "{rounds}: {doubled} in {:?}", batches.iter().map(|batch| batch.instances).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_never_came_up_in_a_slice_is_not_in_it() {
        let (_, batches) = run([300; 200], 3000);
        let with: Vec<bool> = batches.iter().map(|batch| batch.times.contains_key(&outcome(&2))).collect();
        assert_eq!(with.iter().filter(|with| **with).count(), 2, "{with:?}");
        assert!(with[9] && with[19], "the hundredth round and the last one: {with:?}");
    }

    #[test]
    fn parts_that_were_counted_apart_are_one_run() {
        let (_, one) = run([300; 1000], 300);
        let both = joined([one.clone(), one.clone()]);
        assert_eq!(both.len(), one.len());
        for (both, one) in both.iter().zip(&one) {
            assert!(both.instances == one.instances && both.times.iter().all(|(key, times)| *times == 2 * one.times[key]));
        }
        assert!(joined([]).is_empty());
    }
}
