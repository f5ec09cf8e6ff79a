//! What was seen: how often each end came up, and in rounds of which shape.

use super::shape::{self, ByValue, Shape};
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::time::Duration;

/// Words that an end is told by, at the most.
pub(super) const WATCHED: usize = 12;

/// What is in the words that are watched.
pub(super) type Key = [i32; WATCHED];

/// An end that was seen.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) times: u64,
    pub(super) first: Duration,
    pub(super) by_value: ByValue<u64>,
    /// In the round that is being looked at.
    now: u64,
}

/// All ends that were seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    pub(super) entries: Vec<Entry>,
    pub(super) instances: u64,
    pub(super) by_value: ByValue<u64>,
}

impl Ends {
    /// Takes an instance, of whose key so many words are watched.
    pub(super) fn add(&mut self, key: Key, words: usize, elapsed: impl FnOnce() -> Duration) {
        // Word by word: most differ in the first, and a call to compare all of them takes longer than all else here.
        let is_same = |entry: &&mut Entry| entry.key.iter().zip(&key).take(words).all(|(known, word)| known == word);
        match self.entries.iter_mut().find(is_same) {
            Some(entry) => entry.now += 1,
            None => {
                let entry = Entry { key, times: 0, first: elapsed(), by_value: ByValue::default(), now: 1 };
                self.entries.push(entry);
            }
        }
    }

    /// That was a whole round, of this shape. What came most often is looked for first from now on.
    pub(super) fn end_round(&mut self, shape: Shape) {
        let mut all = 0;
        for entry in &mut self.entries {
            let now = std::mem::take(&mut entry.now);
            entry.times += now;
            shape.add(&mut entry.by_value, now);
            all += now;
        }
        self.instances += all;
        shape.add(&mut self.by_value, all);
        self.entries.sort_by_key(|entry| std::cmp::Reverse(entry.times));
    }

    /// How often each came up.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Key, u64)> {
        self.entries.iter().map(|entry| (entry.key, entry.times))
    }

    /// How to choose the next shape so that a rare end comes up again: one of those that are less than one in a hundred, each as likely as
    /// any other. None where there is no such end.
    pub(super) fn dwell(&self, random: &mut Xoshiro256PlusPlus) -> Option<ByValue<f64>> {
        let rare: Vec<&Entry> = self.entries.iter().filter(|entry| entry.times * 100 < self.instances).collect();
        let entry = rare.get(random.random_range(0..rare.len().max(1)))?;
        Some(shape::dwell(&entry.by_value, &self.by_value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::litmus::shape::{EVEN, Parameter, Possible};
    use rand::SeedableRng;

    #[test]
    fn what_is_rare_is_come_back_to_and_nothing_is_counted_twice() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut ends = Ends::default();
        assert!(ends.dwell(&mut random).is_none());
        let late = Parameter::Operation as usize;
        for _ in 0..300 {
            let shape = Shape::draw(&mut random, &Possible::all(), &EVEN);
            (0..100).for_each(|_| ends.add([1; WATCHED], WATCHED, || Duration::ZERO));
            if shape.get(Parameter::Operation) == 2 {
                ends.add([2; WATCHED], WATCHED, || Duration::from_secs(1));
            }
            ends.end_round(shape);
        }
        let rare = &ends.entries[1];
        assert_eq!((ends.instances, ends.entries[0].times), (30_000 + rare.times, 30_000));
        assert_eq!(ends.by_value[late].iter().sum::<u64>(), ends.instances);
        assert_eq!(rare.by_value[late], [0, 0, rare.times, 0]);
        let weights = ends.dwell(&mut random).expect("one is rare");
        assert!(weights[late][2] > 5.0 * weights[late][0], "{:?}", weights[late]);
    }
}
