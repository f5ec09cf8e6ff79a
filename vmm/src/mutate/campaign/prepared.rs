//! A kernel ready to be mutated: its calls, its mutants, what reaches them, and the machine kept at the marker.

use super::CampaignError;
use crate::{
    inside::{Event, Pair, Ready, RunRequest, SiteReach},
    l1::{AT_RESET, Boot, L1},
    mutate::{Callee, Image, Mutant, Patch, Site, Sweep, Symbols, mutants, sites},
    qemu::{Accel, Saved},
    report::Verdict,
};
use serde::{Deserialize, Serialize};
use std::{path::Path, time::Instant};

/// How a campaign is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What the scenarios are chosen from, and how they run; its time is that of the measurement of what they reach.
    pub request: RunRequest,
    /// vCPUs of guests that KVM's mutants are tried with.
    pub kvm_vcpus: usize,
    /// Time under test for a mutant.
    pub seconds: f64,
    /// Time under test for its control.
    pub control_seconds: f64,
    /// Everything random comes from here.
    pub seed: u64,
    /// What was asked for instead of scenarios: files and directories of litmus tests.
    pub litmus: Vec<String>,
}

/// What one scenario reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The scenario.
    pub pair: Pair,
    /// How long it ran.
    pub seconds: f64,
    reached: SiteReach,
}

/// `call rel32`. A tail jump returns elsewhere and is not counted: in 6.12 and 7.2 there is one, to `arch_invalidate_secondary_tlbs`.
const CALL: u64 = 5;

impl Measured {
    fn of(&self, site: &Site) -> Option<&crate::inside::Site> {
        let name = format!("{}+{:#x}", site.symbol, site.offset + CALL);
        // The address decides where the kernel says it; two symbols may have one name.
        let returns_to = site.address + CALL;
        self.reached.sites.iter().find(|reached| match reached.address {
            Some(address) => address == returns_to,
            None => reached.site == name,
        })
    }

    /// Calls that were counted at any of these sites.
    #[must_use]
    pub fn hits(&self, sites: &[&Site]) -> u64 {
        sites.iter().filter_map(|site| self.of(site)).map(|reached| reached.hits).sum()
    }

    /// Memslots that those calls met. Where this cannot be measured, every call counts.
    #[must_use]
    pub fn met(&self, sites: &[&Site]) -> u64 {
        // Memslots are counted in the start of an invalidation, which an end has nothing to add to.
        let starts = sites.iter().any(|site| site.callee == Callee::Start);
        let counted = sites.iter().filter(|site| !(starts && site.callee == Callee::End));
        counted.filter_map(|site| self.of(site)).map(|reached| reached.met_memslot.unwrap_or(reached.hits)).sum()
    }

    /// How often a second these sites were called, for a guest's memory or at all.
    #[must_use]
    pub fn rate(&self, sites: &[&Site], met_only: bool) -> f64 {
        let count = if met_only { self.met(sites) } else { self.hits(sites) };
        count as f64 / self.seconds.max(0.01)
    }

    /// Invalidations of a guest's memory, a second.
    #[must_use]
    pub fn invalidations_per_second(&self) -> f64 {
        let met: u64 = self.reached.sites.iter().filter_map(|site| site.met_memslot).sum();
        met as f64 / self.seconds.max(0.01)
    }
}

/// What all scenarios reach.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reach {
    /// Those that could run.
    pub scenarios: Vec<Measured>,
}

impl Reach {
    /// Scenarios that reach `site` with a guest's memory, those that do most often first.
    #[must_use]
    pub fn reached_by(&self, site: &Site) -> Vec<String> {
        let mut rates: Vec<_> = self.scenarios.iter().map(|measured| (measured.rate(&[site], true), &measured.pair)).collect();
        rates.retain(|(rate, _)| *rate > 0.0);
        rates.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        rates.into_iter().map(|(_, pair)| format!("{} on {}", pair.ops, pair.backing)).collect()
    }
}

