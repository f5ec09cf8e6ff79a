//! What a memslot is made of, and what an operation wants of the machine that has it.

use crate::memory::{Arena, System};
use nostale_notifier::{Gpa, Hva, HvaRange, addr::PAGE_SIZE};
use std::{fmt, os::fd::RawFd};

/// Host memory that appears in the guest: an arena's or the system slot's, so that no guest is ever given anything else of this
/// process. Both must outlive the machine; that pages in them come and go is the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    gpa: Gpa,
    hva: HvaRange,
    /// A guest_memfd and an offset in it.
    file: Option<(RawFd, u64)>,
}

impl Slot {
    /// The arena's pages at home, as guest memory from `gpa`.
    #[must_use]
    pub fn home(gpa: Gpa, arena: &Arena) -> Self {
        Self { gpa, hva: arena.home(), file: None }
    }

    /// Other host memory, as guest memory from `gpa`. Whoever has it keeps it until the machine is gone, whatever becomes of its pages.
    #[must_use]
    pub(crate) const fn of(gpa: Gpa, hva: HvaRange) -> Self {
        Self { gpa, hva, file: None }
    }

    /// The arena's whole witness, as guest memory from `gpa`: for a guest that is made to use stale translations.
    #[must_use]
    pub fn witness(gpa: Gpa, arena: &Arena) -> Option<Self> {
        Some(Self { gpa, hva: arena.witness()?, file: None })
    }

    /// The place beside the arena where page `first` and following have their doubles ([`Arena::aside`]), from `gpa`.
    #[must_use]
    pub fn aside(gpa: Gpa, arena: &Arena, first: u64, pages: u64) -> Option<Self> {
        Some(Self { gpa, hva: arena.aside(first, pages)?, file: None })
    }

    /// The system slot.
    pub(super) fn system(system: &System) -> Option<Self> {
        let region = system.region();
        let hva = HvaRange::new(Hva::new(region.as_ptr() as u64), region.size() as u64 / PAGE_SIZE)?;
        Some(Self { gpa: Gpa::new(0), hva, file: None })
    }

    /// The same, with its memory from `offset` in the guest_memfd `fd`, which is also mapped at its host addresses: KVM takes pages
    /// from the file and not through the page tables of this process. What is no guest_memfd KVM refuses.
    #[must_use]
    pub const fn of_guest_memfd(self, fd: RawFd, offset: u64) -> Self {
        Self { file: Some((fd, offset)), ..self }
    }

    /// Its guest_memfd, and the offset in it.
    #[must_use]
    pub const fn guest_memfd(&self) -> Option<(RawFd, u64)> {
        self.file
    }

    /// First guest-physical byte.
    #[must_use]
    pub const fn gpa(&self) -> Gpa {
        self.gpa
    }

    /// First guest-physical byte behind it.
    #[must_use]
    pub const fn end(&self) -> Gpa {
        Gpa::new(self.gpa.get() + self.hva.bytes())
    }

    /// The host memory.
    #[must_use]
    pub const fn hva(&self) -> HvaRange {
        self.hva
    }

    /// Pages.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.hva.pages()
    }

    /// The same memory at another guest-physical address.
    #[must_use]
    pub const fn at(self, gpa: Gpa) -> Self {
        Self { gpa, ..self }
    }

    /// `pages` pages from page `first` of this slot, at the guest-physical addresses that they have in it.
    #[must_use]
    pub fn part(&self, first: u64, pages: u64) -> Option<Self> {
        let bytes = first * PAGE_SIZE;
        let file = self.file.map(|(fd, offset)| (fd, offset + bytes));
        Some(Self { gpa: self.gpa.checked_add(bytes)?, hva: self.hva.part(first, pages)?, file })
    }

    /// The part of this slot that shows `hva`, as far as it does.
    #[must_use]
    pub fn showing(&self, hva: HvaRange) -> Option<Self> {
        let start = hva.start().max(self.hva.start());
        let end = hva.end().min(self.hva.end());
        let bytes = end.offset_from(start).filter(|&bytes| bytes > 0)?;
        self.part(start.offset_from(self.hva.start())? / PAGE_SIZE, bytes / PAGE_SIZE)
    }

    /// Where the host has what the guest finds at `gpa`.
    #[must_use]
    pub fn translate(&self, gpa: Gpa) -> Option<Hva> {
        let offset = gpa.offset_from(self.gpa).filter(|&offset| offset < self.hva.bytes())?;
        self.hva.start().checked_add(offset)
    }

    /// Whether all of `other`'s guest-physical addresses are this slot's, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.gpa <= other.gpa && other.end() <= self.end()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gpa {} over {}", self.gpa, self.hva)
    }
}

