//! What of two recordings belongs together.

use super::{Recording, Unpaired};
use crate::report::litmus::{LitmusReport, TestResult, histogram::Histogram};
use nostale_notifier::near::did_you_mean;
use thiserror::Error;

/// A recording, and the ordering that is meant of it, if it is not all.
#[derive(Clone, Debug)]
pub struct Recorded {
    path: String,
    ordering: Option<String>,
    report: LitmusReport,
}

/// A recording does not have an ordering.
#[derive(Debug, Error)]
#[error(
    "{path}: no test was recorded under the ordering '{name}'{}; there are {}",
    did_you_mean(.name, .known.iter().map(String::as_str)),
    .known.join(", ")
)]
pub struct NoOrdering {
    /// The recording.
    pub path: String,
    /// What was asked for.
    pub name: String,
    /// What it has.
    pub known: Vec<String>,
}

/// What belongs together, and what one side has alone.
#[derive(Debug)]
pub(super) struct Pairs<'a> {
    pub(super) both: Vec<(Histogram<'a>, Histogram<'a>)>,
    pub(super) only_in_a: Vec<Unpaired>,
    pub(super) only_in_b: Vec<Unpaired>,
}

impl Recorded {
    /// A report that was read from `path`, or one ordering of it.
    ///
    /// # Errors
    /// Nothing was recorded under that ordering.
    pub fn new(path: String, ordering: Option<String>, report: LitmusReport) -> Result<Self, NoOrdering> {
        match ordering {
            Some(name) if !report.tests.iter().any(|test| test.variant == name) => {
                let mut known: Vec<String> = report.tests.iter().map(|test| test.variant.clone()).collect();
                known.sort();
                known.dedup();
                Err(NoOrdering { path, name, known })
            }
            ordering => Ok(Self { path, ordering, report }),
        }
    }

    pub(super) fn recording(&self) -> Recording {
        Recording { path: self.path.clone(), ordering: self.ordering.clone(), seed: self.report.seed }
    }

    /// Whether it was ended before its end.
    pub(super) fn is_cut(&self) -> bool {
        self.report.interrupted
    }

    fn histograms(&self) -> Vec<Histogram<'_>> {
        let meant = |test: &&TestResult| self.ordering.as_ref().is_none_or(|ordering| test.variant == *ordering);
        self.report.tests.iter().filter(meant).flat_map(Histogram::of).collect()
    }
}

/// The file, without directories: two hosts need not keep it in the same place.
pub(super) fn file<'a>(histogram: &Histogram<'a>) -> &'a str {
    histogram.test.path.rsplit('/').next().unwrap_or_default()
}

impl Unpaired {
    fn of(histogram: &Histogram<'_>) -> Self {
        let Histogram { test, on, .. } = histogram;
        Self {
            path: test.path.clone(),
            variant: test.variant.clone(),
            memory_model: test.memory_model.to_string(),
            on: (*on).to_owned(),
        }
    }
}

impl<'a> Pairs<'a> {
    /// By file, memory model and place; by the ordering as well, unless one was chosen.
    pub(super) fn of(a: &'a Recorded, b: &'a Recorded) -> Self {
        let chosen = a.ordering.is_some() || b.ordering.is_some();
        let (all_a, all_b) = (a.histograms(), b.histograms());
        let alike = |x: &Histogram<'_>, y: &Histogram<'_>| {
            (file(x), &x.test.memory_model, x.on) == (file(y), &y.test.memory_model, y.on)
                && (chosen || x.test.variant == y.test.variant)
        };
        // Two files of the same name in two directories of one recording: then only the whole path tells which is which.
        let same_name = |x: &Histogram<'_>, y: &Histogram<'_>| file(x) == file(y) && x.test.path != y.test.path;
        let ambiguous = |all: &[Histogram<'_>], of: &Histogram<'_>| {
            all.iter().filter(|x| file(x) == file(of)).any(|x| all.iter().any(|y| same_name(x, y)))
        };
        let belong = |x: &Histogram<'_>, y: &Histogram<'_>| {
            alike(x, y) && (x.test.path == y.test.path || !(ambiguous(&all_a, x) || ambiguous(&all_b, y)))
        };
        let both = all_a.iter().flat_map(|x| all_b.iter().filter(|y| belong(x, y)).map(|y| (*x, *y))).collect();
        let alone = |one: &[Histogram<'_>], belongs: &dyn Fn(&Histogram<'_>) -> bool| {
            one.iter().filter(|x| !belongs(x)).map(Unpaired::of).collect::<Vec<_>>()
        };
        let only_in_a = alone(&all_a, &|x| all_b.iter().any(|y| belong(x, y)));
        let only_in_b = alone(&all_b, &|y| all_a.iter().any(|x| belong(x, y)));
        Self { both, only_in_a, only_in_b }
    }
}
