//! What an operation needs of the host, and the command that provides it.

use nix::errno::Errno;
use nostale_notifier::addr::PUD_SIZE;
use serde::Serialize;
use thiserror::Error;

use super::attempt::Attempt;
use super::tracing::Tracefs;
use super::{FOLIO_BYTES, Facts, KsmRun};
use crate::memory::userfault;

/// Something the host does not offer. A scenario that meets one is skipped, with this as the reason.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("needs {what}: {hint}")]
pub struct Need {
    /// What is missing.
    pub what: String,
    /// What to do about it: a command, where there is one.
    pub hint: String,
}

impl Need {
    /// A need of `what`, met by `hint`.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }

    /// A journal, without which no host setting is changed.
    pub(crate) fn journal() -> Self {
        Self::new("a journal of host settings", "see the note on why it cannot be used")
    }

    /// Control groups of version 2 that give memory back.
    pub(crate) fn memory_reclaim() -> Self {
        Self::new("memory.reclaim in control groups", "boot Linux 5.19 or later")
    }
}

impl Facts {
    /// Memory compaction on request, which migrates pages on a host with one node.
    pub fn need_compaction(&self) -> Result<(), Need> {
        match self.memory.compaction.errno() {
            None if self.memory.compaction.works() => Ok(()),
            Some(Errno::ENOENT) => Err(Need::new("compaction", "boot a kernel with CONFIG_COMPACTION=y")),
            Some(Errno::EROFS) => {
                Err(Need::new("compaction (/proc/sys is read-only)", "run outside the container, or docker run --privileged"))
            }
            _ => Err(self.need_root("compaction (/proc/sys/vm/compact_memory)")),
        }
    }

    /// At least `nodes` nodes with memory.
    pub fn need_numa(&self, nodes: usize) -> Result<(), Need> {
        let have = self.numa.memory_nodes.known().map_or(1, Vec::len);
        if have >= nodes {
            return Ok(());
        }
        Err(Need::new(
            format!("{nodes} NUMA nodes with memory, has {have}"),
            format!(
                "boot with numa=fake={nodes} (CONFIG_NUMA_EMU=y), or start the machine in QEMU with {nodes} -numa node options"
            ),
        ))
    }

    /// Physical frame numbers of our own pages.
    pub fn need_pagemap(&self) -> Result<(), Need> {
        match self.pagemap.frame_numbers.errno() {
            None if self.pagemap.frame_numbers.works() => Ok(()),
            Some(Errno::ENOENT) => Err(Need::new("/proc/self/pagemap", "boot a kernel with CONFIG_PROC_PAGE_MONITOR=y")),
            _ => Err(self.need_root("frame numbers in /proc/self/pagemap")),
        }
    }

    /// The soft-dirty bit in the page tables.
    pub fn need_soft_dirty(&self) -> Result<(), Need> {
        if self.pagemap.soft_dirty.works() {
            return Ok(());
        }
        Err(Need::new("soft-dirty tracking", "boot a kernel with CONFIG_MEM_SOFT_DIRTY=y"))
    }

    /// `MADV_COLLAPSE`.
    pub fn need_collapse(&self) -> Result<(), Need> {
        let what = || format!("MADV_COLLAPSE ({})", self.thp.collapse.why_not());
        match self.thp.collapse.errno() {
            None if self.thp.collapse.works() => Ok(()),
            Some(Errno::ENOMEM | Errno::EAGAIN | Errno::EBUSY) => {
                Err(Need::new(what(), "free a huge page: echo 1 > /proc/sys/vm/compact_memory"))
            }
            _ => Err(Need::new(what(), "boot Linux 6.1 or later with CONFIG_TRANSPARENT_HUGEPAGE=y")),
        }
    }

    /// Transparent huge pages for anonymous memory that asks for them with `MADV_HUGEPAGE`.
    pub fn need_thp(&self) -> Result<(), Need> {
        let hint = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
        match self.thp.pmd_enabled().known().map(String::as_str) {
            Some("never") => Err(Need::new("transparent huge pages", self.thp_hint(hint))),
            Some(_) => Ok(()),
            None => Err(Need::new("transparent huge pages", "boot a kernel with CONFIG_TRANSPARENT_HUGEPAGE=y")),
        }
    }

