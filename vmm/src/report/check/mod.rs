//! What a check came to, and its forms. As with a run, the structures here *are* the JSON schema, and fields are only ever added.

pub(super) mod forms;
mod human;
mod outcome;
#[cfg(test)]
mod sample;

pub use human::Options;
pub use nostale_notifier::check::Agreement;
pub use outcome::case;

use super::{Format, json, junit, ktap};
use nostale_notifier::{check::Verdict, lang::ast::Expected};
use serde::{Deserialize, Serialize, Serializer};

/// Exit status of a check in which something was found that was not expected, or not found that was.
const DISAGREES: u8 = 1;
/// Exit status where a model could not be read or explored.
const BROKEN: u8 = 2;
/// Exit status where nothing is wrong, but not everything was proved.
const UNPROVED: u8 = 3;

/// A whole check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Version of this schema.
    pub version: u32,
    /// One for each file, variant and memory model.
    pub files: Vec<CaseResult>,
    /// What could not be checked.
    pub errors: Vec<Unchecked>,
    /// Ended by a signal: there are cases that were not begun.
    pub interrupted: bool,
}

/// A file, or one variant of it, that could not be checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unchecked {
    /// The file.
    pub path: String,
    /// The variant, if it is not the whole file.
    pub variant: Option<String>,
    /// Why, in one line.
    pub message: String,
    /// The same as a person is shown it, with the places in the text.
    #[serde(skip)]
    pub shown: String,
}

/// One variant of a file under one memory model.
#[derive(Clone, Debug, Serialize)]
pub struct CaseResult {
    /// The file.
    pub path: String,
    /// The name of the model.
    pub model: String,
    /// The ordering; `default` where the file has none.
    pub variant: String,
    /// `sc`, `tso` or `weak`.
    pub memory_model: &'static str,
    /// What the file expects: `holds` or `fails`.
    #[serde(serialize_with = "holds_or_fails")]
    pub expected: Expected,
    /// The same in the file's own word, which may be `deadlocks` or `livelocks`.
    #[serde(serialize_with = "own_word")]
    pub expected_exactly: Expected,
    /// The message of the property that is expected to fail.
    pub expected_message: Option<String>,
    /// What was found.
    #[serde(serialize_with = "verdict")]
    pub verdict: Verdict,
    /// Whether that is what was expected.
    pub agrees: bool,
    /// The same, with what is neither.
    #[serde(skip)]
    pub agreement: Agreement,
    /// Nothing failed, but a `sometimes` never came true: the model does not do what it is about.
    pub vacuous: bool,
    /// The limit that was reached, where the verdict is `bounded`: `states`, `bytes`, `interrupted` or `walks`.
    pub bound: Option<&'static str>,
    /// How it walked, where it did not explore everything.
    pub random: Option<Random>,
    /// States seen; of random walks, visits to states: how many of them are different, nobody keeps.
    pub states: u64,
    /// Steps taken from them.
    pub transitions: u64,
    /// Steps to the state that is furthest away.
    pub depth: u32,
    /// Time of the exploration.
    pub seconds: f64,
    /// The most memory that it took for states.
    pub peak_bytes: u64,
    /// Bits of a packed state.
    pub state_bits: u32,
    /// What was violated.
    pub violated: Option<Violated>,
    /// The steps to the violation, a shortest way; behind it, for a livelock, the steps into a round and around it.
    pub counterexample: Vec<TakenStep>,
    /// Threads that can do nothing in the end.
    pub waiting: Vec<Waiting>,
    /// The line that checks this case alone.
    pub replay: String,
}

/// Random walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Random {
    /// Where the choices come from.
    pub seed: u64,
    /// Walks at most.
    pub walks: u64,
    /// Steps of a walk at most.
    pub steps: u64,
}

/// What a violation violates.
#[derive(Clone, Debug, Serialize)]
pub struct Violated {
    /// `property`, `step`, `deadlock` or `livelock`.
    pub kind: &'static str,
    /// The property as written, or why a step failed.
    pub text: String,
    /// What the author says to it.
    pub message: Option<String>,
    /// Where it stands, if anywhere.
    #[serde(flatten)]
    pub place: Option<Place>,
}

/// A line of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The library text, if it is not the file itself.
    pub library: Option<String>,
    /// The line, from 1.
    pub line: u32,
}

/// A step of a counterexample.
#[derive(Clone, Debug, Serialize)]
pub struct TakenStep {
    /// Who took it.
    pub thread: String,
    /// What it was, as written.
    pub step: String,
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// What it changed: `x.pte: A → none`. Of one that fails: what it read until then.
    pub changes: Vec<String>,
    /// It is the one that fails.
    pub fails: bool,
    /// What of it fails, where that is not what the step is: `assert r == 0 (line 7)`.
    pub failing: Option<String>,
    /// It is of the round that a livelock repeats for ever.
    pub repeats: bool,
    /// Done by the memory system on behalf of the thread, beside its program.
    pub beside: bool,
}

/// A thread that can do nothing, and has not finished.
#[derive(Clone, Debug, Serialize)]
pub struct Waiting {
    /// Which.
    pub thread: String,
    /// The step that it cannot take.
    pub step: String,
    /// Where that stands.
    #[serde(flatten)]
    pub place: Place,
}

impl CheckReport {
    /// The exit status of the whole.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        let any = |agreement| self.files.iter().any(|case| case.agreement == agreement);
        if !self.errors.is_empty() {
            BROKEN
        } else if any(Agreement::Disagrees) {
            DISAGREES
        } else if self.interrupted || any(Agreement::Vacuous) || any(Agreement::Undecided) {
            UNPROVED
        } else {
            0
        }
    }
}

impl CaseResult {
    /// Variant and memory model: its name among the cases of its file.
    #[must_use]
    pub fn name(&self) -> String {
        match self.memory_model {
            "sc" => self.variant.clone(),
            other => format!("{} under {other}", self.variant),
        }
    }

    /// The word for what was found, as people are told it.
    #[must_use]
    pub fn found(&self) -> &'static str {
        if self.vacuous { "vacuous" } else { verdict_name(self.verdict) }
    }
}

/// The report in this form, ending in a newline.
#[must_use]
pub fn render(report: &CheckReport, format: Format, options: &Options) -> String {
    match format {
        Format::Human => human::render(report, options),
        Format::Json => json::document(report),
        Format::Ktap => ktap::document(&forms::tests(report), &forms::notes(report), forms::NOTHING),
        Format::Junit => junit::document("nostale check", &[], &forms::tests(report), &forms::notes(report)),
    }
}

/// What is needed to look into one case alone, in lines of this width.
#[must_use]
pub fn describe(case: &CaseResult, width: usize) -> Vec<String> {
    human::describe(case, width, false)
}

const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Fails => "fails",
        Verdict::Deadlock => "deadlock",
        Verdict::Livelock => "livelock",
        Verdict::Bounded => "bounded",
    }
}

const fn expected_name(expected: Expected) -> &'static str {
    match expected {
        Expected::Holds => "holds",
        Expected::Fails => "fails",
        Expected::Deadlocks => "deadlocks",
        Expected::Livelocks => "livelocks",
    }
}

fn verdict<S: Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(verdict_name(*verdict))
}

fn own_word<S: Serializer>(expected: &Expected, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(expected_name(*expected))
}

fn holds_or_fails<S: Serializer>(expected: &Expected, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *expected == Expected::Holds { "holds" } else { "fails" })
}
