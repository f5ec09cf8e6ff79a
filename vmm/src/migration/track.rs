//! Which pages a guest wrote: KVM's log or rings for its vCPUs, and the devices' own log for host threads.

use super::{
    MigrationError,
    memory::{Memory, Set},
    stream::Area,
};
use crate::machine::{Registered, Vm};
use nostale_notifier::addr::PAGE_SIZE;

/// Tracks what is written, until dropped.
pub(super) struct Tracker<'a> {
    vm: &'a Vm,
    memory: Memory<'a>,
    /// Each memslot, with the area that it shows and the first page of it.
    slots: Vec<(Registered, Area, u64)>,
}

impl<'a> Tracker<'a> {
    /// Begins. What was written before, nobody will hear of.
    pub(super) fn start(vm: &'a Vm, memory: Memory<'a>) -> Result<Self, MigrationError> {
        let slots = vm.memslots().all();
        let slots: Vec<_> =
            slots.into_iter().filter_map(|known| place(&memory, &known).map(|(area, first)| (known, area, first))).collect();
        let tracker = Self { vm, memory, slots };
        for (known, ..) in &tracker.slots {
            vm.memslots().change().set_log(known.id, true)?;
        }
        if let Some(devices) = memory.arena.devices() {
            let _ = devices.harvest();
        }
        Ok(tracker)
    }

    /// Whether what is written waits in rings, which somebody has to empty lest vCPUs stand still.
    pub(super) const fn has_rings(&self) -> bool {
        !self.vm.has_dirty_log()
    }

    /// The pages that were written since the last harvest. Whatever is copied *after* this has those writes, and writes that come later
    /// are in the next harvest.
    pub(super) fn harvest(&self) -> Result<Set, MigrationError> {
        let mut set = Set::none(&self.memory);
        if self.has_rings() {
            let found = self.vm.harvest().map_err(|errno| MigrationError::Kvm { call: "KVM_RESET_DIRTY_RINGS", errno })?;
            for dirty in found {
                if let Some((_, area, first)) = self.slots.iter().find(|(known, ..)| known.id == dirty.slot) {
                    set.insert(*area, first + dirty.page);
                }
            }
        } else {
            for (known, area, first) in &self.slots {
                let log = self.vm.memslots().dirty_log(known.id)?;
                log.pages().for_each(|page| set.insert(*area, first + page));
            }
        }
        if let Some(devices) = self.memory.arena.devices() {
            for (at, word) in devices.harvest().into_iter().enumerate() {
                (0..64).filter(|bit| word >> bit & 1 == 1).for_each(|bit| set.insert(Area::Arena, at as u64 * 64 + bit));
            }
        }
        Ok(set)
    }
}

impl Drop for Tracker<'_> {
    fn drop(&mut self) {
        for (known, ..) in &self.slots {
            // It costs a fault for each page written if it stays on, and nothing else.
            let _ = self.vm.memslots().change().set_log(known.id, false);
        }
        if self.has_rings() {
            // Entries that nobody took would be taken for the next migration's.
            let _ = self.vm.harvest();
        }
    }
}

/// The area that a memslot shows, and the first page of it.
fn place(memory: &Memory<'_>, known: &Registered) -> Option<(Area, u64)> {
    let start = known.slot.hva().start();
    [Area::Arena, Area::System].into_iter().find_map(|area| {
        let range = memory.range(area)?;
        let offset = start.offset_from(range.start()).filter(|&offset| offset < range.bytes())?;
        Some((area, offset / PAGE_SIZE))
    })
}
