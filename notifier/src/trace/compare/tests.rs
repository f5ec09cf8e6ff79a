//! Pairs of profiles, and what must come of them.

use super::{sample::*, *};
use crate::trace::{
    head::Mmu,
    profile::{
        BATCHES, LostOnCpu, RuleState,
        Stage::{self, Begin, End, Enter, Flush, Free, Install, KvmFlush, Return, SetMigration, Start, Zap},
    },
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::iter::repeat_n;

fn compared(a: &Profile, b: &Profile) -> Comparison {
    [a, b].iter().for_each(|profile| check(profile).expect("a profile"));
    let comparison = compare(Recorded { path: "a", profile: a }, Recorded { path: "b", profile: b }, 0.01);
    let text = serde_json::to_string(&comparison).expect("JSON");
    assert!(!text.contains("least_p"), "what is only needed on the way is no result");
    let again: Comparison = serde_json::from_str(&text).expect("read back");
    assert_eq!(again.verdict, comparison.verdict);
    comparison
}

/// So many in each batch, give or take.
fn about(number: u64, batches: usize) -> Vec<u64> {
    (0..batches as u64).map(|at| number + at * 7 % 5).collect()
}

fn mremaps(rest: Vec<crate::trace::profile::Signature>) -> Profile {
    let usual = vec![signature(&MREMAP, about(100, BATCHES)), signature(&NOTHING_TO_ZAP, about(20, BATCHES))];
    profile(vec![operation("mremap", [usual, rest].concat())])
}

fn order<'a>(comparison: &'a Comparison, order: &[Stage]) -> &'a OrderDiff {
    let found = comparison.operations[0].orders.iter().find(|diff| diff.order == order);
    found.unwrap_or_else(|| panic!("{order:?} is not in {comparison:#?}"))
}

#[test]
fn a_recording_does_not_differ_from_itself() {
    let mut one = mremaps(vec![signature(&[Enter, Start, Begin, Return], [1])]);
    one.operations[0].latencies.push(latency(Start, End, about(3000, BATCHES)));
    let comparison = compared(&one, &one);
    assert_eq!(comparison.verdict, ComparisonVerdict::NothingRelevant);
    assert!(comparison.differences.is_empty() && comparison.projected.is_empty() && comparison.notes.is_empty());
    let operation = &comparison.operations[0];
    let quiet = |order: &OrderDiff| matches!(order.change, OrderChange::Same | OrderChange::Unknown) && !order.relevant;
    assert!(operation.orders.iter().all(quiet), "{:#?}", operation.orders);
    let time = &operation.latencies[0];
    assert_eq!((time.change, time.ratio, time.cliffs_delta), (LatencyChange::Same, Some(1.0), 0.0));
    assert!(comparison.rules.iter().all(|rule| rule.change == RuleChange::Same));
}

#[test]
fn one_relevant_order_is_enough_and_one_of_another_kind_is_not() {
    let (a, b) = (mremaps(vec![]), mremaps(vec![signature(&UNFLUSHED, [1])]));
    let comparison = compared(&a, &b);
    assert_eq!(comparison.verdict, ComparisonVerdict::Relevant);
    let new = order(&comparison, &UNFLUSHED);
    assert_eq!((new.change, new.relevant, new.evidence.confident), (OrderChange::New, true, false));
    // A flush that is missing is missing once, not once for each stage behind it.
    assert_eq!(new.inversions.len(), 1, "{:#?}", new.inversions);
    let inversion = &new.inversions[0];
    assert_eq!((inversion.before, inversion.after, inversion.until, inversion.invalidations_a), (Zap, End, Some(KvmFlush), 0));
    // The other way round it is gone, and nobody minds.
    let back = compared(&b, &a);
    assert_eq!((back.verdict, order(&back, &UNFLUSHED).change), (ComparisonVerdict::NothingRelevant, OrderChange::Gone));
    // New, and nothing wrong with it.
    let twice = [Enter, Start, Begin, Zap, KvmFlush, Zap, KvmFlush, End, Return];
    let harmless = compared(&a, &mremaps(vec![signature(&twice, [1])]));
    assert_eq!((harmless.verdict, order(&harmless, &twice).change), (ComparisonVerdict::NothingRelevant, OrderChange::New));
}

