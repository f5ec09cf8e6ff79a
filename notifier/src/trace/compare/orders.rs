//! How often each order came, and whether it is relevant.

use super::{
    diff::{Evidence, Inversion, OrderChange, OrderDiff, Seen},
    order::{Demand, Failing, Pair, RELEVANT},
    project::{Counts, Orders, Projection, occurs},
    slices::slices,
};
use crate::{
    stats,
    trace::profile::{BATCHES, Profile, Stage},
};
use std::{collections::BTreeSet, ops::Range};

/// What is the same for all operations.
#[derive(Debug)]
pub(super) struct Baseline {
    /// Stages that either recording has, in whatever operation: what never comes cannot be seen, or never happens.
    visible: BTreeSet<Stage>,
    /// Whether the second recording has all of its events.
    is_whole: bool,
}

impl Baseline {
    pub(super) fn of(b: &Profile, projection: &Projection, both: [&Profile; 2]) -> Self {
        let is_visible = |stage: &Stage| projection.keeps(*stage) && both.iter().any(|profile| occurs(profile, *stage));
        Self {
            visible: Stage::ALL.into_iter().filter(is_visible).collect(),
            is_whole: b.lost.iter().all(|lost| lost.events == 0),
        }
    }

    /// Where an order is not as the table wants it.
    fn failing<'a>(&'a self, order: &'a [Stage]) -> impl Iterator<Item = (&'static Pair, Failing)> + 'a {
        let can_see = |stage| self.visible.contains(&stage);
        RELEVANT.iter().filter_map(move |pair| Some((pair, pair.fails(order, can_see)?)))
    }

    /// The same, with how often the first recording has it. One that comes too late and one that does not come are the same failure.
    fn inversions(&self, order: &[Stage], a: &Orders) -> Vec<Inversion> {
        let in_a = |pair: &Pair| {
            let failing = a.iter().filter(|(order, _)| pair.fails(order, |stage| self.visible.contains(&stage)).is_some());
            failing.map(|(_, counts)| total(counts)).fold(0, u64::saturating_add)
        };
        let mut inversions: Vec<Inversion> = Vec::new();
        for (pair, failing) in self.failing(order) {
            let counts = failing == Failing::Late || self.is_whole;
            let inversion = pair.inversion(failing, in_a(pair), counts);
            // One missing flush is one failure, wherever it is first missed.
            let is_known = |known: &Inversion| matches!(pair.demand, Demand::NotUntil(_)) && same_cause(known, &inversion);
            if !inversions.iter().any(is_known) {
                inversions.push(inversion);
            }
        }
        inversions
    }
}

fn same_cause(one: &Inversion, other: &Inversion) -> bool {
    (one.before, one.until, one.missing) == (other.before, other.until, other.missing) && one.missing && one.invalidations_a == 0
}

fn total(counts: &Counts) -> u64 {
    counts.iter().copied().fold(0, u64::saturating_add)
}

/// Every order that either has, most frequent first.
pub(super) fn compare_orders(a: Orders, b: Orders, baseline: &Baseline, alpha: f64) -> Vec<OrderDiff> {
    let (all_a, all_b) = (sums(&a), sums(&b));
    let slices = slices(&all_a, &all_b);
    let names: BTreeSet<&Vec<Stage>> = a.keys().chain(b.keys()).collect();
    let none = [0; BATCHES];
    let mut orders: Vec<OrderDiff> = names
        .into_iter()
        .map(|order| {
            let (of_a, of_b) = (a.get(order).unwrap_or(&none), b.get(order).unwrap_or(&none));
            let series = [series(of_a, &all_a, &slices[0]), series(of_b, &all_b, &slices[1])];
            let mut diff = OrderDiff {
                order: order.clone(),
                a: seen(of_a, &all_a, &series[0]),
                b: seen(of_b, &all_b, &series[1]),
                change: OrderChange::Unknown,
                ratio: None,
                ratio_low: None,
                ratio_high: None,
                evidence: Evidence::default(),
                inversions: Vec::new(),
                relevant: false,
            };
            weigh(&mut diff, &series, alpha);
            if diff.b.invalidations > 0 {
                diff.inversions = baseline.inversions(order, &a);
            }
            diff.relevant = diff.inversions.iter().any(|inversion| inversion.counts && inversion.invalidations_a == 0);
            diff
        })
        .filter(|diff| diff.a.invalidations > 0 || diff.b.invalidations > 0)
        .collect();
    orders.sort_by_key(|diff| std::cmp::Reverse(diff.a.invalidations.saturating_add(diff.b.invalidations)));
    orders
}

/// Invalidations in each batch.
fn sums(orders: &Orders) -> Counts {
    let mut sums = [0_u64; BATCHES];
    for counts in orders.values() {
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
    }
    sums
}

/// How often an order came in each slice, and of how many.
fn series(counts: &Counts, all: &Counts, slices: &[Range<usize>]) -> Vec<(u64, u64)> {
    let sum = |counts: &Counts, slice: &Range<usize>| counts[slice.clone()].iter().copied().fold(0, u64::saturating_add);
    slices.iter().map(|slice| (sum(counts, slice), sum(all, slice))).collect()
}

fn seen(counts: &Counts, all: &Counts, series: &[(u64, u64)]) -> Seen {
    Seen {
        invalidations: total(counts),
        share: total(counts) as f64 / total(all).max(1) as f64,
        slices_with: series.iter().filter(|(times, _)| *times > 0).count() as u64,
        slices: series.len() as u64,
    }
}

/// Asks the slices.
fn weigh(diff: &mut OrderDiff, [a, b]: &[Vec<(u64, u64)>; 2], alpha: f64) {
    let is_in_both = diff.a.invalidations > 0 && diff.b.invalidations > 0;
    let (scores_a, scores_b) = if is_in_both {
        let shares = |series: &[(u64, u64)]| series.iter().map(|(times, all)| *times as f64 / *all as f64).collect::<Vec<_>>();
        stats::levels(&shares(a), &shares(b))
    } else {
        // A burst is a single piece of evidence, however many came in it.
        let has = |series: &[(u64, u64)]| series.iter().map(|(times, _)| u32::from(*times > 0)).collect::<Vec<_>>();
        (has(a), has(b))
    };
    diff.evidence = Evidence::of(&scores_a, &scores_b);
    if is_in_both {
        diff.ratio = Some(diff.b.share / diff.a.share);
        if let Some(interval) = stats::ratio(a, b, alpha) {
            diff.ratio_low = Some(interval.low).filter(|low| low.is_finite());
            diff.ratio_high = Some(interval.high).filter(|high| high.is_finite());
        }
    }
}

impl Evidence {
    /// Of scores on both sides.
    pub(super) fn of(a: &[u32], b: &[u32]) -> Self {
        if a.is_empty() || b.is_empty() {
            return Self::default();
        }
        let stats::Exact { p, least } = stats::exact(a, b);
        let mean = |scores: &[u32]| scores.iter().map(|&score| f64::from(score)).sum::<f64>() / scores.len() as f64;
        Self { p: Some(p), least_p: Some(least), is_more: mean(b) > mean(a), ..Self::default() }
    }
}
