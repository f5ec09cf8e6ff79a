//! Probes on the notifier, and the histograms that they fill (`Documentation/trace/kprobetrace.rst`, `histogram.rst`).

use super::hist::{self, Histogram};
use crate::inside::protocol::Site;
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Group of these events: what is left of it by a process that died is taken away by the next one.
const GROUP: &str = "nostale_reach";

/// What the kernel's memory management calls; which of them there are depends on the kernel.
const CALLEES: [&str; 9] = [
    "__mmu_notifier_invalidate_range_start",
    "__mmu_notifier_invalidate_range_end",
    "__mmu_notifier_invalidate_range",
    "__mmu_notifier_arch_invalidate_secondary_tlbs",
    "__mmu_notifier_change_pte",
    "__mmu_notifier_clear_flush_young",
    "__mmu_notifier_clear_young",
    "__mmu_notifier_test_young",
    "__mmu_notifier_release",
];

/// What KVM calls for each memslot that one of those meets.
const HANDLERS: [&str; 5] =
    ["kvm_unmap_gfn_range", "kvm_set_spte_gfn", "kvm_age_gfn", "kvm_test_age_gfn", "kvm_mmu_unmap_gfn_range"];

/// The callees whose calls come to one of [`HANDLERS`].
const HANDLED: [&str; 5] = [
    "__mmu_notifier_invalidate_range_start",
    "__mmu_notifier_change_pte",
    "__mmu_notifier_clear_flush_young",
    "__mmu_notifier_clear_young",
    "__mmu_notifier_test_young",
];

/// The key under which a stack is counted, under its name since Linux 6.4 and before.
const STACKS: [&str; 2] = ["common_stacktrace", "stacktrace"];
const RETURN: &str = "ra.sym-offset";
/// Different keys that a histogram has room for.
const SIZE: u32 = 4096;

/// What tracefs refuses.
#[derive(Debug, Error)]
pub(super) enum ProbeError {
    /// A file of it.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// None of the functions has a probe.
    #[error("no function of the notifier can be probed: {0}")]
    Nothing(String),
}

/// What was counted since [`Probes::clear`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) sites: Vec<Site>,
    pub(super) dropped: u64,
}

struct Probe {
    event: String,
    function: &'static str,
    trigger: String,
}

/// Probes in place. Dropped, they are taken away again.
pub(super) struct Probes {
    tracefs: PathBuf,
    callees: Vec<Probe>,
    handlers: Vec<Probe>,
}

fn append(path: &Path, text: &str) -> Result<(), ProbeError> {
    // Appending: opened in any other way, these files forget what they held.
    let written = OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| ProbeError::File { path: path.to_owned(), error })
}

impl Probes {
    /// Puts a probe on each function of the notifier that this kernel has.
    pub(super) fn new(tracefs: &Path, notes: &mut Vec<String>) -> Result<Self, ProbeError> {
        let mut probes = Self { tracefs: tracefs.to_owned(), callees: Vec::new(), handlers: Vec::new() };
        probes.remove_left_overs();
        let mut why = String::new();
        for function in CALLEES {
            match probes.add(function, function, " ra=+0($stack):x64", &[RETURN]) {
                Ok(probe) => probes.callees.push(probe),
                Err(error) => why = error.to_string(),
            }
        }
        if probes.callees.is_empty() {
            return Err(ProbeError::Nothing(why));
        }
        for function in HANDLERS {
            if let Ok(probe) = probes.add(function, &format!("kvm:{function}"), "", &STACKS) {
                probes.handlers.push(probe);
            }
        }
        if probes.handlers.is_empty() {
            notes.push("no function of KVM can be probed: which calls met a memslot is not known".to_owned());
        }
        Ok(probes)
    }

