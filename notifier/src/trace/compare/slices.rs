//! Batches of equal weight.
//!
//! A recording is cut into batches of equal *time*, and two recordings need not have the same number of invalidations in them. That makes
//! their batches unlike even where the kernels are alike: of an order that comes once in a thousand, half of the batches of 1000 have one
//! or more, and hardly any of the batches of 10. So neighbouring batches are joined until those of both sides weigh the same on average.

use std::ops::Range;

/// Neighbouring batches that are one, for both sides, by how many invalidations each batch has.
pub(super) fn slices(a: &[u64], b: &[u64]) -> [Vec<Range<usize>>; 2] {
    let width = mean(a).max(mean(b));
    [cut(a, width), cut(b, width)]
}

/// What a batch has on average, of those that have anything.
fn mean(all: &[u64]) -> f64 {
    let some = all.iter().filter(|count| **count > 0);
    some.clone().map(|count| *count as f64).sum::<f64>() / some.count().max(1) as f64
}

/// Slices of `width` invalidations each, as nearly as the batches permit: a batch belongs to where its middle is.
fn cut(all: &[u64], width: f64) -> Vec<Range<usize>> {
    let mut slices: Vec<Range<usize>> = Vec::new();
    let (mut before, mut last) = (0.0, None);
    for (at, count) in all.iter().enumerate().filter(|(_, count)| **count > 0) {
        let middle = before + *count as f64 / 2.0;
        before += *count as f64;
        let slice = Some((middle / width) as u64);
        match slices.last_mut() {
            Some(open) if last == slice => open.end = at + 1,
            _ => slices.push(at..at + 1),
        }
        last = slice;
    }
    // What is much narrower than the others would vary much more.
    let is_narrow = slices.last().is_some_and(|last| (all[last.clone()].iter().sum::<u64>() as f64) < width / 2.0);
    if is_narrow && slices.len() > 1 {
        slices.pop();
    }
    slices
}

/// The same for times, of which only medians are known: as many neighbouring ones as weigh what one of the other side does are replaced by
/// their median. `counts` says how many times there are altogether.
pub(super) fn medians(a: &[Option<u64>], b: &[Option<u64>], counts: [u64; 2]) -> [Vec<f64>; 2] {
    let known = [a, b].map(|medians| medians.iter().flatten().map(|median| *median as f64).collect::<Vec<_>>());
    let weight = |side: usize| counts[side] as f64 / known[side].len().max(1) as f64;
    let joined = |own: usize, other: usize| {
        // An odd number: the mean of the two in the middle is more than half of the time above the median of times, which are skew.
        let number = 2 * ((weight(other) / weight(own) - 1.0) / 2.0).round().clamp(0.0, 1e6) as usize + 1;
        known[own].chunks_exact(number).filter_map(crate::stats::median).collect()
    };
    [joined(0, 1), joined(1, 0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_weigh_the_same() {
        let [a, b] = slices(&[100; 64], &[10; 64]);
        assert_eq!((a.len(), b.len()), (64, 6));
        assert_eq!(b[..2], [0..10, 10..20]);
        // Nothing in common but their means.
        let [a, b] = slices(&[100; 60], &[150; 40]);
        assert_eq!((a.len(), b.len()), (40, 40));
        // All at once, or evenly: one slice, whatever the clock says.
        let mut burst = [0; 64];
        burst[9] = 6400;
        let [a, b] = slices(&burst, &[100; 64]);
        assert_eq!((a, b), (std::iter::once(9..10).collect(), std::iter::once(0..64).collect()));
        assert_eq!(slices(&[0; 64], &[0; 64]), [vec![], vec![]]);
    }

    #[test]
    fn medians_are_joined_where_they_stand_for_less() {
        let all =
            |value: u64, number: usize| (0..64).map(|at| (at < number).then_some(value + at as u64 % 3)).collect::<Vec<_>>();
        let [a, b] = medians(&all(100, 64), &all(100, 64), [6400, 640]);
        assert_eq!((a.len(), b.len(), b[0]), (64, 5, 101.0), "eleven each");
        let [a, b] = medians(&all(100, 64), &all(100, 64), [6400, 640_000]);
        assert_eq!((a.len(), b.len()), (0, 64), "all of A is less than one of B");
        let [a, b] = medians(&all(100, 64), &all(100, 0), [6400, 0]);
        assert_eq!((a.len(), b.len()), (64, 0));
    }
}