#[test]
fn what_a_has_as_well_is_not_relevant() {
    let a = mremaps(vec![signature(&UNFLUSHED, [0, 3])]);
    let other = [Enter, Start, Begin, Zap, End, Flush, Return];
    let comparison = compared(&a, &mremaps(vec![signature(&other, [1])]));
    let new = order(&comparison, &other);
    assert_eq!((new.change, new.relevant, new.inversions[0].invalidations_a), (OrderChange::New, false, 3));
    // Of another operation, it is no excuse.
    let mut elsewhere = a.clone();
    elsewhere.operations[0].name = "munmap".to_owned();
    elsewhere.operations.push(operation("mremap", vec![signature(&MREMAP, about(100, BATCHES))]));
    assert_eq!(compared(&elsewhere, &mremaps(vec![signature(&other, [1])])).verdict, ComparisonVerdict::Relevant);
}

#[test]
fn faults_of_other_vcpus_are_relevant_only_inside() {
    let around = [Enter, Start, Install, Begin, Zap, KvmFlush, End, Install, Return];
    assert_eq!(compared(&mremaps(vec![]), &mremaps(vec![signature(&around, [5])])).verdict, ComparisonVerdict::NothingRelevant);
    let inside = [Enter, Start, Begin, Zap, KvmFlush, Install, End, Return];
    let comparison = compared(&mremaps(vec![]), &mremaps(vec![signature(&inside, [5])]));
    assert!(order(&comparison, &inside).relevant);
}

#[test]
fn what_was_lost_is_not_missing() {
    let mut b = mremaps(vec![signature(&UNFLUSHED, [1])]);
    b.lost.push(LostOnCpu { cpu: 1, events: 7 });
    let comparison = compared(&mremaps(vec![]), &b);
    assert_eq!((comparison.verdict, comparison.notes.len()), (ComparisonVerdict::NothingRelevant, 1));
    assert!(!order(&comparison, &UNFLUSHED).inversions[0].counts);
    assert!(comparison.differences.iter().any(|difference| difference.what == "lost events" && difference.b == "7"));
    // What is there, and in the wrong place, is.
    let late = [Enter, Start, Begin, Zap, End, KvmFlush, Return];
    b.operations[0].signatures.push(signature(&late, [1]));
    assert_eq!(compared(&mremaps(vec![]), &b).verdict, ComparisonVerdict::Relevant);
}

#[test]
fn a_kernel_that_flushes_no_more_is_found() {
    let b = profile(vec![operation("mremap", vec![signature(&UNFLUSHED, about(100, BATCHES))])]);
    let comparison = compared(&mremaps(vec![]), &b);
    assert!(comparison.projected.is_empty() && order(&comparison, &UNFLUSHED).relevant, "{comparison:#?}");
}

#[test]
fn stages_that_one_side_cannot_see_are_left_out() {
    let seen = [Enter, Start, Zap, Return];
    let mut b = profile(vec![operation("mremap", vec![signature(&seen, about(120, BATCHES))])]);
    b.probes = false;
    let mut a = mremaps(vec![]);
    a.operations[0].latencies = vec![latency(Begin, End, about(10, 64)), latency(Start, Return, about(10, 64))];
    b.operations[0].latencies = vec![latency(Start, Return, about(10, 64))];
    let comparison = compared(&a, &b);
    assert_eq!(comparison.projected.iter().map(|projected| projected.stage).collect::<Vec<_>>(), [Begin, KvmFlush, End]);
    assert!(comparison.projected[0].why.starts_with("B never has it"), "{:?}", comparison.projected);
    let orders = &comparison.operations[0].orders;
    assert_eq!(orders.iter().map(|order| order.order.as_slice()).collect::<Vec<_>>(), [&seen[..], &[Enter, Start, Return]]);
    assert_eq!(comparison.operations[0].latencies.len(), 1);
    assert_eq!(comparison.verdict, ComparisonVerdict::NothingRelevant, "no flush is missed that cannot be seen");
    let what: Vec<_> = comparison.differences.iter().map(|difference| difference.what.as_str()).collect();
    assert_eq!(what, ["probes"]);
    // What became the same is one.
    let pieces = [Enter, Start, Zap, KvmFlush, Zap, Return];
    a.operations[0].signatures.push(signature(&pieces, [9]));
    assert_eq!(order(&compared(&a, &b), &seen).a.invalidations, a.operations[0].signatures[0].count + 9);
}

