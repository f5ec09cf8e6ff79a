//! The result of a comparison. These structures *are* the JSON schema; fields are only ever added.

use crate::trace::{
    head::Mmu,
    profile::{Break, OrderVerdict, RuleState, Stage},
};
use serde::{Deserialize, Serialize};

/// The whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Version of this schema.
    pub version: u32,
    /// What it came to.
    pub verdict: ComparisonVerdict,
    /// Why nothing could be compared, if so.
    pub reason: Option<String>,
    /// How it was tested.
    pub method: String,
    /// The probability of one false alarm or more among all that is said to be confident, at the most.
    pub alpha: f64,
    /// The first recording.
    pub a: Side,
    /// The second one.
    pub b: Side,
    /// What else is different between the two, which qualifies everything below.
    pub differences: Vec<Difference>,
    /// Stages that only one of the two can see, and that were left out of orders and times.
    pub projected: Vec<Projected>,
    /// Every rule that either has.
    pub rules: Vec<RuleDiff>,
    /// Operations that both have, in the order of the first.
    pub operations: Vec<OperationDiff>,
    /// Operations that only the first has.
    pub only_in_a: Vec<Alone>,
    /// Operations that only the second has.
    pub only_in_b: Vec<Alone>,
    /// What should be known beside that.
    pub notes: Vec<String>,
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonVerdict {
    /// Whatever is different has nothing to do with the rules.
    NothingRelevant,
    /// An order that is relevant to a rule appeared, or a rule that held is broken.
    Relevant,
    /// Nothing could be compared.
    Incomparable,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Where it was read from.
    pub path: String,
    /// What it came to by itself.
    pub verdict: OrderVerdict,
    /// What it was made of.
    pub title: String,
    /// The command whose VM it is of.
    pub command: String,
    /// `uname -r`.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// CPUs that were recorded.
    pub cpus: u64,
    /// Kind of secondary MMU.
    pub mmu: Mmu,
    /// Whether probes say exactly where invalidations begin and end.
    pub probes: bool,
    /// From the first event to the last.
    pub seconds: f64,
    /// Events that were read.
    pub events: u64,
    /// Events that are missing.
    pub lost_events: u64,
    /// Why it ends before its end, if it does.
    pub truncated: Option<String>,
    /// Invalidations, of all operations.
    pub invalidations: u64,
}

/// Something that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What: `kernel`, `mmu`.
    pub what: String,
    /// What it is in the first recording.
    pub a: String,
    /// What it is in the second one.
    pub b: String,
    /// What that means for the comparison.
    pub means: String,
}

/// A stage that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projected {
    /// Which.
    pub stage: Stage,
    /// Why the one without it could not see it.
    pub why: String,
}

/// A rule, on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleDiff {
    /// Its name.
    pub name: String,
    /// What it says.
    pub says: String,
    /// Why that must be so.
    pub because: String,
    /// What it came to in the first recording; none if that does not know it.
    pub a: Option<RuleState>,
    /// What it came to in the second one.
    pub b: Option<RuleState>,
    /// How often it was asked in the first recording.
    pub checks_a: u64,
    /// And in the second one.
    pub checks_b: u64,
    /// How often it was broken in the first recording.
    pub breaks_a: u64,
    /// And in the second one.
    pub breaks_b: u64,
    /// What became of it.
    pub change: RuleChange,
    /// Whether it held in the first recording and is broken in the second one.
    pub relevant: bool,
    /// The first break in the second recording.
    pub example: Option<Break>,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleChange {
    /// Nothing.
    Same,
    /// It held, and is broken.
    Broken,
    /// It is broken, and the first recording could not ask it.
    BrokenUnasked,
    /// It was broken, and holds.
    Mended,
    /// Only the second recording could ask it.
    Asked,
    /// Only the first recording could ask it.
    Unasked,
}

/// An operation that both have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationDiff {
    /// Its name.
    pub name: String,
    /// Invalidations of it in the first recording.
    pub invalidations_a: u64,
    /// And in the second one.
    pub invalidations_b: u64,
    /// Every order that either has, most frequent first.
    pub orders: Vec<OrderDiff>,
    /// Times between stages that both have.
    pub latencies: Vec<LatencyDiff>,
}

