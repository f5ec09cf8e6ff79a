//! How long it took from stage to stage.

use super::{
    diff::{Evidence, LatencyChange, LatencyDiff, Times},
    slices::medians,
};
use crate::{stats, trace::profile::Latency};

/// Times that both have.
pub(super) fn compare_times(a: &[&Latency], b: &[&Latency], alpha: f64) -> Vec<LatencyDiff> {
    let pairs = a.iter().filter_map(|one| {
        let other = b.iter().find(|other| (other.from, other.to) == (one.from, one.to))?;
        (one.count > 0 && other.count > 0).then(|| compared(one, other, alpha))
    });
    pairs.collect()
}

fn compared(a: &Latency, b: &Latency, alpha: f64) -> LatencyDiff {
    let [of_a, of_b] = medians(&a.batch_medians_ns, &b.batch_medians_ns, [a.count, b.count]);
    let (ranks_a, ranks_b) = stats::ranks(&of_a, &of_b);
    let interval = stats::median_ratio(&of_a, &of_b, alpha);
    let times = |latency: &Latency, batches: &[f64]| Times {
        count: latency.count,
        p50_ns: latency.p50_ns,
        p99_ns: latency.p99_ns,
        batches: batches.len() as u64,
    };
    let typical = stats::median(&of_a).zip(stats::median(&of_b));
    let (typical_a, typical_b) = typical.unwrap_or((a.p50_ns as f64, b.p50_ns as f64));
    LatencyDiff {
        from: a.from,
        to: a.to,
        a: times(a, &of_a),
        b: times(b, &of_b),
        change: LatencyChange::Unknown,
        ratio: Some(typical_b / typical_a).filter(|ratio| ratio.is_finite()),
        ratio_low: interval.map(|interval| interval.low).filter(|low| low.is_finite()),
        ratio_high: interval.map(|interval| interval.high).filter(|high| high.is_finite()),
        cliffs_delta: cliffs_delta(&a.histogram, &b.histogram),
        evidence: Evidence::of(&ranks_a, &ranks_b),
    }
}

/// How much likelier it is that a number of the second histogram is greater than one of the first than that it is less (N. Cliff,
/// *Dominance statistics*, 1993). Numbers in the same bucket are equal.
fn cliffs_delta(a: &[(u64, u64)], b: &[(u64, u64)]) -> f64 {
    let sorted = |histogram: &[(u64, u64)]| {
        let mut sorted = histogram.to_vec();
        sorted.sort_unstable();
        sorted
    };
    let (a, b) = (sorted(a), sorted(b));
    let total = |histogram: &[(u64, u64)]| histogram.iter().map(|(_, count)| *count as f64).sum::<f64>();
    let (total_a, total_b) = (total(&a), total(&b));
    if total_a == 0.0 || total_b == 0.0 {
        return 0.0;
    }
    let (mut below, mut at, mut delta) = (0.0, 0, 0.0);
    for (value, count) in b {
        while let Some((_, less)) = a.get(at).filter(|(other, _)| *other < value) {
            below += *less as f64;
            at += 1;
        }
        let same: f64 = a[at..].iter().take_while(|(other, _)| *other == value).map(|(_, count)| *count as f64).sum();
        let above = total_a - below - same;
        delta += count as f64 / total_b * ((below - above) / total_a);
    }
    delta.clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::cliffs_delta;

    #[test]
    fn delta_is_how_far_one_lies_above_the_other() {
        let one = [(10, 3), (20, 4), (40, 1)];
        assert_eq!(cliffs_delta(&one, &one), 0.0);
        assert_eq!(cliffs_delta(&one, &[(50, 2), (60, 2)]), 1.0);
        assert_eq!(cliffs_delta(&[(50, 2), (60, 2)], &one), -1.0);
        // By hand: of 4 pairs, 2 greater, 1 less, 1 equal.
        assert_eq!(cliffs_delta(&[(1, 1), (3, 1)], &[(3, 1), (2, 1)]), 0.25);
        assert_eq!(cliffs_delta(&[], &one), 0.0);
    }
}
