//! What two recordings of litmus tests differ in. As with the tests themselves, the structures here *are* the JSON schema, and fields
//! are only ever added.

mod compare;
mod forms;
mod human;
mod pairs;
#[cfg(test)]
mod tests;

pub use compare::compare;
pub use pairs::{NoOrdering, Recorded};

use super::{Options, named};
use crate::report::{Format, json, junit, ktap};
use serde::{Deserialize, Serialize};

/// Exit status where a difference was found.
const DIFFERENT: u8 = 1;
/// Exit status where nothing could be compared.
const NOTHING: u8 = 3;

/// How the rates were compared: the same for all.
pub const METHOD: &str = "exact two-sample permutation test on the square roots of rates of batches, Fisher's exact test on batches for \
                          states that only one recording has, Holm's correction over all states";

/// The comparison of two recordings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiffReport {
    /// Version of this schema.
    pub version: u32,
    /// How it was tested.
    pub method: String,
    /// The probability of one false alarm or more in all of it, at the most.
    pub alpha: f64,
    /// The first recording.
    pub a: Recording,
    /// The second one.
    pub b: Recording,
    /// What both have, by test and place.
    pub pairs: Vec<Pair>,
    /// What only the first one has.
    pub only_in_a: Vec<Unpaired>,
    /// What only the second one has.
    pub only_in_b: Vec<Unpaired>,
    /// What should be known beside that.
    pub notes: Vec<String>,
}

/// A recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// Where it was read from.
    pub path: String,
    /// The ordering that was chosen from it.
    pub ordering: Option<String>,
    /// Where its choices came from.
    pub seed: u64,
}

/// A test that both recordings have, at a place where both have run it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// The file, without directories.
    pub file: String,
    /// The name of the model.
    pub model: String,
    /// `sc`, `tso` or `weak`.
    pub memory_model: String,
    /// `soft` or `kvm`.
    pub on: String,
    /// What was compared of the first recording.
    pub a: Side,
    /// What was compared of the second one.
    pub b: Side,
    /// What it came to.
    pub verdict: Verdict,
    /// Why nothing can be said, if so.
    pub reason: Option<String>,
    /// Every final state that was seen in either.
    pub states: Vec<StateDiff>,
}

/// A recording's part of a pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Side {
    /// The ordering.
    pub variant: String,
    /// Instances.
    pub instances: u64,
    /// Batches that they were compared in, which are as wide as those of the other side; none in an old recording.
    pub batches: u64,
}

/// What a pair came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No difference that could be told from chance or, on real KVM, from the load of the host.
    Same,
    /// A state differs with confidence.
    Differs,
    /// Nothing could be told, whatever the difference.
    Inconclusive,
}

/// A final state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateDiff {
    /// In words.
    pub state: String,
    /// Orderings, of those of both sides, whose models forbid it.
    pub forbidden_under: Vec<String>,
    /// What such a state violates.
    pub violates: Option<String>,
    /// How often the first recording has it.
    pub a: Seen,
    /// How often the second one has it.
    pub b: Seen,
    /// Rate of the second by that of the first, where both have it.
    pub ratio: Option<f64>,
    /// Where the ratio is with a confidence of 1 − `alpha`, for this state alone; an end is missing where it is open.
    pub ratio_low: Option<f64>,
    /// See there.
    pub ratio_high: Option<f64>,
    /// The probability of a difference as large as this if both recordings come from the same source, for this state alone.
    pub p: Option<f64>,
    /// The same with all states of the call looked at: compared with `alpha`. None of a rate on real KVM, which decides nothing.
    pub p_of_all: Option<f64>,
    /// What became of it.
    pub change: Change,
    /// Whether that is more than chance, and more than the load of a host can do.
    pub confident: bool,
}

/// How often a recording has a state.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Instances that ended so.
    pub times: u64,
    /// Of a million instances.
    pub per_million: f64,
    /// Batches that have it.
    pub batches: u64,
}

/// What became of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The first recording never saw it.
    New,
    /// The second recording never saw it.
    Gone,
    /// The second recording has it more often.
    MoreOften,
    /// The second recording has it less often.
    LessOften,
    /// About as often, but spread over the batches in another way.
    OtherBursts,
    /// No difference that could be told from chance.
    Same,
    /// In so few batches that no difference could show.
    TooRare,
}

/// What only one recording has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unpaired {
    /// The file, as that recording names it.
    pub path: String,
    /// The ordering.
    pub variant: String,
    /// `sc`, `tso` or `weak`.
    pub memory_model: String,
    /// `soft` or `kvm`.
    pub on: String,
}

impl Change {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gone => "gone",
            Self::MoreOften => "more often",
            Self::LessOften => "less often",
            Self::OtherBursts => "in other bursts",
            Self::Same => "same",
            Self::TooRare => "too rare to say",
        }
    }
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl StateDiff {
    /// Whether it came up where a model forbids it, and only in the second recording.
    #[must_use]
    pub fn is_new_and_forbidden(&self) -> bool {
        self.change == Change::New && !self.forbidden_under.is_empty()
    }
}

impl Pair {
    /// Orderings and memory model.
    #[must_use]
    pub fn name(&self) -> String {
        let (a, b) = (&self.a.variant, &self.b.variant);
        let variant = if a == b { a.clone() } else { format!("{a} → {b}") };
        named(&variant, &self.memory_model)
    }
}

impl Unpaired {
    /// All of it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {} on {}", self.path, named(&self.variant, &self.memory_model), self.on)
    }
}

impl DiffReport {
    /// The exit status, as of diff(1).
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        let any = |verdict| self.pairs.iter().any(|pair| pair.verdict == verdict);
        if any(Verdict::Differs) {
            DIFFERENT
        } else if any(Verdict::Same) {
            0
        } else {
            NOTHING
        }
    }

    /// The line that does it again.
    fn replay(&self) -> String {
        let side = |recording: &Recording| {
            let ordering = recording.ordering.as_ref().map(|ordering| format!(":{ordering}")).unwrap_or_default();
            format!("{}{ordering}", recording.path)
        };
        format!("nostale litmus --diff {} {} --alpha {}", side(&self.a), side(&self.b), self.alpha)
    }
}

/// The report in this form, ending in a newline.
#[must_use]
pub fn render(report: &DiffReport, format: Format, options: &Options) -> String {
    match format {
        Format::Human => human::render(report, options),
        Format::Json => json::document(report),
        Format::Ktap => ktap::document(&forms::tests(report), &forms::notes(report), forms::NOTHING),
        Format::Junit => {
            junit::document("nostale litmus --diff", &forms::properties(report), &forms::tests(report), &forms::notes(report))
        }
    }
}