#[test]
fn a_stage_stays_if_nothing_has_changed_in_how_it_is_seen() {
    let a =
        profile(vec![operation("munmap", vec![signature(&[Enter, Start, Begin, Zap, KvmFlush, End, Free, Return], [5; 64])])]);
    let late = [Enter, Free, Start, Begin, Zap, KvmFlush, End, Return];
    let mut b = profile(vec![operation("munmap", vec![signature(&late, [5; 64])])]);
    assert!(compared(&a, &b).projected.is_empty());
    // Entries are not seen in the same way in shadow page tables.
    b.mmu = Mmu::Shadow;
    assert!(compared(&a, &b).projected.is_empty(), "both have it");
    b.operations[0].signatures[0].order.retain(|stage| *stage != Zap);
    let comparison = compared(&a, &b);
    assert_eq!(comparison.projected[0].stage, Zap);
    assert_eq!(comparison.verdict, ComparisonVerdict::Relevant, "the page is free before anything is announced");
}

#[test]
fn a_migration_entry_before_the_announcement_is_relevant() {
    let right = [Start, Begin, Zap, KvmFlush, SetMigration, End];
    let wrong = [SetMigration, Start, Begin, Zap, KvmFlush, End];
    let of = |orders: &[&[Stage]]| {
        let signatures = orders.iter().map(|order| signature(order, [4; 64])).collect();
        profile(vec![operation("kcompactd", signatures)])
    };
    let comparison = compared(&of(&[&right]), &of(&[&right, &wrong]));
    let says: Vec<_> = order(&comparison, &wrong).inversions.iter().map(|inversion| inversion.says.as_str()).collect();
    assert_eq!(says, ["set-migration before start", "set-migration before begin"]);
    assert_eq!(compared(&of(&[&right, &wrong]), &of(&[&right, &wrong])).verdict, ComparisonVerdict::NothingRelevant);
}

#[test]
fn a_share_that_moves_shows_with_many_batches_and_not_with_few() {
    let of = |usual: u64, rare: u64, batches: usize| {
        let signatures = vec![signature(&MREMAP, about(usual, batches)), signature(&NOTHING_TO_ZAP, about(rare, batches))];
        profile(vec![operation("mremap", signatures)])
    };
    let many = compared(&of(100, 20, 64), &of(80, 40, 64));
    let moved = order(&many, &NOTHING_TO_ZAP);
    assert_eq!((moved.change, moved.evidence.confident), (OrderChange::More, true));
    assert_eq!(order(&many, &MREMAP).change, OrderChange::Fewer);
    let (low, ratio, high) = (moved.ratio_low.expect("low"), moved.ratio.expect("both"), moved.ratio_high.expect("high"));
    assert!(1.5 < low && low < ratio && ratio < high && high < 2.1, "{moved:?}");
    assert_eq!(many.verdict, ComparisonVerdict::NothingRelevant, "that is information");
    let few = compared(&of(100, 20, 3), &of(80, 40, 3));
    assert_eq!(order(&few, &NOTHING_TO_ZAP).change, OrderChange::Unknown, "of twenty ways to deal, two are this far");
}

#[test]
fn a_new_order_in_a_single_burst_is_not_sure_and_in_many_batches_is() {
    let comparison = compared(&mremaps(vec![]), &mremaps(vec![signature(&[Enter, Start, Return], [5000])]));
    let burst = order(&comparison, &[Enter, Start, Return]);
    assert_eq!((burst.change, burst.evidence.p_of_all, burst.evidence.confident), (OrderChange::New, None, false));
    let comparison = compared(&mremaps(vec![]), &mremaps(vec![signature(&[Enter, Start, Return], repeat_n(1, 32))]));
    assert!(order(&comparison, &[Enter, Start, Return]).evidence.confident);
}

