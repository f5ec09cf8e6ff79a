//! What a storm came to, beside what all scenarios have.

use super::{OperationCount, ScenarioResult, Verdict};
use serde::{Deserialize, Serialize};

/// What this process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open files.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Mappings.
    pub mappings: u64,
}

/// A storm's rounds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StormResult {
    /// Rounds that were run.
    pub rounds: u64,
    /// Rounds of them in which every oracle held.
    pub coherent: u64,
    /// Rounds that proved nothing: an operation that found nothing to do among all the others, for one.
    pub vacuous: u64,
    /// Rounds for which a host setting was not to be had.
    pub skipped: u64,
    /// Why the first of these two kinds.
    pub first_vacuous: Option<String>,
    /// Rounds that could not be set up.
    pub unset: u64,
    /// Why the first of these.
    pub first_unset: Option<String>,
    /// Operations that are possible here, but were not done once.
    pub never: Vec<String>,
    /// The fewest operations of a failed round that still fail.
    pub shrunk: Vec<String>,
    /// What the run itself held after the first few rounds.
    pub first: Held,
    /// What it held after the last.
    pub last: Held,
}

impl StormResult {
    /// Counts a round.
    pub(crate) fn count(&mut self, verdict: Verdict, reason: Option<&str>) {
        self.rounds += 1;
        match verdict {
            Verdict::Coherent => self.coherent += 1,
            Verdict::Vacuous | Verdict::Skipped => {
                *(if verdict == Verdict::Skipped { &mut self.skipped } else { &mut self.vacuous }) += 1;
                self.first_vacuous.get_or_insert(reason.unwrap_or_default().to_owned());
            }
            Verdict::Violation | Verdict::Stuck => {}
        }
    }
}

impl ScenarioResult {
    /// Adds what `other` counted.
    pub(crate) fn add(&mut self, other: &Self) {
        let sums: [(&mut u64, u64); 11] = [
            (&mut self.operations, other.operations),
            (&mut self.pages, other.pages),
            (&mut self.guest_writes, other.guest_writes),
            (&mut self.host_writes, other.host_writes),
            (&mut self.lost_writes, other.lost_writes),
            (&mut self.stale_writes, other.stale_writes),
            (&mut self.stale_reads, other.stale_reads),
            (&mut self.invalidations, other.invalidations),
            (&mut self.installs, other.installs),
            (&mut self.efaults, other.efaults),
            (&mut self.witnessed_pages, other.witnessed_pages),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
        self.third_thread_sightings += other.third_thread_sightings;
        self.longest_stall_us = self.longest_stall_us.max(other.longest_stall_us);
        self.huge_bytes = self.huge_bytes.max(other.huge_bytes);
        for OperationCount { name, operations, pages } in &other.by_operation {
            match self.by_operation.iter_mut().find(|known| known.name == *name) {
                Some(known) => {
                    known.operations += operations;
                    known.pages += pages;
                }
                None => self.by_operation.push(OperationCount { name: name.clone(), operations: *operations, pages: *pages }),
            }
        }
    }

    /// Sets the rates that follow from what was counted.
    pub(crate) fn rates(&mut self) {
        self.operations_per_second = self.operations as f64 / self.seconds;
        self.writes_per_second = (self.guest_writes + self.host_writes) as f64 / self.seconds;
    }

    /// Whether this operation was not done once.
    pub(crate) fn never_did(&self, operation: &str) -> bool {
        self.by_operation.iter().all(|count| count.name != operation || count.operations == 0)
    }
}
