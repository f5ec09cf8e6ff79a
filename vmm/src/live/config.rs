//! How scenarios are run.

use super::Plant;
use crate::{
    host::clock,
    host::facts::Facts,
    machine::{Layout, SlotsTold},
    report::units::bytes,
};
use nostale_guest::abi::MAX_VCPUS;
use nostale_notifier::addr::PAGE_SIZE;
use std::{path::PathBuf, time::Duration};
use thiserror::Error;

/// vCPUs by default: enough to contend, few enough that host threads still get a CPU.
const USUAL_VCPUS: usize = 4;
/// Host writers that still leave anything to the rest.
const MAX_HOST_WRITERS: usize = 64;
/// Least memory: an operation needs room beside the hot set.
const LEAST_PAGES: u64 = 256;

/// How scenarios are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// vCPUs of each VM.
    pub vcpus: usize,
    /// Host threads that write beside them.
    pub host_writers: usize,
    /// Guest memory under test, in pages.
    pub pages: u64,
    /// Where everything random comes from.
    pub seed: u64,
    /// Where backing files are made.
    pub file_dir: PathBuf,
    /// How long a vCPU may be without progress.
    pub stall_bound: Duration,
    /// A deliberately wrong host.
    pub plant: Option<Plant>,
    /// Whether to stop at the first violation: the scenario at once, and with it the run.
    pub until_violation: bool,
    /// Whether this is a round of a storm, which counts over all of them: in one, an operation of several may find nothing to do.
    pub storm_round: bool,
    /// How memory appears in the guest; otherwise each scenario draws one.
    pub layout: Option<Layout>,
    /// Who is told how the guest's memory lies in the host, while a recording is made.
    pub told: Option<SlotsTold>,
}

/// What somebody asks for; what they leave open is decided here.
#[derive(Clone, Debug)]
pub struct Choices {
    /// vCPUs of each VM; otherwise one for each CPU, up to a limit.
    pub vcpus: Option<usize>,
    /// Host threads that write beside them.
    pub host_writers: usize,
    /// Guest memory under test.
    pub memory_bytes: u64,
    /// Where everything random comes from; otherwise a new one.
    pub seed: Option<u64>,
    /// Where backing files are made; otherwise where temporary files are.
    pub file_dir: Option<PathBuf>,
    /// How long a vCPU may be without progress.
    pub stall_bound: Duration,
    /// A deliberately wrong host.
    pub plant: Option<Plant>,
    /// Whether to stop at the first violation.
    pub until_violation: bool,
    /// How memory appears in the guest; otherwise each scenario draws one.
    pub layout: Option<Layout>,
}

/// A choice that is impossible, under the name that it has on the command line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Impossible {
    /// No such number of vCPUs.
    #[error("--vcpus {0}: from 1 to {MAX_VCPUS} are possible")]
    Vcpus(usize),
    /// Too many host writers.
    #[error("--host-writers {0}: at most {MAX_HOST_WRITERS} are possible")]
    HostWriters(usize),
    /// Not a size that guest memory can have.
    #[error("--memory {}: a multiple of 4 KiB from {} is possible", bytes(*.0), bytes(LEAST_PAGES * PAGE_SIZE))]
    Memory(u64),
    /// More memory than there is.
    #[error("--memory {}: this host has {} available", bytes(*asked), bytes(*available))]
    TooMuchMemory {
        /// As given.
        asked: u64,
        /// What there is.
        available: u64,
    },
    /// Nowhere to put backing files.
    #[error("--file-dir {}: not a directory", .0.display())]
    FileDir(PathBuf),
}

impl Choices {
    /// What they come to on this host.
    ///
    /// # Errors
    /// The first that is impossible.
    pub fn config(self, facts: &Facts) -> Result<Config, Impossible> {
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
        let vcpus = self.vcpus.unwrap_or(cpus.min(USUAL_VCPUS));
        if !(1..=MAX_VCPUS).contains(&vcpus) {
            return Err(Impossible::Vcpus(vcpus));
        }
        if self.host_writers > MAX_HOST_WRITERS {
            return Err(Impossible::HostWriters(self.host_writers));
        }
        let (asked, pages) = (self.memory_bytes, self.memory_bytes / PAGE_SIZE);
        if !asked.is_multiple_of(PAGE_SIZE) || pages < LEAST_PAGES {
            return Err(Impossible::Memory(asked));
        }
        if let Some(&available) = facts.memory.available_bytes.known().filter(|&&available| asked > available) {
            return Err(Impossible::TooMuchMemory { asked, available });
        }
        let file_dir = self.file_dir.unwrap_or_else(std::env::temp_dir);
        if !file_dir.is_dir() {
            return Err(Impossible::FileDir(file_dir));
        }
        Ok(Config {
            vcpus,
            host_writers: self.host_writers,
            pages,
            // The time stamp counter is as good a source as any for a number that only has to differ.
            seed: self.seed.unwrap_or_else(|| clock::now().0 & 0xffff_ffff),
            file_dir,
            stall_bound: self.stall_bound,
            plant: self.plant,
            until_violation: self.until_violation,
            storm_round: false,
            layout: self.layout,
            told: None,
        })
    }
}
