//! What an analysis of a recording comes to: which rules held, in which orders invalidations went, and how long each of their stages
//! took. These structures *are* the JSON schema; fields are only ever added.

use super::head::Mmu;
use crate::{Hva, event::Tsc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of this schema.
pub const VERSION: u32 = 1;

/// Batches of equal time into which a recording is cut, for whoever compares two: what happens within a batch is not independent of
/// each other, what happens in two of them nearly is.
pub const BATCHES: usize = 64;

/// The whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Version of this schema.
    pub version: u32,
    /// `held`, `broken` or `vacuous`: whether all rules held that could be asked.
    pub verdict: OrderVerdict,
    /// `uname -r`.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// CPUs that were recorded.
    pub cpus: u64,
    /// Kind of secondary MMU.
    pub mmu: Mmu,
    /// Ticks of the clock in a microsecond.
    pub ticks_per_us: f64,
    /// Whether probes say exactly where invalidations begin and end; otherwise tracepoints alone.
    pub probes: bool,
    /// The process whose VM it is of.
    pub pid: Option<i32>,
    /// Its command.
    pub command: String,
    /// What the recording was made of.
    pub title: String,
    /// From the first event to the last.
    pub seconds: f64,
    /// Events that were read.
    pub events: u64,
    /// The same by kind, most frequent first.
    pub by_kind: Vec<KindCount>,
    /// Events that were wanted, and why they were not recorded.
    #[serde(default)]
    pub missing: BTreeMap<String, String>,
    /// Events that are missing, by CPU; none if nothing was lost.
    pub lost: Vec<LostOnCpu>,
    /// Why the recording ends before its end, if it does.
    pub truncated: Option<String>,
    /// Every rule there is.
    pub rules: Vec<RuleResult>,
    /// Invalidations by what caused them, most frequent first.
    pub operations: Vec<OperationProfile>,
    /// Some invalidations event by event: the first and the longest of each order.
    pub timelines: Vec<Timeline>,
    /// What the user should know beside that.
    pub notes: Vec<String>,
}

impl Profile {
    /// The rules that were broken.
    pub fn broken(&self) -> impl Iterator<Item = &RuleResult> + Clone {
        self.rules.iter().filter(|rule| rule.state == RuleState::Broken)
    }

    /// The rules that were broken, by their names, for a line of text; none if none was.
    #[must_use]
    pub fn broken_names(&self) -> Option<String> {
        let names: Vec<_> = self.broken().map(|rule| rule.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// Whether the order of events was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderVerdict {
    /// Every rule that could be asked held.
    Held,
    /// A rule was broken.
    Broken,
    /// No invalidation met anything installed: nothing was proved.
    Vacuous,
}

/// How often a kind of event came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindCount {
    /// Group and name of the event.
    pub name: String,
    /// How often.
    pub events: u64,
}

/// What a CPU lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostOnCpu {
    /// Which.
    pub cpu: u64,
    /// How many events, by the kernel's count.
    pub events: u64,
}

/// What a rule came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleResult {
    /// Its name: `announced`.
    pub name: String,
    /// What it says, in one line.
    pub says: String,
    /// Why that must be so.
    pub because: String,
    /// What it came to.
    pub state: RuleState,
    /// Why it could not be asked.
    pub reason: Option<String>,
    /// How often it was asked.
    pub checks: u64,
    /// How often it was broken.
    pub breaks: u64,
    /// The first breaks.
    pub examples: Vec<Break>,
}

/// Whether a rule held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleState {
    /// It was asked, and held every time.
    Held,
    /// It did not.
    Broken,
    /// The recording has nothing that it could be asked of.
    NotAsked,
}

/// A rule broken once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Break {
    /// The rule's name.
    pub rule: String,
    /// What is wrong, with addresses and numbers.
    pub what: String,
    /// When, from the first event of the recording.
    pub at_us: f64,
    /// Where in the host.
    pub hva: Option<Hva>,
    /// The operation in whose course it was: `mremap`, `kcompactd0`.
    pub operation: String,
    /// The events that show it, in order of time.
    pub events: Vec<EventLine>,
}

