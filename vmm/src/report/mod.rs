//! What a run came to, and the forms in which people and machines read it. The structures here *are* the JSON schema: units are
//! in the names, and fields are only ever added.

pub mod check;
pub(crate) mod columns;
pub mod compare;
pub mod counter;
mod format;
pub mod generated;
pub mod human;
pub mod json;
pub mod junit;
pub mod ktap;
pub mod litmus;
pub mod matrix;
pub mod mutate;
pub mod outdir;
pub mod page;
pub mod progress;
pub mod steps;
mod storm;
mod test;
pub(crate) mod text;
pub mod trace;
pub mod units;

#[cfg(test)]
pub(crate) mod sample;

pub use format::{Format, UnknownFormat, render};
pub use human::HumanOptions;
pub use storm::{Held, StormResult};

use crate::{host::facts::Facts, live::Config, machine::Sample, migration::Figures, oracle::Violation};
use nostale_notifier::{
    addr::PAGE_SIZE,
    trace::profile::{OrderVerdict, Profile},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{borrow::Cow, fmt};
use test::{Ending, Test};

/// The judgement on a scenario or a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Every oracle held, and the run was not vacuous.
    Coherent,
    /// An oracle did not hold.
    Violation,
    /// A vCPU made no progress.
    Stuck,
    /// The run proves nothing.
    Vacuous,
    /// Not run, or not to its end, for the reason given with it.
    Skipped,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Coherent, Self::Violation, Self::Stuck, Self::Vacuous, Self::Skipped];

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coherent => "coherent",
            Self::Violation => "violation",
            Self::Stuck => "stuck",
            Self::Vacuous => "vacuous",
            Self::Skipped => "skipped",
        }
    }

    /// The exit status of a run with this verdict.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Coherent => 0,
            Self::Violation | Self::Stuck => 1,
            Self::Vacuous => 3,
            Self::Skipped => 4,
        }
    }

    /// The verdict of a whole: the worst of its parts, where parts that were skipped do not count unless all were.
    #[must_use]
    pub fn of(parts: impl IntoIterator<Item = Self>) -> Self {
        let weight = |verdict: &Self| match verdict {
            Self::Violation => 4,
            Self::Stuck => 3,
            Self::Vacuous => 2,
            Self::Coherent => 1,
            Self::Skipped => 0,
        };
        parts.into_iter().max_by_key(weight).unwrap_or(Self::Skipped)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Verdict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        let known = Self::ALL.into_iter().find(|verdict| verdict.name() == name);
        known.ok_or_else(|| D::Error::unknown_variant(&name, &["coherent", "violation", "stuck", "vacuous", "skipped"]))
    }
}

/// A number that was written as `null` because it was none: a rate over no time.
fn number_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The host in a few words; everything else that is known of it is in `facts`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Host {
    /// `uname -r`.
    pub kernel: String,
    /// `shadow`, `npt`, `ept` or `unknown`.
    pub mmu: String,
    /// CPU model.
    pub cpu: String,
    /// Online CPUs.
    pub cpus: u64,
}

impl Host {
    /// This one.
    pub(crate) fn of(facts: &Facts) -> Self {
        Self {
            kernel: facts.kernel.release.text().to_string(),
            mmu: facts.kvm.mmu.known().map_or("unknown", |mmu| mmu.name()).to_owned(),
            cpu: facts.cpu.model.text().to_string(),
            cpus: std::thread::available_parallelism().map_or(0, |n| n.get() as u64),
        }
    }
}

/// How a run was set up: what replays it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// vCPUs of each VM.
    pub vcpus: u64,
    /// Host threads that write beside them.
    pub host_writers: u64,
    /// Guest memory under test.
    pub memory_bytes: u64,
}

impl Setup {
    /// That of a run.
    pub(crate) const fn of(config: &Config) -> Self {
        Self { vcpus: config.vcpus as u64, host_writers: config.host_writers as u64, memory_bytes: config.pages * PAGE_SIZE }
    }
}

/// What one operation of a scenario did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OperationCount {
    /// Its name.
    pub name: String,
    /// Times it was completed.
    pub operations: u64,
    /// Pages that it worked on.
    pub pages: u64,
}

