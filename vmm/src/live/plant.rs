//! Planted faults: a deliberately wrong host, one for each oracle, to see that the oracle can fail.

use super::{Config, Scenario};
use crate::{host::facts::Facts, ops::Effect};
use nostale_notifier::near::did_you_mean;
use std::{fmt, str::FromStr};
use thiserror::Error;

/// A wrong host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A host thread writes old counter values back behind the guest's back (conservation).
    OldCopy,
    /// vCPU 0 goes on using the pages that were mapped at first, through a second memslot onto the witness: what a
    /// translation is that nobody invalidated (finality, third thread, permission, freshness). Shared backings only.
    StaleTranslation,
    /// The same, and no operation ever says that it has returned, so that nobody but third threads can tell (third thread).
    StillRunning,
    /// A write goes astray to a page that was just moved away, discarded, or left to a forked child (finality, where there is no
    /// second mapping).
    StrayWrite,
    /// Host writers publish values that they have not written (freshness).
    UnwrittenValue,
    /// A page that was written drops out of the log that reported it (permission).
    MissedDirty,
    /// vCPU 0's thread is held on its way back into the guest (progress).
    HeldVcpu,
    /// The guest runs in ring 0, which KVMs without hardware virtualisation interpret (vacuity).
    Ring0,
    /// A line in the kernel log that looks like a bug (kernel).
    KernelMessage,
}

impl Plant {
    /// Every planted fault.
    pub const ALL: [Self; 9] = [
        Self::OldCopy,
        Self::StaleTranslation,
        Self::StillRunning,
        Self::StrayWrite,
        Self::UnwrittenValue,
        Self::MissedDirty,
        Self::HeldVcpu,
        Self::Ring0,
        Self::KernelMessage,
    ];

    /// Whether vCPU 0 goes on using the first translation of each page.
    #[must_use]
    pub const fn is_stale(self) -> bool {
        matches!(self, Self::StaleTranslation | Self::StillRunning)
    }

    /// Why it cannot be planted in a scenario, if so.
    #[must_use]
    pub fn impossible(self, scenario: &Scenario, config: &Config, facts: &Facts) -> Option<String> {
        let replaces = scenario.effects().any(|effect| effect != Effect::Preserves);
        let possible = || scenario.operations.iter().any(|operation| operation.faults.contains(&self));
        let migrates = scenario.operations.iter().any(|operation| operation.name.starts_with("live-migrate"));
        let reason = match self {
            // Each operation of a storm is asked by itself.
            Self::StrayWrite | Self::MissedDirty | Self::StillRunning if scenario.is_storm() => return None,
            Self::StaleTranslation | Self::StillRunning | Self::HeldVcpu | Self::Ring0 if migrates => {
                "the guest is moved to a VM that has no such fault"
            }
            Self::StaleTranslation | Self::StillRunning if !scenario.backing.is_shared() => {
                "private memory has no second mapping for a stale translation to show"
            }
            Self::StillRunning if !scenario.effects().any(|effect| effect == Effect::Exchanges) => {
                "only operations that exchange pages have third threads to tell"
            }
            Self::StrayWrite if !possible() => "no operation here takes a page away that could still be written",
            Self::MissedDirty if !possible() => "no operation here reads a log of the pages that were written",
            Self::UnwrittenValue if replaces => "host values have no place on pages that are replaced",
            Self::UnwrittenValue if config.host_writers == 0 => "there is no host writer to publish values",
            Self::KernelMessage => return facts.need_kernel_log().err().map(|need| need.to_string()),
            _ => return None,
        };
        Some(reason.to_owned())
    }

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OldCopy => "old-copy",
            Self::StaleTranslation => "stale-translation",
            Self::StillRunning => "still-running",
            Self::StrayWrite => "stray-write",
            Self::UnwrittenValue => "unwritten-value",
            Self::MissedDirty => "missed-dirty",
            Self::HeldVcpu => "held-vcpu",
            Self::Ring0 => "ring0",
            Self::KernelMessage => "kernel-message",
        }
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No planted fault has this name.
#[derive(Debug, Error)]
#[error("unknown fault '{name}'{}; known: {}", did_you_mean(name, names()), names().collect::<Vec<_>>().join(", "))]
pub struct UnknownPlant {
    /// As given.
    pub name: String,
}

fn names() -> impl Iterator<Item = &'static str> {
    Plant::ALL.into_iter().map(Plant::name)
}

impl FromStr for Plant {
    type Err = UnknownPlant;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|plant| plant.name() == name).ok_or_else(|| UnknownPlant { name: name.to_owned() })
    }
}
