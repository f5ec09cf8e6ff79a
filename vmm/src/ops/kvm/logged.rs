//! What the dirty log and the dirty ring have in common: memslots of the arena that log, and the pages that must be in the log.

use crate::{
    machine::{Registered, SlotError, SlotId, Vm},
    memory::System,
    ops::{Bed, Rng},
    oracle::dirty::Written,
};
use nostale_notifier::addr::PAGE_SIZE;
use rand::RngExt;
use std::time::{Duration, Instant};

/// Pages of the hot set that are watched.
const HOT: u64 = 64;
/// Others beside them.
const OTHERS: usize = 64;
/// How long to wait for more writes that must be in the log, and for any: under emulation the guest is that slow.
const PATIENCE: Duration = Duration::from_millis(20);
const PATIENCE_FOR_ANY: Duration = Duration::from_millis(200);
/// An operation that has judged something and is as old ends, however many readings it was to make.
pub(super) const LONG: Duration = Duration::from_millis(100);
/// As many pages are enough, at most.
const ENOUGH: usize = 8;

/// The memslots of the arena, with the log on; it is off again when this is dropped.
pub(super) struct Logged<'a> {
    vm: &'a Vm,
    slots: Vec<Registered>,
}

impl<'a> Logged<'a> {
    /// Turns the log of all memslots on that show the arena.
    pub(super) fn on(vm: &'a Vm, bed: &Bed<'_>) -> Result<Self, SlotError> {
        let slots = vm.memslots().over(bed.arena.home());
        // Dropped, and so turned off again, if one is refused.
        let logged = Self { vm, slots };
        let mut change = vm.memslots().change();
        logged.slots.iter().try_for_each(|known| change.set_log(known.id, true))?;
        drop(change);
        Ok(logged)
    }

    /// The memslots.
    pub(super) fn slots(&self) -> &[Registered] {
        &self.slots
    }

    /// The arena page that is page `page` of a memslot.
    pub(super) fn arena_page(&self, bed: &Bed<'_>, id: SlotId, page: u64) -> Option<u64> {
        let known = self.slots.iter().find(|known| known.id == id)?;
        arena_page(bed, known, page)
    }
}

impl Drop for Logged<'_> {
    fn drop(&mut self) {
        let mut change = self.vm.memslots().change();
        for known in &self.slots {
            // Only a memslot that is gone refuses, and then there is nothing to turn off.
            let _ = change.set_log(known.id, false);
        }
    }
}

/// The arena page that is page `page` of a memslot of the arena.
pub(super) fn arena_page(bed: &Bed<'_>, known: &Registered, page: u64) -> Option<u64> {
    let at = known.slot.hva().part(page, 1)?.start();
    Some(at.offset_from(bed.arena.home().start())? / PAGE_SIZE).filter(|&page| page < bed.arena.pages())
}

/// Begins to watch what is written: mostly where writers are.
pub(super) fn watch(bed: &Bed<'_>, rng: &mut Rng) -> Written {
    let mut pages = vec![0; OTHERS];
    bed.hot_pages(rng, &mut pages);
    let hot = bed.system.control().hot_start.load(std::sync::atomic::Ordering::Relaxed);
    pages.extend(hot..(hot + HOT).min(bed.arena.pages()));
    pages.extend((0..OTHERS).map(|_| rng.random_range(0..bed.arena.pages())));
    pages.sort_unstable();
    pages.dedup();
    Written::since(bed.system, pages)
}

/// Waits until some of the watched pages must be in the log, but not for long; gives them.
pub(super) fn await_writes(system: &System, written: &Written, rng: &mut Rng, mut meanwhile: impl FnMut()) -> Vec<u64> {
    let enough = rng.random_range(1..=ENOUGH);
    let begin = Instant::now();
    loop {
        let must = written.must_be_dirty(system);
        let patience = if must.is_empty() { PATIENCE_FOR_ANY } else { PATIENCE };
        if must.len() >= enough || begin.elapsed() >= patience {
            return must;
        }
        meanwhile();
        std::thread::sleep(crate::machine::AWAY);
    }
}
