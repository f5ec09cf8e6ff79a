//! What is known of a VM and its host at a point of a recording: which entries the secondary MMU holds, which changes are announced and
//! not over, what each thread is doing.

mod family;
mod mirror;
mod opening;
mod slots;
mod thread;

pub use family::Family;
pub use mirror::{Entry, Key, Mirror};
pub use opening::{Opening, Window};
pub use slots::Slots;
pub use thread::{InCall, Thread};

use super::{
    event::{Call, Gfn, KernelEvent, SlotMap, Tid, What},
    head::{Head, Mmu},
};
use crate::{Hva, HvaRange, Pfn, addr::PAGE_SHIFT, event::Tsc};
use rustc_hash::FxHashMap;
use std::ops::Range;

/// `KVM_CREATE_VM`, `KVM_SET_USER_MEMORY_REGION` and its successor: ioctls after which nothing of what was known need be true.
const RENEWS: [u64; 3] = [0xae01, 0x4020_ae46, 0x40a0_ae49];

/// Calls that change the memory that their first two arguments name, of the process that makes them.
const CHANGES: [&str; 4] = ["munmap", "mremap", "mprotect", "madvise"];

/// The pages from `start` to `end`, however the kernel cut them.
#[must_use]
pub fn pages_between(start: Hva, end: Hva) -> Option<HvaRange> {
    let first = start.get() >> PAGE_SHIFT;
    let last = end.get().checked_add((1 << PAGE_SHIFT) - 1)? >> PAGE_SHIFT;
    HvaRange::new(Hva::new(first << PAGE_SHIFT), last.checked_sub(first)?)
}

/// A page that has a migration entry in place of its mapping.
#[derive(Clone, Copy, Debug)]
pub struct Migrating {
    /// The frame that it had.
    pub old: Pfn,
    /// How that came.
    pub event: KernelEvent,
}

/// What an event changed in the world.
#[derive(Debug, Default)]
pub struct Effects {
    /// Entries that went with it.
    pub killed: Vec<Entry>,
    /// The entry that came.
    pub installed: Option<Entry>,
    /// Whether a thread returned from a call that it was seen to enter.
    pub returned: bool,
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// Kind of secondary MMU.
    pub mmu: Mmu,
    /// How guest memory lies in the host.
    pub slots: Slots,
    /// What the secondary MMU holds.
    pub mirror: Mirror,
    /// What threads do.
    pub threads: FxHashMap<Tid, Thread>,
    /// Which threads belong to the VM's process.
    pub family: Family,
    /// Announcements whose handler may still be at work, by thread.
    pub openings: Vec<Opening>,
    /// Invalidations that KVM has in progress, where probes tell.
    pub windows: Vec<Window>,
    /// How many there were.
    pub windows_seen: u64,
    /// Whether probes tell where a range ends.
    ends_seen: bool,
    /// Whether they say which range it is.
    range_ends: bool,
    /// Pages under migration, by page number.
    pub migrating: FxHashMap<u64, Migrating>,
    /// Calls under way after which nothing that was known need be true.
    renewing: Vec<Tid>,
    /// Until then, announcements may be under way that nobody saw.
    unsure_until: Tsc,
    /// How long that is after events were lost: a second, in ticks.
    grace: u64,
    coming: Option<(Key, Entry)>,
    effects: Effects,
}

impl World {
    /// The world before anything is known.
    #[must_use]
    pub fn new(head: &Head) -> Self {
        let (mmu, pid) = (head.mmu, head.pid);
        let has = |name: &str| head.formats.iter().any(|format| format.name == name);
        Self {
            mmu,
            slots: Slots::default(),
            mirror: Mirror::default(),
            threads: FxHashMap::default(),
            family: Family::new(pid.map(Tid), has("task/task_newtask")),
            openings: Vec::new(),
            windows: Vec::new(),
            windows_seen: 0,
            range_ends: has("nostale_trace/range_end"),
            ends_seen: has("nostale_trace/range_end") || has("nostale_trace/invalidate_end"),
            migrating: FxHashMap::default(),
            renewing: Vec::new(),
            unsure_until: Tsc::default(),
            grace: head.hertz as u64,
            coming: None,
            effects: Effects::default(),
        }
    }