#[test]
fn a_time_that_doubles_is_found() {
    let of = |median: u64, batches: usize| {
        let mut one = mremaps(vec![]);
        one.operations[0].latencies.push(latency(Start, End, (0..batches as u64).map(|at| median + median * (at * 13 % 7) / 30)));
        one
    };
    let comparison = compared(&of(3000, 64), &of(6000, 64));
    let time = &comparison.operations[0].latencies[0];
    assert_eq!((time.change, time.evidence.confident, time.magnitude()), (LatencyChange::Longer, true, Magnitude::Large));
    let (low, high) = (time.ratio_low.expect("low"), time.ratio_high.expect("high"));
    assert!((1.8..=2.0).contains(&low) && (2.0..2.2).contains(&high), "{time:?}");
    let back = compared(&of(6000, 64), &of(3000, 64));
    let time = &back.operations[0].latencies[0];
    assert_eq!((time.change, time.cliffs_delta), (LatencyChange::Shorter, -1.0));
    let few = compared(&of(3000, 2), &of(6000, 2));
    assert_eq!(few.operations[0].latencies[0].change, LatencyChange::Unknown);
}

#[test]
fn all_tests_together_are_one_family() {
    let mut pairs: Vec<(Profile, Profile)> = Vec::new();
    for operations in [1, 40] {
        let side = |rare: u64| {
            let one = |name: usize| {
                // The first moves a little, the rest do not.
                let rare = if name == 0 { rare } else { 20 };
                let noise = move |at: u64| (at * 37 + name as u64 * 11) % 16;
                let rare: Vec<u64> = (0..64).map(|at| rare + noise(at)).collect();
                operation(&name.to_string(), vec![signature(&MREMAP, [200; 64]), signature(&NOTHING_TO_ZAP, rare)])
            };
            profile((0..operations).map(one).collect())
        };
        pairs.push((side(20), side(23)));
    }
    let of = |(a, b): &(Profile, Profile)| {
        let comparison = compared(a, b);
        let evidence = order(&comparison, &NOTHING_TO_ZAP).evidence;
        (comparison.tests(), evidence)
    };
    let ((alone, one), (among, many)) = (of(&pairs[0]), of(&pairs[1]));
    assert_eq!((alone, among, one.p), (2, 80, many.p));
    let (one, many) = (one.p_of_all.expect("tested"), many.p_of_all.expect("tested"));
    assert!((many / one - 40.0).abs() < 1e-6, "{one} {many}");
}

#[test]
fn a_rule_that_breaks_is_relevant_where_it_held() {
    use RuleState::{Broken, Held, NotAsked};
    let with = |state| {
        let mut one = mremaps(vec![]);
        one.rules = vec![rule("retry", state)];
        one
    };
    let cases = [
        (Held, Broken, RuleChange::Broken, ComparisonVerdict::Relevant),
        (Broken, Broken, RuleChange::Same, ComparisonVerdict::NothingRelevant),
        (NotAsked, Broken, RuleChange::BrokenUnasked, ComparisonVerdict::NothingRelevant),
        (Broken, Held, RuleChange::Mended, ComparisonVerdict::NothingRelevant),
        (Held, NotAsked, RuleChange::Unasked, ComparisonVerdict::NothingRelevant),
    ];
    for (a, b, change, verdict) in cases {
        let comparison = compared(&with(a), &with(b));
        assert_eq!((comparison.rules[0].change, comparison.verdict), (change, verdict), "{a:?} {b:?}");
    }
    let mut unknown = with(Held);
    unknown.rules.clear();
    let comparison = compared(&unknown, &with(Broken));
    assert_eq!((comparison.rules[0].a, comparison.rules[0].change), (None, RuleChange::BrokenUnasked));
}