/// A kernel that is ready.
#[derive(Debug)]
pub struct Prepared {
    /// The machine at the marker.
    pub saved: Saved,
    /// What it had said.
    pub ready: Ready,
    /// Every notifier call.
    pub sweep: Sweep,
    /// Every mutant.
    pub mutants: Vec<Mutant>,
    /// What reaches what.
    pub reach: Reach,
    /// Its secondary MMU.
    pub mmu: String,
    /// From QEMU's start to the first request.
    pub boot_seconds: f64,
    /// Scenarios that went wrong on the unchanged kernel while they were measured.
    pub alarms: Vec<String>,
    /// What should be known.
    pub notes: Vec<String>,
}

impl Prepared {
    /// Boots `boot`, reads and measures the kernel, and keeps it in `dir`. `on` hears what the guest says meanwhile, `say` what is
    /// being done.
    ///
    /// # Errors
    /// When the kernel cannot be used.
    pub fn new(
        boot: &Boot<'_>,
        settings: &Settings,
        dir: &Path,
        on: &mut dyn FnMut(&Event),
        say: &mut dyn FnMut(&str),
    ) -> Result<Self, CampaignError> {
        say("booting");
        let begin = Instant::now();
        let mut l1 = L1::boot(boot, &dir.join("boot"))?;
        let boot_seconds = begin.elapsed().as_secs_f64();
        say("reading symbols and text");
        let symbols = Symbols::parse(&l1.symbols()?)?;
        let (sweep, image) = {
            let mut text = l1.text();
            (sites(&symbols, &mut text)?, Image::load(&symbols, &mut text)?)
        };
        let mutants = mutants(&symbols, &image, &sweep.sites);
        let facts = l1.facts()?;
        let mmu = facts["facts"]["kvm"]["mmu"].as_str().unwrap_or("unknown").to_owned();
        let saved = l1.save(&dir.join("saved"))?;
        let ready = l1.ready().clone();
        // This machine serves for the measurement: its probes must not be in the one that was kept.
        say("measuring which scenarios reach which calls");
        let (reach, alarms, notes) = measure(&mut l1, boot.accel, &settings.request, on)?;
        l1.quit();
        Ok(Self { saved, ready, sweep, mutants, reach, mmu, boot_seconds, alarms, notes })
    }

    /// The calls that `mutant` lacks.
    #[must_use]
    pub fn sites_of(&self, mutant: &Mutant) -> Vec<&Site> {
        let patches: &[Patch] = mutant.patches().unwrap_or_default();
        let within = |site: &&Site| patches.iter().any(|patch| patch.address == site.address);
        let patched: Vec<_> = self.sweep.sites.iter().filter(within).collect();
        if patched.is_empty() {
            self.sweep.sites.iter().filter(|site| site.function == mutant.function).collect()
        } else {
            patched
        }
    }
}

fn measure(
    l1: &mut L1,
    accel: Accel,
    request: &RunRequest,
    on: &mut dyn FnMut(&Event),
) -> Result<(Reach, Vec<String>, Vec<String>), CampaignError> {
    let reached = l1.reach(request, on)?;
    let (mut reach, mut alarms, mut notes) = (Reach::default(), Vec::new(), Vec::new());
    for scenario in reached {
        let name = format!("{} on {}", scenario.scenario, scenario.backing);
        if scenario.seconds == 0.0 {
            notes.push(format!("{name} could not run there: {}", scenario.reason.as_deref().unwrap_or("no reason was given")));
            continue;
        }
        if matches!(scenario.verdict, Verdict::Violation | Verdict::Stuck) {
            let reason = scenario.reason.as_deref().unwrap_or("no reason was given");
            let said = format!("{name}, while it was measured: {}: {reason}", scenario.verdict);
            // As for controls: what emulation does by itself is no alarm.
            if accel == Accel::Tcg && reason.contains(AT_RESET) { notes.push(said) } else { alarms.push(said) }
        }
        if scenario.dropped > 0 {
            notes.push(format!("{name}: {} calls could not be counted", scenario.dropped));
        }
        let pair = Pair { ops: scenario.scenario.clone(), backing: scenario.backing.clone() };
        reach.scenarios.push(Measured { pair, seconds: scenario.seconds, reached: scenario });
    }
    Ok((reach, alarms, notes))
}
