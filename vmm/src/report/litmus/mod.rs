//! What litmus tests came to, and its forms. As with a run, the structures here *are* the JSON schema, and fields are only ever
//! added.

pub mod diff;
mod forms;
mod histogram;
mod human;
mod judge;
mod read;

pub use judge::{Case, test};
pub use read::{BadDocument, parse, read};

use super::{Format, Host, check::Unchecked, json, junit, ktap, number_or_none};
use nostale_notifier::trace::profile::{OrderVerdict, Profile};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Exit status of a run in which something was seen that is not allowed, or allowed that is not to be.
const WRONG: u8 = 1;
/// Exit status where a test could not be read, or not run where it was to.
const BROKEN: u8 = 2;
/// Exit status where nothing is wrong, but not everything is known.
const UNPROVED: u8 = 3;

/// How it is shown to people.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether escape sequences for colour are allowed.
    pub color: bool,
}

/// All tests of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LitmusReport {
    /// Version of this schema.
    pub version: u32,
    /// Where the choices came from.
    pub seed: u64,
    /// Where real threads ran.
    #[serde(default)]
    pub host: Option<Host>,
    /// What a kernel under test complained of meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
    /// What the kernel's own events came to, where they were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Profile>>,
    /// Each test under each ordering and memory model.
    pub tests: Vec<TestResult>,
    /// What could not be run.
    pub errors: Vec<Unchecked>,
    /// Ended by a signal: there are tests that were not begun, or cut short.
    pub interrupted: bool,
}

/// A test under one ordering and memory model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TestResult {
    /// The file.
    pub path: String,
    /// The name of the model.
    pub model: String,
    /// The ordering; `default` where the file has none.
    pub variant: String,
    /// `sc`, `tso` or `weak`: which states are allowed.
    pub memory_model: Cow<'static, str>,
    /// What it came to.
    pub verdict: Verdict,
    /// Why, unless it is as it should be.
    pub reason: Option<String>,
    /// States that are allowed and were never seen, by place: `soft` or `kvm`.
    pub never_seen: Vec<NeverSeen>,
    /// What is looked at in a final state.
    pub columns: Vec<String>,
    /// Every final state that is allowed under any ordering of the file, or was seen.
    pub states: Vec<StateRow>,
    /// What the model was explored to.
    pub explored: Option<Explored>,
    /// The run on the software MMU.
    pub soft: Option<Ran>,
    /// The run on real KVM.
    pub kvm: Option<RanOnKvm>,
    /// Why there was none, though it was asked for.
    pub kvm_skipped: Option<String>,
    /// The line that runs this case alone.
    pub replay: String,
}

/// What a test came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Whatever was seen is allowed, and what is allowed is what the file expects.
    Agrees,
    /// A state was seen that is not allowed.
    Forbidden,
    /// The model allows what the file says it does not.
    Unexpected,
    /// Not all of the model was explored, so that nothing is known to be forbidden.
    Bounded,
    /// The guest made no use of the secondary MMU, or nothing was ever taken from it.
    Vacuous,
}

/// A state that is allowed and was not seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NeverSeen {
    /// Where: `soft` or `kvm`.
    pub on: Cow<'static, str>,
    /// The state.
    pub state: String,
}

/// A final state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateRow {
    /// In words.
    pub state: String,
    /// How it ends: `finished`, `failed`, `stuck` or `endless`.
    pub end: Cow<'static, str>,
    /// The values of the columns, of a state that is finished.
    pub values: Vec<String>,
    /// `allowed`, `forbidden`, or `unknown` where not all was explored.
    pub model: Cow<'static, str>,
    /// Orderings of the same file under which it is allowed, where it is forbidden here.
    pub allowed_under: Vec<String>,
    /// What such a state violates.
    pub violates: Option<String>,
    /// How often it was seen on the software MMU.
    pub soft: Option<Sighting>,
    /// How often it was seen on real KVM.
    pub kvm: Option<Sighting>,
}

impl StateRow {
    /// How often it was seen anywhere.
    #[must_use]
    pub fn times(&self) -> u64 {
        self.soft.iter().chain(&self.kvm).map(|seen| seen.times).sum()
    }
}

