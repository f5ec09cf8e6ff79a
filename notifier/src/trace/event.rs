//! Events of the kernel, as the rest of this module understands them: whichever tracepoint or probe they came from, and however the
//! kernel at hand lays that out.

use crate::{Hva, Pfn, event::Tsc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A guest page frame number, in base pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gfn(pub u64);

impl fmt::Display for Gfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A thread, by the number that the kernel's events carry (`common_pid`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tid(pub i32);

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An entry of a secondary page table, as KVM has it on x86 (`arch/x86/kvm/mmu/spte.h`).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Spte(pub u64);

impl Spte {
    /// `SPTE_MMU_PRESENT_MASK`: set in every entry that KVM takes for present, whatever the hardware's format (since Linux 5.12).
    const PRESENT: u64 = 1 << 11;
    /// `PT_WRITABLE_MASK`, which all of the hardware's formats share.
    const WRITABLE: u64 = 1 << 1;
    /// `PT_PAGE_SIZE_MASK`: above level 1, what tells a huge page from a page table.
    const HUGE: u64 = 1 << 7;
    /// Bits 12 to 51.
    const FRAME: u64 = 0x000f_ffff_ffff_f000;

    /// Whether it translates anything.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether a guest may write through it.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }

    /// Whether, at this level, it maps a page and not a page table.
    #[must_use]
    pub const fn is_leaf(self, level: u8) -> bool {
        self.is_present() && (level == 1 || self.0 & Self::HUGE != 0)
    }

    /// The frame that it points to.
    #[must_use]
    pub const fn pfn(self) -> Pfn {
        Pfn::new((self.0 & Self::FRAME) >> 12)
    }
}

impl fmt::Debug for Spte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spte({:#x})", self.0)
    }
}

impl fmt::Display for Spte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A system call that can change what memory is mapped, by an index into [`Call::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call(u8);

impl Call {
    /// All that are recorded, by their names in tracefs (`sys_enter_NAME`).
    pub const NAMES: [&'static str; 33] = [
        "mremap",
        "munmap",
        "mmap",
        "mprotect",
        "pkey_mprotect",
        "madvise",
        "process_madvise",
        "move_pages",
        "migrate_pages",
        "mbind",
        "remap_file_pages",
        "fallocate",
        "ftruncate",
        "truncate",
        "ioctl",
        "clone",
        "clone3",
        "fork",
        "vfork",
        "execve",
        "exit_group",
        "swapoff",
        "write",
        "pwrite64",
        "writev",
        "read",
        "vmsplice",
        "msync",
        "brk",
        "mlock",
        "mlock2",
        "io_uring_enter",
        "shmdt",
    ];

    /// Those by which a process changes another one's memory.
    pub const ON_OTHERS: [&'static str; 4] = ["process_madvise", "move_pages", "migrate_pages", "swapoff"];

    /// Whether it is one of those, which are recorded of all processes.
    #[must_use]
    pub fn is_on_others(self) -> bool {
        Self::ON_OTHERS.contains(&self.name())
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|at| Self(at as u8))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.0 as usize]
    }
}

/// Where and when something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// When.
    pub tsc: Tsc,
    /// On which CPU.
    pub cpu: u16,
    /// In which thread's context.
    pub tid: Tid,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelEvent {
    /// Where and when.
    pub at: At,
    /// What.
    pub what: What,
}

/// What happened. Sources: *t* a tracepoint, *p* a probe, which not every kernel permits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// t `syscalls:sys_enter_*`.
    Enter {
        /// Which.
        call: Call,
        /// Its arguments, as many as it has.
        args: [u64; 6],
    },
    /// t `syscalls:sys_exit_*`.
    Exit {
        /// Which.
        call: Call,
        /// What it returned: negative error numbers, otherwise its result.
        ret: i64,
    },
    /// t `task:task_newtask`: a thread or a process comes to be, in its parent's context and before it has run.
    NewTask {
        /// Which.
        child: Tid,
        /// `CLONE_*`.
        flags: u64,
    },
    /// t `kvm:kvm_unmap_hva_range`: KVM hears of an invalidation that begins (`virt/kvm/kvm_main.c`,
    /// `kvm_mmu_notifier_invalidate_range_start`, before it takes `mmu_lock`), whether or not a memslot lies there.
    Unmap {
        /// First byte.
        start: Hva,
        /// First byte behind it.
        end: Hva,
    },
    /// t `kvm:kvm_set_spte_hva`: `change_pte` of kernels before 6.10.
    ChangePte {
        /// Where.
        hva: Hva,
    },
    /// p `__mmu_notifier_invalidate_range_start`: the memory management announces a change.
    RangeStart {
        /// Whose memory.
        mm: u64,
        /// First byte.
        start: Hva,
        /// First byte behind it.
        end: Hva,
        /// `enum mmu_notifier_event`.
        reason: u32,
    },
    /// p `__mmu_notifier_invalidate_range_end`.
    RangeEnd {
        /// Whose memory.
        mm: u64,
        /// First byte.
        start: Hva,
        /// First byte behind it.
        end: Hva,
    },
    /// p `kvm_mmu_invalidate_begin`, under `mmu_lock`: from here on no fault may install what it looked up before.
    Begin {
        /// Which VM (`struct kvm`).
        kvm: u64,
    },
    /// p `kvm_mmu_invalidate_end`, under `mmu_lock`.
    End {
        /// Which VM.
        kvm: u64,
    },
    /// p `kvm_unmap_gfn_range`: KVM zaps part of a memslot, under `mmu_lock`.
    SlotUnmap {
        /// First frame.
        start: Gfn,
        /// First frame behind it.
        end: Gfn,
        /// The memslot's first frame.
        base: Gfn,
        /// Where that lies in the host.
        hva: Hva,
    },
    /// p `kvm_flush_remote_tlbs` and its kind: translations of a VM are flushed on all vCPUs.
    Flush {
        /// Which VM.
        kvm: u64,
    },
    /// t `kvmmmu:kvm_mmu_spte_requested`: a fault has looked up a page, holds `mmu_lock` and is about to install it.
    Requested {
        /// Where.
        gfn: Gfn,
        /// What.
        pfn: Pfn,
        /// 1 for 4 KiB, 2 for 2 MiB.
        level: u8,
    },
    /// t `kvmmmu:kvm_mmu_set_spte`: an entry was installed (shadow paging, and the TDP MMU on its way).
    Set {
        /// Where.
        gfn: Gfn,
        /// What it holds now.
        spte: Spte,
        /// Where the entry itself lies.
        sptep: u64,
        /// 1 for 4 KiB, 2 for 2 MiB.
        level: u8,
    },
    /// t `kvmmmu:kvm_tdp_mmu_spte_changed`: an entry of the TDP MMU changed, in whichever direction.
    Changed {
        /// Where.
        gfn: Gfn,
        /// What it held.
        old: Spte,
        /// What it holds.
        new: Spte,
        /// 1 for 4 KiB, 2 for 2 MiB.
        level: u8,
        /// Address space: 0, or 1 for system management mode.
        space: u8,
    },
    /// t `kvmmmu:fast_page_fault`: an entry became writable without `mmu_lock`.
    FastFault {
        /// Which entry.
        sptep: u64,
        /// What it held.
        old: Spte,
        /// What it holds.
        new: Spte,
    },
    /// t `kvm:kvm_page_fault`: a guest access met no translation.
    Fault {
        /// Its vCPU, where the kernel says so.
        vcpu: u32,
        /// Guest physical with EPT and NPT, guest virtual with shadow paging.
        address: u64,
        /// The hardware's error code.
        error: u64,
    },
    /// t `kvmmmu:kvm_mmu_prepare_zap_page`: a page table of the secondary MMU goes, with all that is in it.
    ZapTable {
        /// The first frame that it maps.
        gfn: Gfn,
        /// `union kvm_mmu_page_role`.
        role: u32,
    },
    /// t `kvmmmu:kvm_mmu_zap_all_fast`: all page tables are obsolete.
    ZapAll,
    /// t `migrate:set_migration_pte` and `set_migration_pmd`: a mapping made way for a migration entry.
    SetMigration {
        /// Where.
        hva: Hva,
        /// The entry.
        entry: u64,
        /// log2 of the pages that it maps: 0, or 9 of a PMD.
        order: u8,
    },
    /// t `migrate:remove_migration_pte` and `remove_migration_pmd`: the new mapping is in place.
    RemoveMigration {
        /// Where.
        hva: Hva,
        /// The new mapping.
        entry: u64,
        /// log2 of the pages that it maps: 0, or 9 of a PMD.
        order: u8,
    },
    /// t `tlb:tlb_flush`: the host's own TLB.
    TlbFlush {
        /// `enum tlb_flush_reason`: 1 remote shootdown, 2 and 3 local, 4 an IPI sent to others.
        reason: u8,
        /// How much; all ones for everything.
        pages: u64,
    },
    /// t `kmem:mm_page_free`: a page went back to the allocator.
    Free {
        /// First frame.
        pfn: Pfn,
        /// log2 of the pages.
        order: u8,
    },
}

/// What the primary MMU maps, read from `/proc/PID/pagemap` between two points in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimarySample {
    /// Before the first entry was read.
    pub from: Tsc,
    /// After the last one was.
    pub to: Tsc,
    /// Of which address.
    pub start: Hva,
    /// For each page from there, its raw entry (`Documentation/admin-guide/mm/pagemap.rst`).
    pub entries: Vec<u64>,
}

/// One memslot, or what must be one: guest frames that lie side by side in the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotMap {
    /// First guest frame.
    pub gfn: Gfn,
    /// Frames.
    pub pages: u64,
    /// Where the first one lies in the host.
    pub hva: Hva,
}

/// What a recording is made of, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The kernel did something.
    Event(KernelEvent),
    /// The primary MMU was looked at.
    Primary(PrimarySample),
    /// From now on (until the next of these), guest memory lies so in the host.
    Slots {
        /// When that became known.
        tsc: Tsc,
        /// All of it.
        slots: Vec<SlotMap>,
    },
    /// Events of a CPU are missing.
    Lost {
        /// Since this one, the last that is there,
        since: Tsc,
        /// until this one, the next.
        until: Tsc,
        /// Which CPU.
        cpu: u16,
        /// How many, where the kernel knows.
        events: Option<u64>,
    },
}

impl Item {
    /// When; for a sample, when it was over.
    #[must_use]
    pub const fn tsc(&self) -> Tsc {
        match self {
            Self::Event(event) => event.at.tsc,
            Self::Primary(sample) => sample.to,
            Self::Slots { tsc, .. } => *tsc,
            Self::Lost { until, .. } => *until,
        }
    }
}
