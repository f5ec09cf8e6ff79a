//! What is to be recorded, and which events that takes.

use super::super::{
    event::{Call, SlotMap},
    file::Source,
};
use std::{path::PathBuf, time::Duration};

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where tracefs is, see [`super::find_tracefs`].
    pub tracefs: PathBuf,
    /// The process whose VM it is about. Its threads, and the children and threads that they come to have, are followed.
    pub pid: i32,
    /// What this is a recording of, for people.
    pub title: String,
    /// Ticks of the time stamp counter a second.
    pub hertz: f64,
    /// Whether probes are put on the notifier, where the kernel permits that.
    pub probes: bool,
    /// Whether pages that are freed are recorded, of the whole machine.
    pub frees: bool,
    /// Bytes of the buffer of each CPU for what the VM's threads do; that for memory is half as large.
    pub buffer_bytes: u64,
    /// Where guest memory lies, if that is known; also where the primary MMU is looked at.
    pub slots: Vec<SlotMap>,
    /// How often the primary MMU is looked at; never if none.
    pub sample_every: Option<Duration>,
}

impl Wanted {
    /// The usual.
    #[must_use]
    pub const fn new(tracefs: PathBuf, pid: i32, hertz: f64) -> Self {
        Self {
            tracefs,
            pid,
            title: String::new(),
            hertz,
            probes: true,
            frees: false,
            buffer_bytes: 16 << 20,
            slots: Vec::new(),
            sample_every: Some(Duration::from_millis(20)),
        }
    }
}

/// An event to enable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) source: Source,
    /// Which of them the kernel passes over by itself.
    pub(super) filter: Option<&'static str>,
}

/// What the VM's threads do besides.
const TASK: [&str; 5] = [
    "task/task_newtask",
    "kvm/kvm_page_fault",
    "kvmmmu/kvm_mmu_set_spte",
    "kvmmmu/kvm_mmu_spte_requested",
    "kvmmmu/fast_page_fault",
];

/// What happens to memory in whichever thread.
const MEMORY: [&str; 10] = [
    "kvm/kvm_unmap_hva_range",
    "kvm/kvm_set_spte_hva",
    "kvmmmu/kvm_tdp_mmu_spte_changed",
    "kvmmmu/kvm_mmu_prepare_zap_page",
    "kvmmmu/kvm_mmu_zap_all_fast",
    "migrate/set_migration_pte",
    "migrate/remove_migration_pte",
    "thp/set_migration_pmd",
    "thp/remove_migration_pmd",
    "tlb/tlb_flush",
];

/// All tracepoints that are wanted.
///
/// There are two buffers, because a filter by process is of a whole instance. What the VM's threads do is filtered so: system calls of
/// others would drown it. What happens to memory is not: kcompactd, kswapd, khugepaged, ksmd and foreign processes change the VM's
/// memory too. Nor is it filtered by address. Only processes with a VM cause `kvm_unmap_hva_range`, so there is little to be saved;
/// mappings come and go, and a filter made when the recording began would lose those that came later.
pub(super) fn events(frees: bool) -> Vec<Event> {
    let event = |name: String, source| Event { name, source, filter: None };
    let calls = Call::NAMES.iter().flat_map(|call| {
        let source = if Call::ON_OTHERS.contains(call) { Source::Memory } else { Source::Task };
        // A vCPU that enters the guest is not wanted. That it came back cannot be told from other calls' returns: it is one that
        // nobody called.
        let filter = (*call == "ioctl").then_some("cmd != 0xae80");
        [
            Event { filter, ..event(format!("syscalls/sys_enter_{call}"), source) },
            event(format!("syscalls/sys_exit_{call}"), source),
        ]
    });
    let task = TASK.iter().map(|name| event((*name).to_owned(), Source::Task));
    let memory = MEMORY.iter().map(|name| Event {
        // 0 is that another process runs: no translation was in danger
        filter: (*name == "tlb/tlb_flush").then_some("reason != 0"),
        ..event((*name).to_owned(), Source::Memory)
    });
    let frees = frees.then(|| event("kmem/mm_page_free".to_owned(), Source::Memory));
    calls.chain(task).chain(memory).chain(frees).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::decode::{KNOWN, PROBES};
    use std::collections::BTreeSet;

    #[test]
    fn each_event_that_can_be_read_is_wanted_once_and_no_other() {
        let names: Vec<_> = events(true).into_iter().map(|event| event.name).collect();
        let wanted: BTreeSet<_> = names.iter().map(String::as_str).collect();
        assert_eq!(names.len(), wanted.len(), "twice would be twice the cost, and twice in the recording");
        let calls = wanted.iter().filter(|name| name.starts_with("syscalls/")).count();
        assert_eq!(calls, 2 * Call::NAMES.len());
        let known = KNOWN.iter().map(|(name, ..)| *name).filter(|name| !name.starts_with(PROBES));
        let others: BTreeSet<_> = wanted.into_iter().filter(|name| !name.starts_with("syscalls/")).collect();
        assert_eq!(others, known.collect());
        assert_eq!(events(false).len() + 1, names.len());
    }

    #[test]
    fn calls_on_others_are_seen_in_all_processes() {
        for ours in Call::ON_OTHERS {
            assert!(Call::named(ours).is_some(), "{ours}");
        }
        let source = |name| events(false).into_iter().find(|event| event.name == name).map(|event| event.source);
        assert_eq!(source("syscalls/sys_exit_move_pages"), Some(Source::Memory));
        assert_eq!(source("syscalls/sys_enter_mremap"), Some(Source::Task));
    }
}
