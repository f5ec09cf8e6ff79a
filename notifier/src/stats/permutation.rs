//! Whether two samples are alike.

/// What came of a test.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Exact {
    /// Of all ways to deal the numbers out to two samples of these sizes, the share in which the samples differ as much as they do.
    pub p: f64,
    /// The least that it could have been with these numbers: where this is large, nothing could have shown.
    pub least: f64,
}

/// The two-sample permutation test on the sum of scores: exact and two-sided, whatever the scores are distributed like, as long as they
/// are independent. (E. J. G. Pitman, *Significance tests which may be applied to samples from any populations*, 1937. All ways to deal
/// the scores out are counted by the shift algorithm: B. Streitberg and J. Röhmel, *Exact distributions for permutation and rank tests*,
/// 1986.) With scores of 0 and 1 it is Fisher's exact test.
#[must_use]
pub fn exact(a: &[u32], b: &[u32]) -> Exact {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if few.is_empty() {
        return Exact { p: 1.0, least: 1.0 };
    }
    let mut all = [few, many].concat();
    all.sort_unstable();
    let ways = ways(&all, few.len());
    // Distances from what is expected, times the number of all scores: whole numbers, which are equal when they are.
    let sum = |scores: &[u32]| scores.iter().map(|&score| i128::from(score)).sum::<i128>();
    let expected = sum(&all) * few.len() as i128;
    let distance = |sum: i128| (sum * all.len() as i128 - expected).abs();
    let share = |limit: i128| {
        let far = (0..).zip(&ways).filter(|(sum, _)| distance(*sum) >= limit);
        (far.map(|(_, ways)| ways).sum::<f64>() / ways.iter().sum::<f64>()).min(1.0)
    };
    let extreme = distance(sum(&all[..few.len()])).max(distance(sum(&all[many.len()..])));
    Exact { p: share(distance(sum(few))), least: share(extreme) }
}

/// In how many ways `chosen` of the scores, which are sorted, have each sum.
fn ways(scores: &[u32], chosen: usize) -> Vec<f64> {
    // By how many were chosen: of them, the largest have no greater sum than this.
    let mut ways: Vec<Vec<f64>> = vec![Vec::new(); chosen + 1];
    ways[0] = vec![1.0];
    for (seen, &score) in scores.iter().enumerate() {
        for number in (1..=chosen.min(seen + 1)).rev() {
            let (fewer, same) = ways.split_at_mut(number);
            let (Some(fewer), Some(same)) = (fewer.last(), same.first_mut()) else { continue };
            let shift = score as usize;
            if same.len() < fewer.len() + shift {
                same.resize(fewer.len() + shift, 0.0);
            }
            same[shift..].iter_mut().zip(fewer).for_each(|(sum, ways)| *sum += ways);
        }
    }
    ways.pop().unwrap_or_default()
}

/// Scores for numbers that vary with their size, as counts do: their square roots (M. S. Bartlett, *The square root transformation in
/// analysis of variance*, 1936), in whole steps between the least and the greatest of both samples.
#[must_use]
pub fn levels(a: &[f64], b: &[f64]) -> (Vec<u32>, Vec<u32>) {
    const STEPS: f64 = 31.0;
    let roots = a.iter().chain(b).map(|number| number.sqrt());
    let (least, most) = roots.fold((f64::INFINITY, 0.0_f64), |(least, most), root| (least.min(root), most.max(root)));
    let scale = if most > least { STEPS / (most - least) } else { 0.0 };
    let level = |number: &f64| ((number.sqrt() - least) * scale).round() as u32;
    (a.iter().map(level).collect(), b.iter().map(level).collect())
}

