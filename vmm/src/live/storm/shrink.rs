//! Shrinking a failure to the fewest operations that still fail.
//!
//! Delta debugging (Zeller and Hildebrandt, 2002): halves first, then ever smaller parts, and in the end no single one can go.
//! A race need not show at every try, so what still fails is certain and what does not fail any more is likely.

/// The smallest part of `all`, in its order, that `fails` and of which no single element can be left out. `fails` says `None` when
/// there is no time left for another try: then the smallest so far is the answer, and the second value `false`.
pub(super) fn shrink<T: Clone>(all: &[T], mut fails: impl FnMut(&[T]) -> Option<bool>) -> (Vec<T>, bool) {
    let mut left = all.to_vec();
    let mut parts = 2;
    while left.len() > 1 {
        let size = left.len().div_ceil(parts);
        let mut smaller = None;
        // A part by itself, then everything but that part.
        for complement in [false, true] {
            for first in (0..left.len()).step_by(size) {
                let inside = |n: &usize| (first..first + size).contains(n) != complement;
                let part: Vec<T> = (0..left.len()).filter(inside).map(|n| left[n].clone()).collect();
                // With two parts, everything but the one is the other.
                if part.is_empty() || complement && parts == 2 {
                    continue;
                }
                match fails(&part) {
                    None => return (left, false),
                    Some(true) => {
                        smaller = Some((part, if complement { (parts - 1).max(2) } else { 2 }));
                        break;
                    }
                    Some(false) => {}
                }
            }
            if smaller.is_some() {
                break;
            }
        }
        match smaller {
            Some((part, next)) => (left, parts) = (part, next),
            None if size == 1 => break,
            None => parts = (2 * parts).min(left.len()),
        }
        parts = parts.min(left.len().max(2));
    }
    (left, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shrunk(of: u32, culprits: &[u32]) -> (Vec<u32>, u32) {
        let mut tries = 0;
        let (left, whole) = shrink(&(0..of).collect::<Vec<_>>(), |part| {
            tries += 1;
            Some(culprits.iter().all(|culprit| part.contains(culprit)))
        });
        assert!(whole);
        (left, tries)
    }

    #[test]
    fn every_set_of_culprits_is_found_and_nothing_else_is_left() {
        for of in 1..12 {
            for culprits in 1..1u32 << of {
                let culprits: Vec<u32> = (0..of).filter(|n| culprits >> n & 1 == 1).collect();
                assert_eq!(shrunk(of, &culprits).0, culprits, "of {of}");
            }
        }
    }

    #[test]
    fn a_single_culprit_takes_few_tries() {
        assert!((0..40).all(|culprit| shrunk(40, &[culprit]).1 <= 20));
    }

    #[test]
    fn when_time_is_up_the_smallest_so_far_stays() {
        let mut left = 2;
        let answer = shrink(&[1, 2, 3, 4, 5, 6, 7, 8], |part| {
            left -= 1;
            (left >= 0).then(|| part.contains(&7))
        });
        assert_eq!(answer, (vec![5, 6, 7, 8], false));
    }
}