/// An operation that only one has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alone {
    /// Its name.
    pub name: String,
    /// Invalidations of it.
    pub invalidations: u64,
}

/// An order of stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderDiff {
    /// The stages that both can see, in order of time.
    pub order: Vec<Stage>,
    /// How often the first recording has it.
    pub a: Seen,
    /// How often the second one has it.
    pub b: Seen,
    /// What became of it.
    pub change: OrderChange,
    /// Share in the second recording by that in the first, where both have it.
    pub ratio: Option<f64>,
    /// Where the ratio is with a confidence of 1 − `alpha`, for this order alone; an end is missing where it is open.
    pub ratio_low: Option<f64>,
    /// See there.
    pub ratio_high: Option<f64>,
    /// Whether that is more than chance.
    #[serde(flatten)]
    pub evidence: Evidence,
    /// Where it is not as the table of relevant pairs wants it, if the second recording has it.
    pub inversions: Vec<Inversion>,
    /// Whether one of these is never in the first recording, for this operation.
    pub relevant: bool,
}

/// How often an order was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Invalidations.
    pub invalidations: u64,
    /// Of all of the operation.
    pub share: f64,
    /// Slices of the recording that have it,
    pub slices_with: u64,
    /// of this many.
    pub slices: u64,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderChange {
    /// The first recording never has it.
    New,
    /// The second recording never has it.
    Gone,
    /// The second recording has it more often.
    More,
    /// The second recording has it less often.
    Fewer,
    /// About as often, but spread over the recording in another way.
    Spread,
    /// No difference that could be told from chance.
    Same,
    /// Too little data for any difference to show.
    Unknown,
}

/// What a test came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The probability of a difference as large as this if both come from the same source, for this test alone.
    pub p: Option<f64>,
    /// The same with all tests of the comparison looked at: compared with `alpha`. None where nothing could have shown.
    pub p_of_all: Option<f64>,
    /// Whether it is at most `alpha`.
    pub confident: bool,
    /// The least that `p` could have been.
    #[serde(skip)]
    pub(super) least_p: Option<f64>,
    /// Whether the second recording has more, by what was tested.
    #[serde(skip)]
    pub(super) is_more: bool,
}

/// Where an order is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inversion {
    /// This stage should come first,
    pub before: Stage,
    /// and this one after it,
    pub after: Stage,
    /// with this one between them, if one is named.
    pub until: Option<Stage>,
    /// Whether a stage does not come at all; otherwise it comes too late.
    pub missing: bool,
    /// What is wrong, in words.
    pub says: String,
    /// Why that matters.
    pub why: String,
    /// How many invalidations of this operation have the same in the first recording.
    pub invalidations_a: u64,
    /// Whether it may count: where the second recording has lost events, what is missing may be among them.
    pub counts: bool,
}

/// The time from one stage to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyDiff {
    /// From the first of this stage
    pub from: Stage,
    /// to the first of this one.
    pub to: Stage,
    /// The times of the first recording.
    pub a: Times,
    /// The times of the second one.
    pub b: Times,
    /// What became of it.
    pub change: LatencyChange,
    /// The median of the medians of the second recording's batches by that of the first one's.
    pub ratio: Option<f64>,
    /// Where the ratio is with a confidence of 1 − `alpha`, for this time alone.
    pub ratio_low: Option<f64>,
    /// See there.
    pub ratio_high: Option<f64>,
    /// Cliff's delta: how much likelier it is that a time of the second recording is longer than one of the first than that it is
    /// shorter. 1 if all are longer, −1 if all are shorter.
    pub cliffs_delta: f64,
    /// Whether that is more than chance.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// Times between two stages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// Half of them are at most this.
    pub p50_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
    /// Batches that were compared.
    pub batches: u64,
}

/// What became of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatencyChange {
    /// It takes longer.
    Longer,
    /// It takes less time.
    Shorter,
    /// No difference that could be told from chance.
    Same,
    /// Too little data for any difference to show.
    Unknown,
}

/// How far two distributions lie apart, by Cliff's delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Magnitude {
    /// Below 0.147.
    Negligible,
    /// Below 0.33.
    Small,
    /// Below 0.474.
    Medium,
    /// From there on.
    Large,
}