/// Scores for numbers of which only the order counts, as of times, where a single large one must not stretch the scale: their ranks among
/// both samples, those of equal numbers shared, in whole steps from the least to the greatest (F. Wilcoxon, *Individual comparisons by
/// ranking methods*, 1945).
#[must_use]
pub fn ranks(a: &[f64], b: &[f64]) -> (Vec<u32>, Vec<u32>) {
    const STEPS: f64 = 31.0;
    let mut all = [a, b].concat();
    all.sort_by(f64::total_cmp);
    let scale = STEPS / (all.len().max(2) - 1) as f64;
    let rank = |number: &f64| {
        let below = all.partition_point(|other| other < number);
        let upto = all.partition_point(|other| other <= number);
        ((below + upto - 1) as f64 / 2.0 * scale).round() as u32
    };
    (a.iter().map(rank).collect(), b.iter().map(rank).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn the_lady_and_her_tea() {
        // Fisher, 1935: of eight cups four each; all told right, and one of either kind wrong.
        let all = exact(&[1, 1, 1, 1], &[0, 0, 0, 0]);
        assert!((all.p - 2.0 / 70.0).abs() < 1e-12 && all.least == all.p, "{all:?}");
        let most = exact(&[1, 1, 1, 0], &[0, 1, 0, 0]);
        assert!((most.p - 34.0 / 70.0).abs() < 1e-12 && most.least == all.p, "{most:?}");
    }

    #[test]
    fn every_way_to_deal_is_counted() {
        let (a, b) = ([3, 0, 7, 7, 2], [9, 4, 7, 11]);
        let all: Vec<u32> = a.iter().chain(&b).copied().collect();
        let total: u32 = all.iter().sum();
        let far = |chosen: u32| (9 * i64::from(chosen) - 4 * i64::from(total)).abs();
        let dealt = (0_u32..1 << 9).filter(|set| set.count_ones() == 4);
        let sums: Vec<u32> = dealt.map(|set| (0..9).filter(|n| set >> n & 1 == 1).map(|n| all[n]).sum()).collect();
        let as_far = sums.iter().filter(|sum| far(**sum) >= far(b.iter().sum())).count();
        assert!((exact(&a, &b).p - as_far as f64 / sums.len() as f64).abs() < 1e-12);
        assert_eq!(exact(&a, &b), exact(&b, &a));
    }

    #[test]
    fn where_nothing_can_show_it_says_so() {
        for (a, b) in [(&[][..], &[][..]), (&[], &[1, 2]), (&[4], &[4]), (&[0; 64], &[0; 64]), (&[1], &[2])] {
            assert_eq!(exact(a, b), Exact { p: 1.0, least: 1.0 }, "{a:?} {b:?}");
        }
        let mut once = [0; 64];
        once[7] = 1;
        assert_eq!(exact(&[0; 64], &once).least, 1.0, "seen in one batch: it had to be in one of the two");
        let deep = exact(&[0; 64], &[31; 64]);
        assert!(deep.p > 0.0 && deep.p < 1e-36, "{deep:?}");
        assert_eq!(levels(&[0.0, 4.0], &[1.0, 16.0]), (vec![0, 16], vec![8, 31]));
        assert_eq!(levels(&[2.0], &[2.0]), (vec![0], vec![0]));
    }

    #[test]
    fn ranks_do_not_care_how_far_away_the_farthest_is() {
        assert_eq!(ranks(&[1.0, 1e9], &[2.0, 3.0]), (vec![0, 31], vec![10, 21]));
        assert_eq!(ranks(&[5.0, 5.0], &[5.0]), (vec![16, 16], vec![16]), "all alike");
        assert_eq!(ranks(&[], &[]), (vec![], vec![]));
    }

    /// Rates of batches of 40 rounds, of which few bring the outcome up, and then hundreds of times.
    fn clustered(random: &mut Xoshiro256PlusPlus, batches: usize, bursts: f64) -> Vec<f64> {
        let round = |random: &mut Xoshiro256PlusPlus| {
            let is_burst = random.random_range(0.0..1.0) < bursts / 40.0;
            if is_burst { 1.0 - 200.0 * random.random_range(f64::MIN_POSITIVE..1.0).ln() } else { 0.0 }
        };
        (0..batches).map(|_| (0..40).map(|_| round(random)).sum()).collect()
    }

    /// The share of pairs of samples that differ with this α.
    fn alarms(sizes: (usize, usize), bursts: (f64, f64), alpha: f64, trials: u32) -> f64 {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1937);
        let differs = |random: &mut Xoshiro256PlusPlus| {
            let (a, b) = levels(&clustered(random, sizes.0, bursts.0), &clustered(random, sizes.1, bursts.1));
            exact(&a, &b).p <= alpha
        };
        f64::from((0..trials).map(|_| u32::from(differs(&mut random))).sum::<u32>()) / f64::from(trials)
    }

    #[test]
    fn bursts_raise_no_more_false_alarms_than_alpha_allows() {
        for (a, b) in [(64, 64), (64, 32), (40, 8), (64, 4)] {
            for bursts in [0.1, 1.0, 10.0] {
                let rate = alarms((a, b), (bursts, bursts), 0.05, 400);
                // 400 trials of 0.05: with a probability of 10⁻⁵, more than 0.10 of them.
                assert!(rate <= 0.10, "{a} and {b} batches, {bursts} bursts in each: {rate}");
            }
        }
    }

    #[test]
    fn a_factor_of_two_is_seen() {
        let rate = alarms((64, 64), (3.0, 6.0), 0.01, 100);
        assert!(rate > 0.95, "{rate}");
        let rate = alarms((64, 8), (3.0, 12.0), 0.01, 100);
        assert!(rate > 0.95, "a factor of four, and eight batches: {rate}");
    }
}