/// An event as people read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventLine {
    /// When.
    pub tsc: Tsc,
    /// When, from the first event of the recording.
    pub at_us: f64,
    /// On which CPU.
    pub cpu: u64,
    /// In which thread.
    pub tid: i32,
    /// Its name.
    pub thread: String,
    /// Group and name of the event.
    pub event: String,
    /// What it says.
    pub text: String,
}

/// All invalidations that one kind of operation caused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationProfile {
    /// A system call with what tells its uses apart (`mremap`, `madvise(DONTNEED)`), a kernel thread (`kcompactd`), or `fault`.
    pub name: String,
    /// How many.
    pub invalidations: u64,
    /// The orders in which their stages came, most frequent first.
    pub signatures: Vec<Signature>,
    /// Times between their stages.
    pub latencies: Vec<Latency>,
}

/// One order in which stages of invalidations came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// The stages, in order of time; several of a kind in a row are one.
    pub order: Vec<Stage>,
    /// How often.
    pub count: u64,
    /// How often in each of [`BATCHES`] equal parts of the recording.
    pub batches: Vec<u64>,
}

/// A stage of an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The system call began.
    Enter,
    /// The change was announced.
    Start,
    /// KVM lets no fault install any more.
    Begin,
    /// An entry of the secondary MMU was zapped.
    Zap,
    /// The secondary MMU's translations were flushed.
    KvmFlush,
    /// The host's own translations were flushed.
    Flush,
    /// A migration entry took the mapping's place.
    SetMigration,
    /// The new mapping took the migration entry's place.
    RemoveMigration,
    /// The page was freed.
    Free,
    /// The invalidation was over.
    End,
    /// The system call returned.
    Return,
    /// A guest access met no translation.
    Fault,
    /// An entry was installed.
    Install,
}

impl Stage {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 13] = [
        Self::Enter,
        Self::Start,
        Self::Begin,
        Self::Zap,
        Self::KvmFlush,
        Self::Flush,
        Self::SetMigration,
        Self::RemoveMigration,
        Self::Free,
        Self::End,
        Self::Return,
        Self::Fault,
        Self::Install,
    ];

    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Start => "start",
            Self::Begin => "begin",
            Self::Zap => "zap",
            Self::KvmFlush => "kvm-flush",
            Self::Flush => "flush",
            Self::SetMigration => "set-migration",
            Self::RemoveMigration => "remove-migration",
            Self::Free => "free",
            Self::End => "end",
            Self::Return => "return",
            Self::Fault => "fault",
            Self::Install => "install",
        }
    }
}

/// The time from the first of one stage to the first of another, over all invalidations of an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// From this stage
    pub from: Stage,
    /// to this one.
    pub to: Stage,
    /// How often both were seen.
    pub count: u64,
    /// The least.
    pub min_ns: u64,
    /// Half of all are at most this.
    pub p50_ns: u64,
    /// Nine of ten.
    pub p90_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
    /// The most.
    pub max_ns: u64,
    /// The sum of all, for means.
    pub total_ns: u64,
    /// The whole distribution: upper bounds of buckets of a high dynamic range histogram (two significant figures) that are not empty,
    /// and how many are in each.
    pub histogram: Vec<(u64, u64)>,
    /// The median of each of [`BATCHES`] equal parts of the recording; none where there was nothing.
    pub batch_medians_ns: Vec<Option<u64>>,
}

/// One invalidation, event by event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The operation that caused it.
    pub operation: String,
    /// Why it was chosen: `first` or `longest` of its order.
    pub chosen: String,
    /// Its order, as in [`Signature::order`].
    pub order: Vec<Stage>,
    /// The thread that made it.
    pub thread: String,
    /// Where, in the host.
    pub start: Hva,
    /// The first byte behind it.
    pub end: Hva,
    /// When it was announced, from the first event of the recording.
    pub at_us: f64,
    /// How long it took, from the first of its events to the last.
    pub took_us: f64,
    /// Its events.
    pub events: Vec<TimelineEvent>,
}

/// An event of an invalidation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineEvent {
    /// Which stage it belongs to.
    pub stage: Stage,
    /// When, from the announcement of the invalidation.
    pub at_us: f64,
    /// On which CPU.
    pub cpu: u64,
    /// In which thread.
    pub thread: String,
    /// Group and name of the event.
    pub event: String,
    /// What it says.
    pub text: String,
}