/// A memslot's number, as KVM knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub(super) u32);

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memslot {}", self.0)
    }
}

/// What KVM does beside mapping a memslot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotFlags {
    /// `KVM_MEM_LOG_DIRTY_PAGES`
    pub log: bool,
    /// `KVM_MEM_READONLY`. KVM changes it in no memslot that exists: remove it and put it back.
    pub readonly: bool,
}

/// A memslot that KVM has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its number.
    pub id: SlotId,
    /// What it maps.
    pub slot: Slot,
    /// How.
    pub flags: SlotFlags,
}

/// How KVM tracks dirty pages: a VM has one way or the other, from its first vCPU on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// A bitmap for each memslot.
    Log,
    /// A ring for each vCPU.
    Ring {
        /// Entries of a ring, a power of two.
        entries: u32,
    },
}

impl fmt::Display for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("the dirty log"),
            Self::Ring { entries } => write!(f, "dirty rings of {entries} entries"),
        }
    }
}

/// What an operation wants of the VM, beside memory. It must be known before there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// It works on the VM itself: without one there is nothing to do.
    pub vm: bool,
    /// It uses this way of tracking dirty pages, and no other.
    pub tracking: Option<Tracking>,
    /// Each page appears once in the guest, and no other view of the arena beside it.
    pub once: bool,
    /// It takes memslots away: KVM may drop its page tables as a whole, and flush nothing that it counts.
    pub unplugs: bool,
    /// It pre-faults: there is a vCPU beside those that run, since KVM lets nobody else use theirs.
    pub pre_fault: bool,
}

impl Demands {
    /// An operation of the VM itself.
    pub const VM: Self = Self { vm: true, tracking: None, once: false, unplugs: false, pre_fault: false };

    /// Both, or `None` where they contradict each other.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        let tracking = match (self.tracking, other.tracking) {
            (Some(one), Some(another)) if one != another => return None,
            (one, another) => one.or(another),
        };
        Some(Self {
            vm: self.vm || other.vm,
            tracking,
            once: self.once || other.once,
            unplugs: self.unplugs || other.unplugs,
            pre_fault: self.pre_fault || other.pre_fault,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(gpa: u64, hva: u64, pages: u64) -> Slot {
        Slot { gpa: Gpa::new(gpa), hva: HvaRange::new(Hva::new(hva), pages).expect("aligned"), file: None }
    }

    #[test]
    fn parts_keep_both_addresses_in_step() {
        let whole = slot(0x10_0000, 0x7000, 8);
        assert_eq!(whole.part(2, 3), Some(slot(0x10_2000, 0x9000, 3)));
        assert_eq!(whole.part(6, 3), None);
        let shown = HvaRange::new(Hva::new(0x5000), 4).expect("aligned");
        assert_eq!(whole.showing(shown), Some(slot(0x10_0000, 0x7000, 2)));
        assert_eq!(whole.showing(HvaRange::new(Hva::new(0xf000), 1).expect("aligned")), None, "the first byte behind it");
        assert_eq!(whole.translate(Gpa::new(0x10_7fff)), Some(Hva::new(0xefff)));
        assert_eq!(whole.translate(Gpa::new(0x10_8000)), None);
    }

    #[test]
    fn ring_and_log_contradict_each_other_and_nothing_else_does() {
        let log = Demands { tracking: Some(Tracking::Log), ..Demands::VM };
        let ring = Demands { tracking: Some(Tracking::Ring { entries: 1024 }), ..Demands::VM };
        assert_eq!(log.and(ring), None);
        assert_eq!(log.and(Demands::default()), Some(log));
        assert_eq!(Demands::default().and(Demands::VM), Some(Demands::VM));
    }
}