    /// Folios of [`FOLIO_BYTES`] for anonymous memory that asks for huge pages.
    pub fn need_folios(&self) -> Result<(), Need> {
        let enabled = |size: &super::ThpSize| size.page_bytes == FOLIO_BYTES && size.enabled.known().is_some();
        if self.thp.sizes.iter().any(enabled) {
            return Ok(());
        }
        let what = format!("anonymous memory in folios of {} KiB", FOLIO_BYTES >> 10);
        Err(Need::new(what, "boot Linux 6.8 or later with CONFIG_TRANSPARENT_HUGEPAGE=y"))
    }

    /// The PMD size may be off by its own switch, and then the global one changes nothing.
    fn thp_hint(&self, global: &str) -> String {
        match self.thp.hpage_pmd_size_bytes.known() {
            Some(bytes) if !self.thp.enabled.is("never") => {
                format!("echo inherit > /sys/kernel/mm/transparent_hugepage/hugepages-{}kB/enabled", bytes / 1024)
            }
            _ => global.to_owned(),
        }
    }

    /// KSM, which a run may set to work.
    pub fn need_ksm(&self) -> Result<(), Need> {
        match self.ksm.run.known() {
            Some(KsmRun::Running) => Ok(()),
            Some(_) if self.privilege.is_root() => Ok(()),
            Some(_) => Err(Need::new("KSM", "run as root, or sudo sh -c 'echo 1 > /sys/kernel/mm/ksm/run'")),
            None => Err(Need::new("KSM", "boot a kernel with CONFIG_KSM=y")),
        }
    }

    /// A hugetlb pool of pages of `page_bytes` that has, or can be given, `pages` free pages.
    pub fn need_hugetlb(&self, page_bytes: u64, pages: u64) -> Result<(), Need> {
        let pool = self.hugetlb.pools.known().and_then(|pools| pools.iter().find(|pool| pool.page_bytes == page_bytes));
        let what = |have: u64| format!("{pages} free hugetlb pages of {} KiB, has {have}", page_bytes / 1024);
        match pool {
            // A pool grows on request, but for the largest pages hardly ever: they are no free block of the buddy allocator.
            Some(pool) if pool.usable_pages() >= pages || self.privilege.is_root() && page_bytes < PUD_SIZE => Ok(()),
            Some(pool) => {
                let taken = pool.pages.known().copied().unwrap_or(0).saturating_sub(pool.usable_pages());
                let hint = format!("echo {} > {}", taken.saturating_add(pages), pool.control());
                Err(Need::new(what(pool.usable_pages()), hint))
            }
            None => {
                let hint = "boot a kernel with CONFIG_HUGETLBFS=y on a processor that has pages of this size";
                Err(Need::new(what(0), hint))
            }
        }
    }

    /// tracefs, mounted, with every event the trace source is made of.
    pub fn need_tracing(&self) -> Result<(), Need> {
        match (&self.tracing.tracefs, self.tracing.missing_events.known()) {
            (Tracefs::Absent, _) => Err(Need::new("tracefs", "boot a kernel with CONFIG_FTRACE=y")),
            (_, Some(missing)) if !missing.is_empty() => {
                let hint = "boot a kernel with these events, with kvm loaded";
                Err(Need::new(format!("events {}", missing.join(", ")), hint))
            }
            (Tracefs::NotMounted { mountable }, _) => match mountable {
                Attempt::Refused { .. } => Err(self.need_root("mounted tracefs")),
                _ => Err(Need::new("mounted tracefs", "mount -t tracefs tracefs /sys/kernel/tracing")),
            },
            (Tracefs::Mounted { .. }, Some(_)) => Ok(()),
            (Tracefs::Mounted { path }, None) => Err(self.need_root(&format!("read access to {path}"))),
        }
    }

