//! From two recordings to what differs between them.
//!
//! Instances of a round share one schedule, and a test that takes them for independent calls every difference significant. What is
//! taken for independent here are batches: slices of many rounds, equally wide on both sides. Under the hypothesis that both recordings
//! come from the same source, any way to deal the batches out to the two would have been as likely, and that is all that the
//! permutation test asks for ([`stats::exact`]): no distribution, no number of batches, no evenness of bursts. A state that one side never
//! saw is looked for batch by batch, which makes it Fisher's exact test: a single burst is a single piece of evidence.
//!
//! *The same source* means the host and what else it was doing, too. Real KVM shows how much that is: which thread comes first in an
//! instance depends on when the host lets vCPUs run, so that the rates of two recordings, one after the other on the same busy host, differ
//! by ten times the variance within them. No test on batches can tell that from a change of the kernel. There, rates are shown and decide
//! nothing; what decides is whether a state comes up at all.

use super::{
    Change, DiffReport, METHOD, Pair, Recorded, Seen, Side, StateDiff, Verdict,
    pairs::{Pairs, file},
};
use crate::report::litmus::{Batch, StateRow, histogram::Histogram};
use nostale_notifier::{litmus::batches::MOST, stats};

/// What the recordings differ in, with at most `alpha` as the probability of a false alarm.
#[must_use]
pub fn compare(a: &Recorded, b: &Recorded, alpha: f64) -> DiffReport {
    let Pairs { both, only_in_a, only_in_b } = Pairs::of(a, b);
    let mut compared: Vec<Compared> = both.iter().map(|(a, b)| Compared::of(a, b, alpha)).collect();
    // The family of tests is all that the call looks at.
    let deciding = compared.iter().flat_map(|pair| pair.pair.states.iter().filter(|state| decides(&pair.pair.on, state)));
    let all: Vec<f64> = deciding.filter_map(|state| state.p).collect();
    let mut adjusted = stats::holm(&all).into_iter();
    for pair in &mut compared {
        for (state, evidence) in pair.pair.states.iter_mut().zip(&pair.evidence) {
            if let Some(evidence) = evidence {
                state.p_of_all = if decides(&pair.pair.on, state) { adjusted.next() } else { None };
                evidence.judge(state, alpha);
            }
        }
        pair.judge(alpha);
    }
    let cut = [(a, "A"), (b, "B")].into_iter().filter(|(recorded, _)| recorded.is_cut());
    DiffReport {
        version: 1,
        method: METHOD.to_owned(),
        alpha,
        a: a.recording(),
        b: b.recording(),
        pairs: compared.into_iter().map(|pair| pair.pair).collect(),
        only_in_a,
        only_in_b,
        notes: cut.map(|(_, name)| format!("{name} was interrupted: tests may be missing from it")).collect(),
    }
}

/// Whether a difference would be one of the sources, and not of what else the hosts were doing.
fn decides(on: &str, state: &StateDiff) -> bool {
    on != "kvm" || matches!(state.change, Change::New | Change::Gone)
}

/// A pair, and what is known of each of its states.
struct Compared {
    pair: Pair,
    evidence: Vec<Option<Evidence>>,
}

/// What batches say of a state.
struct Evidence {
    least: f64,
    /// Whether the second side has more of it by the scores that were tested.
    is_more: bool,
}