/// How often a state was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sighting {
    /// Instances that ended so.
    pub times: u64,
    /// Of a million instances.
    pub per_million: f64,
    /// When the first was seen, from the beginning of the run; none if none was.
    pub first_us: Option<f64>,
    /// The shape of rounds that brought it up most often; on real KVM, what brings it up at least twice as often as anything else.
    pub best_shape: Option<String>,
}

/// What was explored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explored {
    /// States of the model.
    pub states: u64,
    /// Whether that is all of them.
    pub exhausted: bool,
    /// How long it took.
    pub seconds: f64,
}

/// A run by real threads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ran {
    /// Instances.
    pub instances: u64,
    /// How long they took.
    pub seconds: f64,
    /// Instances a second.
    #[serde(deserialize_with = "number_or_none")]
    pub instances_per_second: f64,
    /// How the instances were spread over the shapes of rounds.
    pub shapes: Vec<ShapeShare>,
    /// The same in slices of the run, one after the other.
    #[serde(default)]
    pub batches: Vec<Batch>,
}

/// A run on real KVM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RanOnKvm {
    /// Instances.
    pub instances: u64,
    /// How long they took.
    pub seconds: f64,
    /// Instances a second.
    #[serde(deserialize_with = "number_or_none")]
    pub instances_per_second: f64,
    /// System calls of the operations.
    pub operations: u64,
    /// Those of them that did something.
    #[serde(default)]
    pub operations_done: u64,
    /// Translations that KVM installed meanwhile.
    pub installs: u64,
    /// Invalidations that hit it.
    pub invalidations: u64,
    /// The run in slices, one after the other.
    #[serde(default)]
    pub batches: Vec<Batch>,
    /// In what rounds differed, and what came of it.
    #[serde(default)]
    pub parameters: Vec<ParameterYield>,
}

/// Something in which rounds on real KVM differ.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParameterYield {
    /// Its name.
    pub parameter: String,
    /// Those of its values that there were.
    pub values: Vec<ValueYield>,
}

/// A value of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ValueYield {
    /// Its name.
    pub value: String,
    /// Instances of rounds with it.
    pub instances: u64,
    /// How many of them ended in each state: in the order of the states of the test.
    pub times: Vec<u64>,
}

/// A slice of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// Instances.
    pub instances: u64,
    /// How many of them ended in each of the test's `states`, in their order.
    pub times: Vec<u64>,
}

/// A shape of rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShapeShare {
    /// What it is like.
    pub shape: String,
    /// Instances of such rounds.
    pub instances: u64,
    /// How many of them a second.
    #[serde(deserialize_with = "number_or_none")]
    pub instances_per_second: f64,
}

impl TestResult {
    /// Variant and memory model: its name among those of its file.
    #[must_use]
    pub fn name(&self) -> String {
        named(&self.variant, &self.memory_model)
    }
}

/// An ordering under a memory model, which goes without saying if it is the usual one.
fn named(variant: &str, memory_model: &str) -> String {
    match memory_model {
        "sc" => variant.to_owned(),
        other => format!("{variant} under {other}"),
    }
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Forbidden => "forbidden",
            Self::Unexpected => "unexpected",
            Self::Bounded => "bounded",
            Self::Vacuous => "vacuous",
        }
    }
}

impl LitmusReport {
    /// Whether the order of the kernel's own events was wrong.
    fn breaks_rules(&self) -> bool {
        self.trace.as_ref().is_some_and(|profile| profile.verdict == OrderVerdict::Broken)
    }

    /// The exit status of the whole.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        let any = |verdict| self.tests.iter().any(|test| test.verdict == verdict);
        if !self.errors.is_empty() {
            BROKEN
        } else if any(Verdict::Forbidden) || any(Verdict::Unexpected) || !self.alarms.is_empty() || self.breaks_rules() {
            WRONG
        } else if self.interrupted || any(Verdict::Bounded) || any(Verdict::Vacuous) {
            UNPROVED
        } else {
            0
        }
    }
}

/// The report in this form, ending in a newline.
#[must_use]
pub fn render(report: &LitmusReport, format: Format, options: &Options) -> String {
    match format {
        Format::Human => human::render(report, options),
        Format::Json => json::document(report),
        Format::Ktap => ktap::document(&forms::tests(report), &forms::notes(report), forms::NOTHING),
        Format::Junit => junit::document("nostale litmus", &[], &forms::tests(report), &forms::notes(report)),
    }
}
