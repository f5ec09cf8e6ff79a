//! The facts as a table for people: one row for each subject, in the order in which one thing rests on another.

use serde::Serialize;

use super::tracing::Tracefs;
use super::{Facts, Need};

/// How much a subject lets be tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything.
    Good,
    /// Something, or everything after the command in the hint.
    Limited,
    /// Nothing.
    Missing,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What it is about.
    pub subject: &'static str,
    /// How much of it there is.
    pub state: State,
    /// What there is.
    pub text: String,
    /// How to get more.
    pub hint: Option<String>,
}

impl Row {
    pub(super) fn new(subject: &'static str, state: State, text: impl Into<String>) -> Self {
        Self { subject, state, text: text.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A row that is good with `text` if nothing is needed, and otherwise in `state` with what is needed.
    pub(super) fn from_need(subject: &'static str, need: Result<(), Need>, state: State, text: impl Into<String>) -> Self {
        match need {
            Ok(()) => Self::new(subject, State::Good, text),
            Err(need) => Self::new(subject, state, format!("no {}", need.what)).hint(need.hint),
        }
    }
}

impl Facts {
    /// The table, one row a subject.
    pub fn rows(&self) -> Vec<Row> {
        vec![
            self.kernel_row(),
            self.checks_row(),
            self.privilege_row(),
            self.kvm_row(),
            self.mmu_row(),
            self.memory_row(),
            self.memory_groups_row(),
            self.memory_blocks_row(),
            self.numa_row(),
            Row::from_need("compaction", self.need_compaction(), State::Missing, "compact_memory is writable"),
            self.thp_row(),
            Row::from_need("collapse", self.need_collapse(), State::Missing, "MADV_COLLAPSE works"),
            self.ksm_row(),
            self.swap_row(),
            self.disk_row(),
            self.hugetlb_row(),
            self.userfault_row(),
            self.calls_row(),
            self.pagemap_row(),
            self.tracing_row(),
            Row::from_need("kernel log", self.need_kernel_log(), State::Missing, "/dev/kmsg is readable"),
        ]
    }

    fn kernel_row(&self) -> Row {
        let (kernel, cpu) = (&self.kernel, &self.cpu);
        let cpus = cpu.online.known().map_or_else(|| "? CPUs".to_owned(), |online| format!("{} CPUs", online.len()));
        let text = format!("{} {}, {cpus}, {}", kernel.release.text(), kernel.arch.text(), cpu.model.text());
        // one CPU interleaves at preemption points only, so most races cannot happen
        let single = cpu.online.known().is_some_and(|online| online.len() < 2);
        match (kernel.warned_before(), single) {
            (true, _) => Row::new("kernel", State::Limited, format!("{text}; it has warned since boot"))
                .hint("reboot before trusting a verdict; see dmesg"),
            (false, true) => Row::new("kernel", State::Limited, text).hint("use a machine with 2 CPUs or more"),
            (false, false) => Row::new("kernel", State::Good, text),
        }
    }

    fn checks_row(&self) -> Row {
        let kernel = &self.kernel;
        let all = [("PROVE_LOCKING", &kernel.prove_locking), ("KASAN", &kernel.kasan), ("DEBUG_VM", &kernel.debug_vm)];
        let with = |wanted: Option<bool>| -> Vec<&str> {
            all.iter().filter(|(_, fact)| fact.known().copied() == wanted).map(|(name, _)| *name).collect()
        };
        let (on, off, unknown) = (with(Some(true)), with(Some(false)), with(None));
        let mut parts = Vec::new();
        for (names, word) in [(&on, "on"), (&off, "off"), (&unknown, "unknown")] {
            if !names.is_empty() {
                parts.push(format!("{} {word}", names.join(", ")));
            }
        }
        let row = Row::new("kernel checks", if off.is_empty() { State::Good } else { State::Limited }, parts.join("; "));
        match off.as_slice() {
            [] => row,
            off => row.hint(format!(
                "boot a kernel with {}",
                off.iter().map(|n| format!("CONFIG_{n}=y")).collect::<Vec<_>>().join(" ")
            )),
        }
    }

    fn privilege_row(&self) -> Row {
        let missing = self.privilege.capabilities.known().map(|capabilities| capabilities.missing());
        let who = if self.privilege.euid.is(&0) { "root".to_owned() } else { format!("uid {}", self.privilege.euid.text()) };
        match missing.as_deref() {
            Some([]) if self.privilege.initial_user_namespace.is(&false) => {
                Row::new("privilege", State::Limited, format!("{who} of a user namespace"))
                    .hint(self.need_root("capabilities").hint)
            }
            Some([]) => Row::new("privilege", State::Good, format!("{who} with every capability that is used")),
            Some(missing) => Row::new("privilege", State::Limited, format!("{who} without {}", missing.join(", ")))
                .hint(self.need_root("capabilities").hint),
            None => Row::new("privilege", State::Limited, format!("{who}, capabilities unknown")),
        }
    }

    fn kvm_row(&self) -> Row {
        let Some(kvm) = self.kvm.device.capabilities() else {
            return Row::from_need("kvm", self.need_kvm(), State::Missing, "");
        };
        let mut text = vec![
            self.kvm.vendor.known().map_or("unknown vendor module", |vendor| vendor.name()).to_owned(),
            format!("API {}", kvm.api_version),
            format!("{} vCPUs, {} memslots", kvm.max_vcpus, kvm.memslots),
        ];
        if kvm.dirty_ring_bytes > 0 {
            text.push(format!("dirty ring {}", bytes(kvm.dirty_ring_bytes)));
        }
        let optional = [
            (kvm.binary_stats, "stats"),
            (kvm.memory_fault_info, "fault info"),
            (kvm.guest_memfd, "guest_memfd"),
            (kvm.pre_fault_memory, "pre-fault"),
        ];
        text.extend(optional.iter().filter(|(there, _)| *there).map(|(_, name)| (*name).to_owned()));
        match self.need_kvm() {
            Ok(()) => Row::new("kvm", State::Good, text.join(", ")),
            Err(need) => Row::new("kvm", State::Limited, format!("{}; no {}", text.join(", "), need.what)).hint(need.hint),
        }
    }

    pub(super) fn tracing_row(&self) -> Row {
        let clock = if self.tracing.tsc_clock.is(&false) { ", no x86-tsc clock" } else { "" };
        match (self.need_tracing(), &self.tracing.tracefs) {
            (Ok(()), Tracefs::Mounted { path }) => Row::new("tracing", State::Good, format!("{path} with all events{clock}")),
            (Err(need), Tracefs::NotMounted { mountable }) if mountable.works() => {
                let events = match self.tracing.missing_events.known() {
                    Some(missing) if !missing.is_empty() => format!("without {}", missing.join(", ")),
                    _ => "with all events".to_owned(),
                };
                Row::new("tracing", State::Limited, format!("tracefs {events}{clock}, not mounted")).hint(need.hint)
            }
            (need, Tracefs::Mounted { .. }) => Row::from_need("tracing", need, State::Limited, ""),
            (need, _) => Row::from_need("tracing", need, State::Missing, ""),
        }
    }
}

/// A size in the largest binary unit that divides it without a fraction worth showing.
pub(super) fn bytes(count: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) if count.is_multiple_of(unit) => format!("{} {name}", count / unit),
        Some((unit, name)) => format!("{:.1} {name}", count as f64 / unit as f64),
        None => format!("{count} B"),
    }
}