#[test]
fn without_anything_in_common_nothing_is_compared() {
    let mut other = mremaps(vec![]);
    other.operations[0].name = "munmap".to_owned();
    let comparison = compared(&mremaps(vec![]), &other);
    assert_eq!(comparison.verdict, ComparisonVerdict::Incomparable);
    assert_eq!((comparison.only_in_a[0].name.as_str(), comparison.only_in_b[0].name.as_str()), ("mremap", "munmap"));
    let (mut a, mut b) = (mremaps(vec![]), mremaps(vec![]));
    a.verdict = OrderVerdict::Vacuous;
    assert_eq!(compared(&a, &b).verdict, ComparisonVerdict::NothingRelevant);
    b.verdict = OrderVerdict::Vacuous;
    let comparison = compared(&a, &b);
    assert!(
        comparison.verdict == ComparisonVerdict::Incomparable && comparison.reason.is_some_and(|why| why.contains("vacuous"))
    );
    assert_eq!(compared(&profile(vec![]), &profile(vec![])).verdict, ComparisonVerdict::Incomparable);
}

#[test]
fn numbers_that_do_not_agree_are_noticed() {
    let mut one = mremaps(vec![]);
    one.operations[0].latencies.push(latency(Start, End, about(3000, BATCHES)));
    type Change = fn(&mut Profile);
    let cases: [(Change, &str); 6] = [
        (|one| one.version = 2, "version 2"),
        (|one| one.operations.push(one.operations[0].clone()), "'mremap' is listed twice"),
        (|one| one.operations[0].signatures[1].batches[3] += 1, "the batches of order 2"),
        (|one| one.operations[0].signatures[0].batches[3] = u64::MAX, "the batches of order 1"),
        (|one| one.operations[0].signatures[0].batches.truncate(9), "the batches of order 1"),
        (|one| one.operations[0].latencies[0].histogram[0].1 += 1, "times from start to end"),
    ];
    for (change, says) in cases {
        let mut bad = one.clone();
        change(&mut bad);
        let error = check(&bad).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// A recording whose orders come in bursts, and whose times do: what a busy host does to both.
fn bursty(random: &mut Xoshiro256PlusPlus, size: u64, bursts: f64) -> Profile {
    let burst = |random: &mut Xoshiro256PlusPlus| {
        let is_burst = random.random_range(0.0..1.0) < bursts;
        if is_burst { (-(size as f64) * 0.2 * random.random_range(f64::MIN_POSITIVE..1.0).ln()) as u64 } else { 0 }
    };
    let rare: Vec<u64> = (0..BATCHES).map(|_| burst(random).min(size)).collect();
    let usual: Vec<u64> = rare.iter().map(|rare| size - rare).collect();
    let mut operation = operation("mremap", vec![signature(&MREMAP, usual), signature(&NOTHING_TO_ZAP, rare)]);
    // The median of so many times, of which each is longer than 3 µs by an exponential time that all of a batch share in part.
    let median = |random: &mut Xoshiro256PlusPlus| {
        let load = 1.0 - 0.5 * random.random_range(f64::MIN_POSITIVE..1.0).ln();
        let times: Vec<f64> =
            (0..size).map(|_| 3000.0 - load * 1000.0 * random.random_range(f64::MIN_POSITIVE..1.0).ln()).collect();
        stats::median(&times).unwrap_or_default() as u64
    };
    let mut time = latency(Start, End, (0..BATCHES).map(|_| median(random)));
    // Each stands for `size` of them.
    time.count = size * BATCHES as u64;
    time.histogram.iter_mut().for_each(|(_, count)| *count = size);
    operation.latencies.push(time);
    profile(vec![operation])
}

#[test]
fn bursts_raise_no_more_false_alarms_than_alpha_allows() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1976);
    let (trials, alpha) = (100, 0.05);
    for (size_a, size_b, bursts) in [(40, 40, 0.1), (60, 40, 0.5), (40, 10, 0.3)] {
        let alarms = (0..trials).filter(|_| {
            let (a, b) = (bursty(&mut random, size_a, bursts), bursty(&mut random, size_b, bursts));
            let comparison = compare(Recorded { path: "a", profile: &a }, Recorded { path: "b", profile: &b }, alpha);
            let operation = &comparison.operations[0];
            operation.orders.iter().any(|order| order.evidence.confident)
                || operation.latencies.iter().any(|time| time.evidence.confident)
        });
        // 100 trials of 0.05: with a probability of 10⁻⁴, more than 0.15 of them.
        let rate = alarms.count() as f64 / f64::from(trials);
        assert!(rate <= 0.15, "{size_a} and {size_b} in a batch, {bursts} bursts: {rate}");
    }
}
