//! How long it is from one stage of an invalidation to another.

use super::batch::{Cut, Merge, Parts};
use crate::trace::profile::{Latency, Stage};
use hdrhistogram::{Counter, Histogram};

/// The distances that are measured, from the first of one stage to the first of another behind it.
pub(super) const MEASURED: [(Stage, Stage); 13] = [
    (Stage::Enter, Stage::Return),
    (Stage::Start, Stage::Begin),
    (Stage::Start, Stage::Zap),
    (Stage::Zap, Stage::KvmFlush),
    (Stage::Start, Stage::Flush),
    (Stage::Start, Stage::SetMigration),
    (Stage::SetMigration, Stage::RemoveMigration),
    (Stage::Start, Stage::End),
    (Stage::Start, Stage::Return),
    (Stage::Start, Stage::Free),
    (Stage::Start, Stage::Install),
    (Stage::Return, Stage::Install),
    (Stage::Fault, Stage::Install),
];

/// The longest that is told from longer ones: 18 minutes.
const LONGEST_NS: u64 = 1 << 40;

/// A histogram with so many significant figures.
fn histogram<C: Counter>(figures: u8) -> Histogram<C> {
    // Bounds and figures are constants that the crate accepts: the least, 1, and at most five figures.
    Histogram::new_with_bounds(1, LONGEST_NS, figures).unwrap_or_else(|error| unreachable!("constants: {error}"))
}

/// Those of one part of a recording: one figure, enough for a median that is compared with others of its kind.
#[derive(Clone, Debug, Default)]
struct Part(Option<Box<Histogram<u16>>>);

impl Merge for Part {
    fn merge(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(own), Some(other)) => {
                // Counters of 16 bits are full at some point; what is over does not move the median.
                for bucket in other.iter_recorded() {
                    own.saturating_record_n(bucket.value_iterated_to(), bucket.count_at_value());
                }
            }
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
    }
}

/// All distances between two stages.
#[derive(Debug)]
pub(super) struct Distances {
    whole: Histogram<u64>,
    total_ns: u64,
    parts: Parts<Part>,
}

impl Default for Distances {
    fn default() -> Self {
        Self { whole: histogram(2), total_ns: 0, parts: Parts::default() }
    }
}

impl Distances {
    pub(super) fn add(&mut self, ns: u64, part: usize, cut: Cut) {
        let ns = ns.clamp(1, LONGEST_NS);
        self.whole.saturating_record(ns);
        self.total_ns = self.total_ns.saturating_add(ns);
        let histogram = self.parts.at(part, cut).0.get_or_insert_with(|| Box::new(histogram(1)));
        histogram.saturating_record(ns);
    }

    /// Takes in those of another operation that has the same name.
    pub(super) fn take_in(&mut self, other: Self, last: usize, cut: Cut) {
        // Both have the same bounds.
        let _ = self.whole.add(&other.whole);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        for (part, own) in other.parts.all(last, cut).into_iter().enumerate() {
            self.parts.at(part, cut).merge(own);
        }
    }

    pub(super) fn finish(self, from: Stage, to: Stage, last: usize, cut: Cut) -> Latency {
        let whole = &self.whole;
        let batches = self.parts.all(last, cut).into_iter();
        Latency {
            from,
            to,
            count: whole.len(),
            min_ns: whole.min(),
            p50_ns: whole.value_at_quantile(0.5),
            p90_ns: whole.value_at_quantile(0.9),
            p99_ns: whole.value_at_quantile(0.99),
            max_ns: whole.max(),
            total_ns: self.total_ns,
            histogram: whole.iter_recorded().map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value())).collect(),
            batch_medians_ns: batches.map(|part| part.0.map(|histogram| histogram.value_at_quantile(0.5))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_whole_and_in_parts() {
        let mut cut = Cut::default();
        let mut distances = Distances::default();
        let mut last = 0;
        for n in 0..1000_u64 {
            last = cut.part(n << 28);
            distances.add(if n < 500 { 1000 } else { 9000 }, last, cut);
        }
        distances.add(u64::MAX, last, cut);
        distances.add(0, last, cut);
        let latency = distances.finish(Stage::Start, Stage::End, last, cut);
        assert_eq!((latency.count, latency.min_ns), (1002, 1));
        assert!((8900..=9100).contains(&latency.p90_ns) && (990..=1010).contains(&latency.p50_ns.min(1010)), "{latency:?}");
        assert_eq!(latency.histogram.iter().map(|(_, count)| count).sum::<u64>(), 1002);
        let medians: Vec<u64> = latency.batch_medians_ns.iter().flatten().copied().collect();
        assert_eq!(medians.len(), last + 1);
        assert!(medians[0].abs_diff(1000) < 70 && medians[medians.len() - 2].abs_diff(9000) < 600, "{medians:?}");
    }

    #[test]
    fn a_full_counter_stays_full() {
        let (mut a, mut b) = (Part::default(), Part::default());
        for part in [&mut a, &mut b] {
            let histogram = part.0.get_or_insert_with(|| Box::new(histogram(1)));
            (0..u16::MAX).for_each(|_| histogram.saturating_record(100));
        }
        a.merge(b);
        assert!(a.0.is_some_and(|histogram| histogram.count_at(100) == u16::MAX));
    }
}
