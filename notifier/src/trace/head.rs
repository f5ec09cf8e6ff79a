//! What a recording says of itself: where it was made, how, of whom, and what the kernel's events look like.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which secondary MMU a VM has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mmu {
    /// Shadow page tables: entries come with `kvm_mmu_set_spte`, and go unseen.
    Shadow,
    /// The TDP MMU (EPT, NPT): every change of an entry is an event.
    Tdp,
}

/// An event of the kernel that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Group and name in tracefs: `kvm/kvm_unmap_hva_range`.
    pub name: String,
    /// Its `format` file, whole: the layout of its fields, in the kernel's own words.
    pub text: String,
}

/// Stands at the beginning of a recording. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// `uname -r`.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// CPUs that were recorded.
    pub cpus: u16,
    /// Kind of secondary MMU.
    pub mmu: Mmu,
    /// Ticks of the clock a second.
    pub hertz: f64,
    /// Seconds since 1970, when it began.
    pub began: u64,
    /// The process whose VM it is of, if of one.
    pub pid: Option<i32>,
    /// Its command.
    pub command: String,
    /// What the recording was asked for: scenarios, a command line.
    pub title: String,
    /// tracefs's `events/header_page`: the layout of a page of the ring buffer.
    pub header_page: String,
    /// All events that were recorded.
    pub formats: Vec<Format>,
    /// Events that were wanted, and why they are not there.
    pub missing: BTreeMap<String, String>,
    /// Whether probes say exactly where invalidations begin and end.
    pub probes: bool,
}

/// Stands at the end of a recording that was ended in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// Names of threads.
    pub threads: BTreeMap<i32, String>,
    /// Events that each CPU lost, by the kernel's own count (`per_cpu/cpu*/stats`: overrun and dropped).
    pub lost: BTreeMap<u16, u64>,
    /// How long it took.
    pub seconds: f64,
}
