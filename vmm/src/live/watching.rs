//! What is seen from outside while a scenario runs: KVM's gauges at their highest, huge pages, and signs of life.

use super::threads::Ground;
use crate::{
    machine::{Machine, Sample, VcpuState},
    memory::Pagemap,
    oracle::progress::Progress,
};
use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(super) struct Watching {
    most: Sample,
    looks: u32,
    pub(super) huge_bytes: u64,
    pub(super) efaults: u64,
    /// Which vCPUs make no progress.
    pub(super) stuck: Option<String>,
    /// Which vCPUs failed, and whether for lack of something rather than through the kernel's fault.
    pub(super) failure: Option<(String, bool)>,
}

/// Looks between two readings of the process's memory map, which is slow when operations have cut it to pieces.
const MAP_EVERY: u32 = 16;

impl Watching {
    pub(super) fn new(before: Sample) -> Self {
        Self { most: before, looks: 0, huge_bytes: 0, efaults: 0, stuck: None, failure: None }
    }

    /// Whether there is still something to wait for.
    pub(super) fn go_on(&self) -> bool {
        self.stuck.is_none() && self.failure.is_none()
    }

    /// Looks once.
    pub(super) fn look(&mut self, machine: &Machine, ground: &Ground, progress: &mut Progress) {
        let (arena, system) = (&ground.arena, &ground.system);
        if let Ok(sample) = machine.sample() {
            self.most = self.with_most(sample);
        }
        if arena.backing().is_large() && self.looks.is_multiple_of(MAP_EVERY) {
            let now = if arena.backing().is_thp() { Pagemap::huge(arena.home()) } else { Pagemap::folios(arena.home()) };
            self.huge_bytes = self.huge_bytes.max(now.map_or(0, |huge| huge.bytes));
        }
        self.looks += 1;
        self.note_failures(machine);
        // Of vCPUs that stand still because they were told to (a guest that is away, or held back) nothing is expected here: whoever
        // told them so waits for them no longer than he may.
        let lives = system.all_vcpus().zip(machine.views());
        let lives = lives.map(|(vcpu, view)| (vcpu.counts.visits.load(Relaxed), view.state() == VcpuState::Suspended));
        let stuck = progress.observe(Instant::now(), lives);
        if !stuck.is_empty() {
            let describe = |(vcpu, still): &(usize, Duration)| {
                let view = machine.views().nth(*vcpu);
                let efaults = view.map_or(0, |view| view.efaults());
                let last = view.and_then(|view| view.last_fault()).map_or(String::new(), |gpa| format!(", last at gpa {gpa}"));
                format!("vCPU {vcpu} for {:.1} s ({efaults} EFAULT retries so far{last})", still.as_secs_f64())
            };
            self.stuck = Some(stuck.iter().map(describe).collect::<Vec<_>>().join("; "));
        }
    }

    /// Notes vCPUs that failed, and counts retries.
    pub(super) fn note_failures(&mut self, machine: &Machine) {
        self.efaults = machine.views().map(|view| view.efaults()).sum();
        let failures = machine.views().enumerate().filter_map(|(vcpu, view)| match view.state() {
            VcpuState::Failed(failure) => Some((format!("vCPU {vcpu}: {failure}"), failure.is_lack())),
            _ => None,
        });
        let failures: Vec<_> = failures.collect();
        if !failures.is_empty() {
            let lacking = failures.iter().all(|(_, lacking)| *lacking);
            self.failure = Some((failures.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join("; "), lacking));
        }
    }

    /// `sample` with the gauges at their highest.
    pub(super) fn with_most(&self, mut sample: Sample) -> Sample {
        sample.pages_4k = sample.pages_4k.max(self.most.pages_4k);
        sample.pages_2m = sample.pages_2m.max(self.most.pages_2m);
        sample.pages_1g = sample.pages_1g.max(self.most.pages_1g);
        sample
    }
}