impl Compared {
    fn of(a: &Histogram<'_>, b: &Histogram<'_>, alpha: f64) -> Self {
        let (of_a, of_b) = aligned(a.batches, b.batches);
        let side = |histogram: &Histogram<'_>, batches: &[Slice<'_>]| Side {
            variant: histogram.test.variant.clone(),
            instances: histogram.instances,
            batches: batches.len() as u64,
        };
        let mut pair = Pair {
            file: file(a).to_owned(),
            model: b.test.model.clone(),
            memory_model: a.test.memory_model.to_string(),
            on: a.on.to_owned(),
            a: side(a, &of_a),
            b: side(b, &of_b),
            verdict: Verdict::Inconclusive,
            reason: None,
            states: Vec::new(),
        };
        let mut evidence = Vec::new();
        if a.test.columns != b.test.columns {
            pair.reason = Some("the two look at different things: the test was changed between them".to_owned());
            return Self { pair, evidence };
        }
        let has_batches = !of_a.is_empty() && !of_b.is_empty();
        if !has_batches {
            let which = match (of_a.is_empty(), of_b.is_empty()) {
                (true, true) => "neither recording has",
                (true, false) => "A does not have",
                _ => "B does not have",
            };
            let why = format!("rates cannot be compared: {which} batches, because an older nostale has made it; record it again");
            pair.reason = Some(why);
        }
        for [row_a, row_b] in rows(a, b) {
            let (mut state, series) = described((a, row_a, &of_a), (b, row_b, &of_b));
            evidence.push(has_batches.then(|| weigh(&mut state, &series, alpha)));
            pair.states.push(state);
        }
        Self { pair, evidence }
    }

    fn judge(&mut self, alpha: f64) {
        let Pair { states, verdict, reason, b, .. } = &mut self.pair;
        // It takes no statistics to know that once is too often.
        let contradicts = |state: &StateDiff| state.change == Change::New && state.forbidden_under.contains(&b.variant);
        if states.iter().any(contradicts) {
            *verdict = Verdict::Differs;
            return;
        }
        if reason.is_some() {
            return;
        }
        let could_show = self.evidence.iter().flatten().any(|evidence| evidence.least <= alpha);
        if states.iter().any(|state| state.confident) {
            *verdict = Verdict::Differs;
        } else if could_show {
            *verdict = Verdict::Same;
        } else {
            *reason = Some("the recordings are too short for any difference to show; give them more --runs".to_owned());
        }
    }
}

/// How often a state came up in each batch, and in how many instances: in the first recording and in the second one.
type Series = [Vec<(u64, u64)>; 2];

/// A side's histogram, its row of a state, if it has one, and its batches.
type Source<'a> = (&'a Histogram<'a>, Option<(usize, &'a StateRow)>, &'a [Slice<'a>]);

/// What is known of a state without any test.
fn described(a: Source<'_>, b: Source<'_>) -> (StateDiff, Series) {
    let series = [&a, &b].map(|(_, row, batches)| {
        let times = |batch: &Slice<'_>| row.map_or(0, |(at, _)| batch.times(at));
        batches.iter().map(|batch| (times(batch), batch.instances())).collect::<Vec<_>>()
    });
    let seen = |(histogram, row, _): &Source<'_>, series: &[(u64, u64)]| {
        let times = row.map_or(0, |(_, row)| histogram.times(row));
        let per_million = times as f64 * 1e6 / histogram.instances.max(1) as f64;
        Seen { times, per_million, batches: series.iter().filter(|(times, _)| *times > 0).count() as u64 }
    };
    let (seen_a, seen_b) = (seen(&a, &series[0]), seen(&b, &series[1]));
    let rows = [&a, &b].map(|(histogram, row, _)| row.map(|(_, row)| (histogram, row)));
    let forbidding = rows.iter().flatten().filter(|(_, row)| row.model == "forbidden");
    let mut forbidden_under: Vec<String> = forbidding.map(|(histogram, _)| histogram.test.variant.clone()).collect();
    forbidden_under.dedup();
    let any = || rows.iter().flatten().map(|(_, row)| *row);
    let state = StateDiff {
        state: any().next().map(|row| row.state.clone()).unwrap_or_default(),
        forbidden_under,
        violates: any().find_map(|row| row.violates.clone()),
        a: seen_a,
        b: seen_b,
        ratio: (seen_a.times > 0 && seen_b.times > 0).then(|| seen_b.per_million / seen_a.per_million),
        ratio_low: None,
        ratio_high: None,
        p: None,
        p_of_all: None,
        change: match (seen_a.times, seen_b.times) {
            (0, _) => Change::New,
            (_, 0) => Change::Gone,
            _ => Change::TooRare,
        },
        confident: false,
    };
    (state, series)
}

