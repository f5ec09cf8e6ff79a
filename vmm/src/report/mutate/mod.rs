//! What campaigns came to, and the forms in which people and machines read it.

mod forms;
mod human;

pub use human::describe;

use super::{Format, json, junit, ktap};
use crate::mutate::campaign::{CampaignReport, Fate};
use serde::{Deserialize, Serialize};

/// All campaigns of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MutateReport {
    /// Version of this schema.
    pub version: u32,
    /// `as-expected`, `unexpected` or `inconclusive`.
    pub verdict: MutateVerdict,
    /// Everything random came from this.
    pub seed: u64,
    /// Time under test that each mutant had.
    pub seconds: f64,
    /// A campaign for each kernel.
    pub kernels: Vec<CampaignReport>,
    /// What else should be known.
    pub notes: Vec<String>,
}

/// The judgement on the testbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MutateVerdict {
    /// Every mutant that can be reached was killed, or nobody can notice it.
    AsExpected,
    /// One was not, or a control raised an alarm.
    Unexpected,
    /// It was told to stop, or only listed.
    Inconclusive,
}

impl MutateVerdict {
    /// Of these campaigns.
    #[must_use]
    pub fn of(kernels: &[CampaignReport]) -> Self {
        // A kernel without a single call was not understood.
        let wrong = |kernel: &CampaignReport| {
            kernel.unexpected().next().is_some() || !kernel.control_alarms.is_empty() || kernel.kernel.sites.is_empty()
        };
        if kernels.iter().any(wrong) {
            Self::Unexpected
        } else if kernels.iter().any(|kernel| kernel.interrupted || kernel.count(Fate::Untried) > 0) || kernels.is_empty() {
            Self::Inconclusive
        } else {
            Self::AsExpected
        }
    }

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsExpected => "as-expected",
            Self::Unexpected => "unexpected",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// The exit status.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::AsExpected => 0,
            Self::Unexpected => 1,
            Self::Inconclusive => 3,
        }
    }
}

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether escape sequences for colour are allowed.
    pub color: bool,
}

/// The report in this form, ending in a newline.
#[must_use]
pub fn render(report: &MutateReport, format: Format, options: &Options) -> String {
    match format {
        Format::Human => human::render(report, options),
        Format::Json => json::document(report),
        Format::Ktap => ktap::document(&forms::tests(report), &report.notes, forms::NOTHING),
        Format::Junit => junit::document("nostale mutate", &forms::properties(report), &forms::tests(report), &report.notes),
    }
}