    fn add(&self, function: &'static str, place: &str, arguments: &str, keys: &[&str]) -> Result<Probe, ProbeError> {
        let event = function.trim_start_matches('_').to_owned();
        append(&self.tracefs.join("kprobe_events"), &format!("p:{GROUP}/{event} {place}{arguments}\n"))?;
        let mut last = None;
        for key in keys {
            let trigger = format!("hist:keys={key}:size={SIZE}");
            match append(&self.file(&event, "trigger"), &format!("{trigger}\n")) {
                Ok(()) => return Ok(Probe { event, function, trigger }),
                Err(error) => last = Some(error),
            }
        }
        let _ = append(&self.tracefs.join("kprobe_events"), &format!("-:{GROUP}/{event}\n"));
        Err(last.unwrap_or_else(|| ProbeError::Nothing("no key".to_owned())))
    }

    fn file(&self, event: &str, name: &str) -> PathBuf {
        self.tracefs.join("events").join(GROUP).join(event).join(name)
    }

    fn all(&self) -> impl Iterator<Item = &Probe> {
        self.callees.iter().chain(&self.handlers)
    }

    /// Starts to count afresh.
    pub(super) fn clear(&self) -> Result<(), ProbeError> {
        self.all().try_for_each(|probe| append(&self.file(&probe.event, "trigger"), &format!("{}:clear\n", probe.trigger)))
    }

    fn histogram(&self, probe: &Probe) -> Result<Histogram, ProbeError> {
        let path = self.file(&probe.event, "hist");
        let text = fs::read_to_string(&path).map_err(|error| ProbeError::File { path, error })?;
        Ok(hist::parse(&text))
    }

    /// What was counted.
    pub(super) fn read(&self) -> Result<Counted, ProbeError> {
        let mut counted = Counted::default();
        let mut met: BTreeMap<(&str, String), u64> = BTreeMap::new();
        for probe in &self.handlers {
            let histogram = self.histogram(probe)?;
            counted.dropped += histogram.dropped;
            for entry in histogram.entries {
                if let Some(found) = CALLEES.iter().find_map(|callee| Some((*callee, entry.caller_of(callee)?.to_owned()))) {
                    *met.entry(found).or_default() += entry.hits;
                }
            }
        }
        for probe in &self.callees {
            let histogram = self.histogram(probe)?;
            counted.dropped += histogram.dropped;
            let known = !self.handlers.is_empty() && HANDLED.contains(&probe.function);
            for entry in histogram.entries {
                let Some(hist::Frame { site, address }) = entry.frames.into_iter().next() else { continue };
                let met_memslot = known.then(|| met.get(&(probe.function, site.clone())).copied().unwrap_or(0));
                counted.sites.push(Site { callee: probe.function.to_owned(), site, address, hits: entry.hits, met_memslot });
            }
        }
        counted.sites.sort_by(|a, b| (&a.callee, &a.site).cmp(&(&b.callee, &b.site)));
        Ok(counted)
    }

    /// Takes all probes away; gives what did not go.
    pub(super) fn remove(mut self) -> Vec<String> {
        self.take_away().into_iter().map(|error| format!("a probe stays: {error}")).collect()
    }

    fn take_away(&mut self) -> Vec<ProbeError> {
        let probes: Vec<Probe> = self.callees.drain(..).chain(self.handlers.drain(..)).collect();
        let gone = probes.into_iter().map(|Probe { event, trigger, .. }| {
            append(&self.file(&event, "trigger"), &format!("!{trigger}\n"))?;
            append(&self.tracefs.join("kprobe_events"), &format!("-:{GROUP}/{event}\n"))
        });
        gone.filter_map(Result::err).collect()
    }

    fn remove_left_overs(&self) {
        let Ok(events) = fs::read_dir(self.tracefs.join("events").join(GROUP)) else { return };
        for event in events.flatten() {
            let name = event.file_name().to_string_lossy().into_owned();
            // Opened to be written afresh, it forgets its triggers.
            let _ = fs::write(self.file(&name, "trigger"), "");
            let _ = append(&self.tracefs.join("kprobe_events"), &format!("-:{GROUP}/{name}\n"));
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        // What stays here is found by the next one, see `remove_left_overs`.
        self.take_away();
    }
}