/// Asks the batches.
fn weigh(state: &mut StateDiff, [a, b]: &Series, alpha: f64) -> Evidence {
    let (scores_a, scores_b) = if state.ratio.is_some() {
        let rates = |series: &[(u64, u64)]| series.iter().map(|(times, all)| *times as f64 / *all as f64).collect::<Vec<_>>();
        stats::levels(&rates(a), &rates(b))
    } else {
        let has = |series: &[(u64, u64)]| series.iter().map(|(times, _)| u32::from(*times > 0)).collect::<Vec<_>>();
        (has(a), has(b))
    };
    let stats::Exact { p, least } = stats::exact(&scores_a, &scores_b);
    state.p = Some(p);
    if state.ratio.is_some()
        && let Some(interval) = stats::ratio(a, b, alpha)
    {
        state.ratio_low = Some(interval.low).filter(|low| low.is_finite());
        state.ratio_high = Some(interval.high).filter(|high| high.is_finite());
    }
    let mean = |scores: &[u32]| scores.iter().map(|&score| f64::from(score)).sum::<f64>() / scores.len() as f64;
    Evidence { least, is_more: mean(&scores_b) > mean(&scores_a) }
}

impl Evidence {
    fn judge(&self, state: &mut StateDiff, alpha: f64) {
        state.confident = state.p_of_all.is_some_and(|p| p <= alpha);
        let Some(ratio) = state.ratio else { return };
        // What decides nothing stands for itself.
        let differs = state.p_of_all.or(state.p).is_some_and(|p| p <= alpha);
        state.change = match (differs, self.is_more) {
            (true, true) if ratio > 1.0 => Change::MoreOften,
            (true, false) if ratio < 1.0 => Change::LessOften,
            (true, _) => Change::OtherBursts,
            (false, _) if self.least > alpha => Change::TooRare,
            (false, _) => Change::Same,
        };
    }
}

/// The states that were seen on either side, with their rows and where these stand: those of the first side, and then what only the
/// second one lists.
fn rows<'a>(a: &Histogram<'a>, b: &Histogram<'a>) -> Vec<[Option<(usize, &'a StateRow)>; 2]> {
    let (of_a, of_b) = (&a.test.states, &b.test.states);
    let find = |rows: &'a [StateRow], state: &str| rows.iter().enumerate().find(|(_, row)| row.state == state);
    let first = of_a.iter().enumerate().map(|row| [Some(row), find(of_b, &row.1.state)]);
    let rest = of_b.iter().enumerate().filter(|(_, row)| find(of_a, &row.state).is_none()).map(|row| [None, Some(row)]);
    let times = |histogram: &Histogram<'_>, row: Option<(usize, &StateRow)>| row.map_or(0, |(_, row)| histogram.times(row));
    first.chain(rest).filter(|[x, y]| times(a, *x) + times(b, *y) > 0).collect()
}

/// Neighbouring batches that are one.
#[derive(Clone, Copy, Debug)]
struct Slice<'a>(&'a [Batch]);

impl Slice<'_> {
    fn instances(&self) -> u64 {
        self.0.iter().map(|batch| batch.instances).sum()
    }

    fn times(&self, state: usize) -> u64 {
        self.0.iter().filter_map(|batch| batch.times.get(state)).sum()
    }
}

/// The batches of both sides, equally wide: those of a run are 2, 4, 8, … times as wide as those of a shorter one.
fn aligned<'a>(a: &'a [Batch], b: &'a [Batch]) -> (Vec<Slice<'a>>, Vec<Slice<'a>>) {
    // The median: the last one may be narrower.
    let width = |batches: &[Batch]| {
        let mut widths: Vec<u64> = batches.iter().map(|batch| batch.instances).collect();
        widths.sort_unstable();
        widths.get(widths.len() / 2).map_or(1.0, |width| *width as f64)
    };
    let (of_a, of_b) = (width(a), width(b));
    let factor = |own: f64, other: f64| (other / own).round().max(1.0);
    let (join_a, join_b) = (factor(of_a, of_b), factor(of_b, of_a));
    // No run has so many; a file might.
    let many = (a.len() as f64 / join_a).max(b.len() as f64 / join_b) / MOST as f64;
    let joined = |batches: &'a [Batch], number: f64| {
        let number = (number * many.ceil().max(1.0)) as usize;
        let mut slices: Vec<Slice<'a>> = batches.chunks(number.max(1)).map(Slice).collect();
        // What is much narrower than the others would vary much more.
        let is_narrow = slices.len() > 1 && slices.last().is_some_and(|last| last.0.len() * 2 < number);
        if is_narrow {
            slices.truncate(slices.len().saturating_sub(2));
            slices.push(Slice(&batches[slices.len() * number..]));
        }
        slices
    };
    (joined(a, join_a), joined(b, join_b))
}
