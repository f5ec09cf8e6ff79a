//! What a campaign found. These structures are the JSON schema: units are in the names, and fields are only ever added.

use crate::report::Verdict;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// An oracle saw it, in two trials.
    Killed,
    /// It was reached, and nobody saw it: a hole in the testbed, or something to be understood.
    Survived,
    /// It was reached, nobody saw it, and nobody can: the argument is with it.
    Equivalent,
    /// No scenario reaches it with a guest's memory: measured, not guessed.
    Unreached,
    /// It cannot be made: the reason is with it.
    Unpatchable,
    /// Trials contradict each other, or the machine died in ways that prove nothing.
    Flaky,
    /// Not tried: the campaign was told to stop.
    Untried,
}

impl Fate {
    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Survived => "survived",
            Self::Equivalent => "equivalent",
            Self::Unreached => "unreached",
            Self::Unpatchable => "unpatchable",
            Self::Flaky => "flaky",
            Self::Untried => "untried",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What noticed a mutant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kill {
    /// The oracles, the one that saw most first.
    pub oracle: String,
    /// Operations, joined by `+`.
    pub scenario: String,
    /// Backing of guest memory.
    pub backing: String,
    /// Time under test until it was seen, by the clock of the kernel under test.
    pub seconds: f64,
    /// What it said.
    pub detail: String,
}

/// What a trial saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "saw", rename_all = "kebab-case")]
pub enum Outcome {
    /// The mutant, by its marks.
    Kill(Kill),
    /// Nothing, in all the time it had.
    Nothing {
        /// Time under test.
        seconds: f64,
    },
    /// The machine ended, or the run proved nothing, without a mark of the mutant.
    Unclear {
        /// What happened.
        why: String,
    },
}

/// The same scenarios in the same machine, before it was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// What they came to.
    pub verdict: Verdict,
    /// Why, when not *coherent*.
    pub reason: Option<String>,
    /// Time under test.
    pub seconds: f64,
}

/// One restored machine: control, patch, run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Everything random in it came from this.
    pub seed: u64,
    /// The machine before the change.
    pub control: Control,
    /// The machine after it; none when the control had raised an alarm.
    pub outcome: Option<Outcome>,
    /// All of it, on this host's clock.
    pub seconds: f64,
}

/// A notifier call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteShown {
    /// The notifier function.
    pub callee: String,
    /// Symbol and offset.
    pub place: String,
    /// `call`, `tail jump` or `conditional tail jump`.
    pub form: String,
    /// Calls that were counted, over all scenarios.
    pub hits: u64,
    /// Memslots that those calls met.
    pub met_memslot: u64,
    /// Scenarios that reach it with a guest's memory, those with the most calls a second first.
    pub reached_by: Vec<String>,
}

/// A change to a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchShown {
    /// Symbol and offset.
    pub place: String,
    /// The instructions that were there.
    pub was: String,
    /// The instructions that were written.
    pub is: String,
}

/// A mutant and its fate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MutantResult {
    /// Its name, the same in every kernel: `wp_page_copy/both`.
    pub id: String,
    /// The function that it is about.
    pub function: String,
    /// What is missing.
    pub kind: String,
    /// `caller` or `kvm`.
    pub group: String,
    /// What became of it.
    pub fate: Fate,
    /// Whether that is well: killed, or not and for a reason that is understood.
    pub expected: bool,
    /// Why it was not killed; for a kill, what else should be known.
    pub why: Option<String>,
    /// What noticed it.
    pub killed_by: Option<Kill>,
    /// What was changed.
    pub patches: Vec<PatchShown>,
    /// The notifier calls that are missing in it.
    pub sites: Vec<SiteShown>,
    /// What it was tried with.
    pub scenarios: Vec<String>,
    /// The trials.
    pub trials: Vec<Trial>,
    /// The line that tries it again.
    pub replay: String,
}

/// What the kernel consists of, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSites {
    /// Functions that were decoded.
    pub functions: usize,
    /// Bytes that were decoded.
    pub text_bytes: usize,
    /// Every notifier call.
    pub sites: Vec<SiteShown>,
    /// What makes that list doubtful, if anything does.
    pub oddities: Vec<String>,
}

/// A campaign on one kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignReport {
    /// What the user called the kernel.
    pub asked: String,
    /// `uname -r`.
    pub release: String,
    /// Where it came from.
    pub origin: String,
    /// `tcg` or `kvm`.
    pub accelerator: String,
    /// Its secondary MMU.
    pub mmu: String,
    /// From QEMU's start to the first request.
    pub boot_seconds: f64,
    /// All of it, on this host's clock, in this session.
    pub seconds: f64,
    /// Mutants whose results were kept from an earlier session.
    pub resumed: usize,
    /// Whether it was told to stop.
    pub interrupted: bool,
    /// Controls that ran, and those of them that raised an alarm.
    pub controls: usize,
    /// See there.
    pub control_alarms: Vec<String>,
    /// Controls whose machine died, or did what emulation does by itself, and that were made again: neither alarm nor control.
    pub void_controls: Vec<String>,
    /// What the kernel consists of.
    pub kernel: KernelSites,
    /// Every mutant.
    pub mutants: Vec<MutantResult>,
    /// What else should be known.
    pub notes: Vec<String>,
}

impl CampaignReport {
    /// How many mutants had this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.mutants.iter().filter(|mutant| mutant.fate == fate).count()
    }

    /// Mutants of which something else was expected.
    pub fn unexpected(&self) -> impl Iterator<Item = &MutantResult> {
        self.mutants.iter().filter(|mutant| !mutant.expected && mutant.fate != Fate::Untried)
    }
}