    /// What a thread is doing.
    #[must_use]
    pub fn thread(&self, tid: Tid) -> Option<&Thread> {
        self.threads.get(&tid)
    }

    /// The announcement that a thread has just made, unless it has gone on since.
    #[must_use]
    pub fn opening(&self, tid: Tid) -> Option<&Opening> {
        self.openings.iter().find(|opening| opening.event.at.tid == tid)
    }

    /// Takes the opening of a thread that goes on, and with it what its handler has zapped without a word.
    pub fn close(&mut self, tid: Tid) -> Option<Opening> {
        let at = self.openings.iter().position(|opening| opening.event.at.tid == tid)?;
        let opening = self.openings.swap_remove(at);
        // Of shadow page tables no event tells: what was installed between the announcement and the zapping went with it.
        if self.mmu == Mmu::Shadow {
            let doubtful: Vec<Key> =
                self.mirror.within(opening.range).filter(|(_, entry)| entry.doubtful).map(|(key, _)| key).collect();
            doubtful.into_iter().for_each(|key| _ = self.mirror.remove(key));
        } else {
            let late: Vec<Key> = self.mirror.within(opening.range).map(|(key, _)| key).collect();
            for key in late {
                // Whatever a rule had to say of it has been said.
                if self.mirror.get(key).is_some_and(|entry| entry.event.at.tsc < opening.event.at.tsc) {
                    self.mirror.remove(key);
                }
            }
        }
        Some(opening)
    }

    /// Forgets all that could be wrong after events were lost `until` now: whoever was in the middle of something then is taken to be so
    /// for as long as any of it may take.
    pub fn forget(&mut self, until: Tsc) {
        self.unsure_until = Tsc(until.0.saturating_add(self.grace));
        self.mirror.clear();
        self.openings.clear();
        self.windows.clear();
        self.migrating.clear();
        self.renewing.clear();
        self.threads.values_mut().for_each(Thread::forget);
    }

    /// From now on guest memory lies so.
    pub fn lay_out(&mut self, slots: &[SlotMap]) {
        self.slots = Slots::new(slots);
        self.mirror.clear();
    }

    /// The entry that the next event installs, if it is one of this VM: several rules want to know.
    #[must_use]
    pub const fn coming(&self) -> Option<&(Key, Entry)> {
        self.coming.as_ref()
    }

    /// `event` is the next.
    pub(super) fn expect(&mut self, event: &KernelEvent) {
        self.coming = self.installs(event);
    }

    fn installs(&self, event: &KernelEvent) -> Option<(Key, Entry)> {
        let (key, gfn, spte, level) = match event.what {
            // The TDP MMU says it for a second time with this; entries for guests of guests, which are shadowed, it leaves out.
            What::Set { gfn, spte, sptep, level } if self.mmu == Mmu::Shadow => (Key::shadow(sptep), gfn, spte, level),
            What::Changed { gfn, new, level, space, .. } => (Key::tdp(space, level, gfn), gfn, new, level),
            _ => return None,
        };
        // Changes of the TDP MMU are recorded of all VMs, faults of this one's threads alone.
        let own = self.mmu == Mmu::Shadow || self.thread(event.at.tid).is_some_and(|thread| thread.own);
        if !spte.is_leaf(level) || !own || !self.family.is_own(event.at.tid) {
            return None;
        }
        let hva = self.slots.hva(gfn);
        let doubtful = self.mmu == Mmu::Shadow
            && hva.is_some_and(|hva| {
                event.at.tsc < self.unsure_until
                    || self.openings.iter().any(|opening| opening.event.at.tid != event.at.tid && opening.covers(hva, level))
            });
        Some((key, Entry { gfn, hva, pfn: spte.pfn(), level, writable: spte.is_writable(), doubtful, event: *event }))
    }

    /// What the last event changed.
    #[must_use]
    pub const fn effects(&self) -> &Effects {
        &self.effects
    }

