//! How much larger one rate is than another.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Samples that are drawn: where α is below 0.0005, the interval ends with the last of them.
const DRAWN: usize = 4000;

/// What a value may be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// The least.
    pub low: f64,
    /// The greatest, perhaps infinite.
    pub high: f64,
}

/// The interval that holds the ratio of two rates, `b` to `a`, but for a share `alpha` of all cases, from (how often, of how many) in
/// each batch. Batches are drawn again and again with replacement (percentile bootstrap: B. Efron, *Bootstrap methods: another look at the
/// jackknife*, 1979), one fewer than there are, which makes up for what few of them vary too little (J. N. K. Rao and C. F. J. Wu,
/// *Resampling inference with complex survey data*, 1988). The same data give the same interval.
#[must_use]
pub fn ratio(a: &[(u64, u64)], b: &[(u64, u64)], alpha: f64) -> Option<Interval> {
    let rate = |drawn: &[(u64, u64)]| {
        let (times, all) = drawn.iter().fold((0.0, 0.0), |(times, all), batch| (times + batch.0 as f64, all + batch.1 as f64));
        times / all
    };
    percentiles(a, b, rate, alpha)
}

/// The interval that holds the ratio of two medians, `b` to `a`, but for a share `alpha` of all cases, from a number for each batch: in
/// the same way.
#[must_use]
pub fn median_ratio(a: &[f64], b: &[f64], alpha: f64) -> Option<Interval> {
    percentiles(a, b, |drawn| median(drawn).unwrap_or(f64::NAN), alpha)
}

/// The number in the middle, or the mean of the two there.
#[must_use]
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted[low] + sorted[high]) / 2.0)
}

/// What is between all but `alpha` of the ratios of a statistic of batches that were drawn.
fn percentiles<T: Copy>(a: &[T], b: &[T], statistic: impl Fn(&[T]) -> f64, alpha: f64) -> Option<Interval> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0x5eed);
    let mut drawn = |batches: &[T]| {
        let chosen: Vec<T> = (1..batches.len()).map(|_| batches[random.random_range(0..batches.len())]).collect();
        statistic(&chosen)
    };
    // Of nothing to nothing, nobody knows.
    let mut ratios: Vec<f64> = (0..DRAWN).map(|_| drawn(b) / drawn(a)).filter(|ratio| !ratio.is_nan()).collect();
    ratios.sort_by(f64::total_cmp);
    let cut = (ratios.len() as f64 * alpha / 2.0) as usize;
    Some(Interval { low: *ratios.get(cut)?, high: *ratios.get(ratios.len().checked_sub(1 + cut)?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_inside_and_more_batches_say_more() {
        let batches = |times: u64, number: u64| (0..number).map(|n| (times * (n % 5), 1000)).collect::<Vec<_>>();
        let wide = ratio(&batches(10, 10), &batches(20, 10), 0.01).expect("ten batches");
        let narrow = ratio(&batches(10, 60), &batches(20, 60), 0.01).expect("sixty batches");
        assert!(wide.low < narrow.low && narrow.low < 2.0 && 2.0 < narrow.high && narrow.high < wide.high, "{wide:?} {narrow:?}");
        assert_eq!(ratio(&batches(10, 60), &batches(20, 60), 0.01), Some(narrow), "by no chance but the data's");
    }

    #[test]
    fn what_is_missing_on_one_side_has_an_open_end() {
        let (none, some) = ([(0, 10); 4], [(1, 10), (0, 10), (2, 10), (1, 10)]);
        let up = ratio(&none, &some, 0.1).expect("something is known");
        assert!(up.low == f64::INFINITY || up.high == f64::INFINITY, "{up:?}");
        assert_eq!(ratio(&some, &none, 0.1).map(|interval| interval.low), Some(0.0));
        assert_eq!(ratio(&none, &none, 0.1), None);
        assert_eq!(ratio(&some[..1], &some, 0.1), None);
    }

    #[test]
    fn medians_have_an_interval_too() {
        assert_eq!([median(&[]), median(&[3.0]), median(&[4.0, 1.0, 2.0, 3.0])], [None, Some(3.0), Some(2.5)]);
        let batches = |middle: f64| (0..64).map(|n| middle * (0.8 + f64::from(n % 9) / 20.0)).collect::<Vec<_>>();
        let interval = median_ratio(&batches(3.0), &batches(6.0), 0.01).expect("sixty-four batches");
        assert!(1.5 < interval.low && interval.low < 2.0 && 2.0 < interval.high && interval.high < 2.6, "{interval:?}");
        assert_eq!(median_ratio(&batches(3.0)[..1], &batches(6.0), 0.01), None);
    }
}