    /// A userfaultfd that serves faults taken in the kernel, as those of guests are.
    pub fn need_uffd(&self) -> Result<(), Need> {
        if self.userfault.serves_guests() {
            return Ok(());
        }
        let what = "userfaultfd for guest faults";
        match (self.userfault.full.errno(), self.userfault.device.errno()) {
            (Some(Errno::ENOSYS), _) => Err(Need::new(what, "boot a kernel with CONFIG_USERFAULTFD=y")),
            (_, Some(Errno::EACCES)) => Err(Need::new(what, "run as root, or sudo setfacl -m u:$USER:rw /dev/userfaultfd")),
            _ => Err(Need::new(what, "run as root, or sudo sysctl vm.unprivileged_userfaultfd=1")),
        }
    }

    /// What an operation asks of userfaultfd.
    pub fn need_uffd_feature(&self, wanted: userfault::Features) -> Result<(), Need> {
        let offered = userfault::Features::from_bits(self.userfault.features.known().map_or(0, |features| features.mask));
        if offered.contains(wanted) {
            return Ok(());
        }
        let missing = wanted.without(offered);
        Err(Need::new(format!("userfaultfd with {missing}"), format!("boot Linux {} or later", missing.since())))
    }

    /// The kernel log.
    pub fn need_kernel_log(&self) -> Result<(), Need> {
        match self.kernel_log.errno() {
            None if self.kernel_log.works() => Ok(()),
            Some(Errno::ENOENT | Errno::ENXIO) => Err(Need::new("/dev/kmsg", "mknod /dev/kmsg c 1 11")),
            Some(Errno::EPERM) => {
                Err(Need::new("access to the kernel log", "run as root, or sudo sysctl kernel.dmesg_restrict=0"))
            }
            _ => Err(self.need_root("access to the kernel log (/dev/kmsg)")),
        }
    }

    /// `mremap(MREMAP_DONTUNMAP)`.
    pub fn need_mremap_dontunmap(&self) -> Result<(), Need> {
        call("MREMAP_DONTUNMAP", &self.calls.mremap_dontunmap, "boot Linux 5.7 or later")
    }

    /// `mremap(MREMAP_DONTUNMAP)` of shared memory.
    pub fn need_mremap_dontunmap_shared(&self) -> Result<(), Need> {
        call("MREMAP_DONTUNMAP of shared memory", &self.calls.mremap_dontunmap_shared, "boot Linux 5.13 or later")
    }

    /// `remap_file_pages`.
    pub fn need_remap_file_pages(&self) -> Result<(), Need> {
        call("remap_file_pages", &self.calls.remap_file_pages, "run without the seccomp filter that refuses it")
    }

    /// `memfd_create`.
    pub fn need_memfd(&self) -> Result<(), Need> {
        call("memfd_create", &self.calls.memfd_create, "boot a kernel with CONFIG_MEMFD_CREATE=y")
    }

    /// `process_madvise`.
    pub fn need_process_madvise(&self) -> Result<(), Need> {
        call(
            "process_madvise",
            &self.calls.process_madvise,
            "boot Linux 5.10 or later with CONFIG_ADVISE_SYSCALLS=y, without a seccomp filter",
        )
    }

    /// `vmsplice`.
    pub fn need_vmsplice(&self) -> Result<(), Need> {
        call("vmsplice", &self.calls.vmsplice, "run without the seccomp filter that refuses it")
    }

    /// What only root may have; and where root is root of a container, that this is not enough.
    pub(crate) fn need_root(&self, what: &str) -> Need {
        let privilege = &self.privilege;
        let hint = match privilege.initial_user_namespace.known() {
            _ if !privilege.euid.is(&0) => "run as root: sudo nostale ...",
            Some(false) => "run outside the user namespace: its root is not the root of the host",
            _ if !privilege.is_root() => "run with all capabilities of root: docker run --privileged",
            _ => "run outside the container: a filter or a read-only mount refuses it even to root",
        };
        Need::new(what, hint)
    }
}

fn call(name: &str, attempt: &Attempt, hint: &str) -> Result<(), Need> {
    if attempt.works() {
        return Ok(());
    }
    Err(Need::new(format!("{name} ({})", attempt.why_not()), hint))
}