    /// Lets `event` happen.
    pub fn apply(&mut self, event: &KernelEvent) {
        self.effects.killed.clear();
        self.effects.installed = None;
        self.effects.returned = false;
        let tid = event.at.tid;
        match event.what {
            What::Enter { call, args } => {
                self.family.enters(tid, call);
                let thread = self.threads.entry(tid).or_default();
                thread.own |= !call.is_on_others();
                thread.call = Some(InCall { call, args, event: *event });
                if renews(call, &args) {
                    self.renewing.push(tid);
                    self.mirror.clear();
                }
            }
            What::Exit { call, ret } => {
                let thread = self.threads.entry(tid).or_default();
                thread.own |= !call.is_on_others();
                let ended = thread.call.take().filter(|entered| entered.call == call);
                self.effects.returned = ended.is_some();
                self.family.returns(tid, call, ended.map(|entered| entered.args), ret);
                if self.renewing.contains(&tid) {
                    self.renewing.retain(|renewing| *renewing != tid);
                    self.mirror.clear();
                }
            }
            What::NewTask { child, flags } => {
                self.family.born(tid, child, flags);
                self.threads.remove(&child);
            }
            What::Fault { .. } | What::Requested { .. } => self.threads.entry(tid).or_default().own = true,
            What::Unmap { start, end } => self.announce(event, start, end),
            What::RangeStart { mm, start, end, .. } => {
                if let Some(range) = pages_between(start, end) {
                    if self.is_asked_for(tid, range) {
                        self.family.has_mm(mm);
                    }
                    self.threads.entry(tid).or_default().ranges.push((range, *event));
                }
            }
            What::RangeEnd { start, end, .. } => {
                if let Some(range) = pages_between(start, end) {
                    self.threads.entry(tid).or_default().end(range);
                    self.over(tid, Some(range));
                }
            }
            What::SlotUnmap { start, end, .. } => self.begin(tid, start..end),
            // In place of the end of the range, which comes before it, where that was not recorded.
            What::End { .. } if !self.range_ends => self.over(tid, None),
            What::Set { .. } | What::Changed { .. } => self.install(event),
            What::FastFault { sptep, new, .. } => {
                self.mirror.permit(Key::shadow(sptep), new.is_writable());
            }
            What::Flush { .. } => {
                if let Some(opening) = self.openings.iter_mut().find(|opening| opening.event.at.tid == tid) {
                    opening.flushed = true;
                }
            }
            What::ZapTable { gfn, role } if self.mmu == Mmu::Shadow => {
                self.mirror.zap_table(gfn, role, &mut self.effects.killed);
            }
            What::ZapAll if self.mmu == Mmu::Shadow => self.mirror.clear(),
            What::SetMigration { hva, entry, order } => {
                let old = migration_target(entry);
                let page = hva.get() >> PAGE_SHIFT >> order << order;
                self.migrating.insert(page, Migrating { old, event: *event });
            }
            What::RemoveMigration { hva, .. } => {
                let page = hva.get() >> PAGE_SHIFT;
                self.migrating.remove(&page);
            }
            _ => {}
        }
    }

    fn announce(&mut self, event: &KernelEvent, start: Hva, end: Hva) {
        let Some(range) = pages_between(start, end) else { return };
        // What another process does to its own memory zaps nothing of this VM.
        if self.mmu == Mmu::Tdp && self.is_elsewhere(event.at.tid, range) {
            return;
        }
        if self.mmu == Mmu::Shadow {
            self.mirror.kill(range, &mut self.effects.killed);
        }
        self.openings.push(Opening { range, event: *event, zapped: 0, flushed: false });
    }

    /// Whether what a thread announces is another process's memory, at whatever address: processes that are alike have the same.
    fn is_elsewhere(&self, tid: Tid, range: HvaRange) -> bool {
        let thread = self.threads.get(&tid);
        let announced = thread.and_then(|thread| thread.ranges.iter().rfind(|(open, _)| *open == range));
        if let Some((_, KernelEvent { what: What::RangeStart { mm, .. }, .. })) = announced
            && self.family.knows_mm()
        {
            return self.family.is_others(*mm);
        }
        let on_others = thread.and_then(|thread| thread.call).is_some_and(|entered| entered.call.is_on_others());
        !self.family.is_own(tid) && !on_others
    }