/// One scenario's result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioResult {
    /// Operations, joined by `+`.
    pub name: String,
    /// Backing of guest memory.
    pub backing: String,
    /// The judgement.
    pub verdict: Verdict,
    /// Why, when it is not *coherent*.
    pub reason: Option<String>,
    /// How the operations were done, where that depends on the host.
    pub method: Option<String>,
    /// How memory appeared in the guest.
    #[serde(default)]
    pub layout: Option<String>,
    /// Migrations of the guest, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Figures>,
    /// From the first operation to the end of the last.
    #[serde(deserialize_with = "number_or_none")]
    pub seconds: f64,
    /// Host operations completed.
    pub operations: u64,
    /// The same a second.
    #[serde(deserialize_with = "number_or_none")]
    pub operations_per_second: f64,
    /// Pages that those operations worked on.
    pub pages: u64,
    /// The same for each operation of several.
    pub by_operation: Vec<OperationCount>,
    /// Verified atomic increments by vCPUs.
    pub guest_writes: u64,
    /// Verified atomic increments by host threads.
    pub host_writes: u64,
    /// Both, a second.
    #[serde(deserialize_with = "number_or_none")]
    pub writes_per_second: f64,
    /// Increments that are missing.
    pub lost_writes: u64,
    /// Writes found where they must not be: on replaced or protected pages.
    pub stale_writes: u64,
    /// Reads that returned what was already replaced.
    pub stale_reads: u64,
    /// The longest time between two signs of life of a vCPU.
    #[serde(deserialize_with = "number_or_none")]
    pub longest_stall_us: f64,
    /// Invalidations that hit the secondary MMU.
    pub invalidations: u64,
    /// Translations installed in the secondary MMU.
    pub installs: u64,
    /// Times a vCPU met a page whose host mapping was away.
    pub efaults: u64,
    /// Replaced pages that were looked at again, for writes that came too late.
    pub witnessed_pages: u64,
    /// New pages that a third thread saw before anybody said that they were there.
    pub third_thread_sightings: u64,
    /// Most bytes of guest memory that the primary MMU mapped by huge pages.
    pub huge_bytes: u64,
    /// From the creation of the VM to its first write.
    #[serde(deserialize_with = "number_or_none")]
    pub start_us: f64,
    /// What the final check of all pages took.
    #[serde(deserialize_with = "number_or_none")]
    pub check_us: f64,
    /// KVM's own counters.
    pub kvm: Sample,
    /// The rounds, of a storm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm: Option<StormResult>,
    /// The final states, of a litmus test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub litmus: Option<Box<litmus::TestResult>>,
    /// What is worth knowing of the host, though no rule was broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// The first violations, with what is needed to look into them.
    pub violations: Vec<Violation>,
    /// The line that replays this scenario.
    pub replay: String,
}

impl ScenarioResult {
    /// The result of a scenario that did not run.
    #[must_use]
    pub fn without_run(name: &str, backing: &str, verdict: Verdict, reason: String, replay: String) -> Self {
        Self {
            name: name.to_owned(),
            backing: backing.to_owned(),
            verdict,
            reason: Some(reason),
            method: None,
            layout: None,
            migration: None,
            seconds: 0.0,
            operations: 0,
            operations_per_second: 0.0,
            pages: 0,
            by_operation: Vec::new(),
            guest_writes: 0,
            host_writes: 0,
            writes_per_second: 0.0,
            lost_writes: 0,
            stale_writes: 0,
            stale_reads: 0,
            longest_stall_us: 0.0,
            invalidations: 0,
            installs: 0,
            efaults: 0,
            witnessed_pages: 0,
            third_thread_sightings: 0,
            huge_bytes: 0,
            start_us: 0.0,
            check_us: 0.0,
            kvm: Sample::default(),
            storm: None,
            litmus: None,
            remarks: Vec::new(),
            violations: Vec::new(),
            replay,
        }
    }

    /// As test tools see it.
    fn as_test(&self, ticks_per_us: f64) -> Test<'_> {
        Test {
            name: self.name.clone(),
            group: self.backing.clone(),
            title: format!("{} {}", self.name, self.backing),
            ending: match self.verdict {
                Verdict::Coherent => Ending::Passed,
                Verdict::Violation => Ending::Failed,
                Verdict::Stuck => Ending::TimedOut,
                Verdict::Vacuous => Ending::Unjudged,
                Verdict::Skipped => Ending::Skipped,
            },
            verdict: self.verdict.name(),
            reason: self.reason.clone(),
            seconds: self.seconds,
            describe: Box::new(move |width| human::describe(self, width, ticks_per_us)),
            replay: self.replay.clone(),
        }
    }
}

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunReport {
    /// Version of this schema.
    pub version: u32,
    /// The judgement on the whole.
    pub verdict: Verdict,
    /// Everything random came from this.
    pub seed: u64,
    /// Where it ran.
    pub host: Host,
    /// How it was set up.
    pub setup: Setup,
    /// Said to be over before its end, by a signal.
    pub interrupted: bool,
    /// What it found.
    pub scenarios: Vec<ScenarioResult>,
    /// What the kernel's own events came to, where they were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Profile>>,
    /// What the user should know beside that: a knob that could not be put back, an oracle that could not be asked.
    pub notes: Vec<String>,
}

impl RunReport {
    /// Adds what the kernel's own events came to, and judges accordingly: a rule that was broken is a violation, whatever was found in memory.
    pub fn add_trace(&mut self, profile: Profile) {
        if profile.verdict == OrderVerdict::Broken {
            self.verdict = Verdict::Violation;
        }
        self.trace = Some(Box::new(profile));
    }
}