    /// Whether a thread of the VM's process announces what its own call is to change.
    fn is_asked_for(&self, tid: Tid, range: HvaRange) -> bool {
        let Some(thread) = self.threads.get(&tid).filter(|thread| thread.own && self.family.is_own(tid)) else { return false };
        let Some(InCall { call, args: [start, bytes, ..], .. }) = thread.call else { return false };
        let asked = pages_between(Hva::new(start), Hva::new(start.saturating_add(bytes)));
        CHANGES.contains(&call.name()) && asked.is_some_and(|asked| asked.overlaps(range))
    }

    /// The invalidation of a range is not in progress any more, or may be over any moment.
    fn over(&mut self, tid: Tid, range: Option<HvaRange>) {
        self.windows.retain(|window| window.tid != tid || range.is_some_and(|range| window.announced != range));
    }

    /// KVM zaps part of a memslot, and has noted under the same lock that it is in progress: frame by frame only what it has come to so far
    /// (since Linux 6.8, `kvm_mmu_invalidate_range_add`). Between two memslots it may let go of the lock.
    fn begin(&mut self, tid: Tid, frames: Range<Gfn>) {
        let opening = self.openings.iter().find(|opening| opening.event.at.tid == tid);
        // Otherwise nobody would say when it is over.
        if self.ends_seen
            && let Some(opening) = opening
        {
            self.windows_seen += 1;
            self.windows.push(Window { tid, frames, announced: opening.range, event: opening.event });
        }
    }

    fn install(&mut self, event: &KernelEvent) {
        if let What::Changed { gfn, old, new, level, space } = event.what
            && old.is_leaf(level)
            && !(new.is_leaf(level) && new.pfn() == old.pfn())
        {
            let key = Key::tdp(space, level, gfn);
            // Of an obsolete root the entries go long after others have taken their place.
            if self.mirror.get(key).is_some_and(|entry| entry.pfn == old.pfn()) {
                self.effects.killed.extend(self.mirror.remove(key));
            }
            if let Some(opening) = self.openings.iter_mut().find(|opening| opening.event.at.tid == event.at.tid) {
                opening.zapped += 1;
                opening.flushed = false;
            }
        }
        if self.renewing.is_empty()
            && let Some((key, entry)) = self.coming.take()
        {
            self.mirror.insert(key, entry);
            self.effects.installed = Some(entry);
        }
    }

    /// The page under migration at an address, whatever its size.
    #[must_use]
    pub fn migrating(&self, hva: Hva) -> Option<&Migrating> {
        let page = hva.get() >> PAGE_SHIFT;
        self.migrating.get(&page).or_else(|| {
            self.migrating.get(&(page >> 9 << 9)).filter(|large| matches!(large.event.what, What::SetMigration { order: 9, .. }))
        })
    }
}

fn renews(call: Call, args: &[u64; 6]) -> bool {
    call.name() == "ioctl" && RENEWS.contains(&args[1])
}

/// The frame that a migration entry stands for, of a PTE or a PMD (`arch/x86/include/asm/pgtable_64.h`: five bits of type, then the
/// offset inverted down to bit 9; `include/linux/swapops.h`: the lower bits of the offset are the frame, those above say young and dirty).
#[must_use]
pub const fn migration_target(entry: u64) -> Pfn {
    // Frames of 46 bits of physical memory, the least that any kernel has.
    Pfn::new((!entry << 5 >> 14) & ((1 << 34) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_entry_names_its_frame() {
        // As Linux 6.18 wrote it for a page that KVM had installed as frame 0x13a298.
        assert_eq!(migration_target(0xf7ff_e7ff_d8ba_ce00), Pfn::new(0x13_a298));
    }

    #[test]
    fn ranges_are_of_whole_pages() {
        let range = pages_between(Hva::new(0x1001), Hva::new(0x2001)).expect("a range");
        assert_eq!((range.start(), range.pages()), (Hva::new(0x1000), 2));
        assert_eq!(pages_between(Hva::new(0x3000), Hva::new(0x1000)), None);
        assert!(pages_between(Hva::new(0), Hva::new(u64::MAX)).is_none());
    }
}
