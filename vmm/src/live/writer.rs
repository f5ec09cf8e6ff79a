//! Host writers: host threads that visit the same pages through the primary MMU, and count like vCPUs do.

use crate::{
    machine::AWAY,
    memory::{Arena, Primary, System},
};
use nostale_guest::{
    page::{LINES, VALUE, counter_offset},
    walk::Walk,
};
use nostale_notifier::Hva;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Relaxed, Release},
};

/// One host writer.
#[derive(Debug)]
pub(super) struct HostWriter {
    /// Which of them, of how many: each publishes values for its own share of the pages.
    pub(super) number: u64,
    pub(super) of: u64,
    /// Whether host values keep their place (no operation replaces pages).
    pub(super) values: bool,
    /// The planted fault: publish, but do not write.
    pub(super) lies: bool,
    /// Visits to each page.
    pub(super) tally: Vec<AtomicU32>,
    /// Visits.
    pub(super) visits: AtomicU64,
    /// Accesses that met a page which was away.
    pub(super) faults: AtomicU64,
}

impl HostWriter {
    /// Visits pages until `stop`, and ends with a whole visit.
    pub(super) fn run(&self, arena: &Arena, system: &System, seed: u64, stop: &AtomicBool) {
        let control = system.control();
        let mut walk = Walk::new(seed, arena.pages());
        let mut value = 0;
        while !stop.load(Relaxed) {
            let page = walk.next(|| (control.hot_start.load(Relaxed), control.hot_pages.load(Relaxed)));
            self.visit(arena, page);
            if self.values && page % self.of == self.number {
                value += 1;
                self.publish(arena, system, page, value);
            }
        }
    }

    fn visit(&self, arena: &Arena, page: u64) {
        for line in 0..LINES {
            self.until_there(
                |primary| {
                    let at = Hva::new(arena.hva(page).get() + counter_offset(line));
                    // SAFETY: an arena page at home, or nothing.
                    unsafe { primary.increment(at) }
                },
                arena.primary(),
            );
        }
        self.tally[page as usize].fetch_add(1, Relaxed);
        self.visits.fetch_add(1, Relaxed);
    }

    fn publish(&self, arena: &Arena, system: &System, page: u64, value: u64) {
        if !self.lies {
            self.until_there(|_| arena.store_word(arena.hva(page), VALUE, value), arena.primary());
        }
        system.boards()[page as usize].value.store(value, Release);
    }

    /// Tries until the page is back: operations bring every page back, and are stopped before writers are.
    fn until_there<E>(&self, mut access: impl FnMut(Primary) -> Result<(), E>, primary: Primary) {
        while access(primary).is_err() {
            self.faults.fetch_add(1, Relaxed);
            std::thread::sleep(AWAY);
        }
    }
}

/// The planted fault *old copy*: remembers counters of hot pages and writes them back a little later.
pub(super) fn restore_old_copies(arena: &Arena, system: &System, stop: &AtomicBool) {
    let control = system.control();
    while !stop.load(Relaxed) {
        let hot = control.hot_start.load(Relaxed);
        let hot = hot..(hot + control.hot_pages.load(Relaxed).min(64)).min(arena.pages());
        let places: Vec<Hva> = hot.map(|page| Hva::new(arena.hva(page).get() + counter_offset(0))).collect();
        let old: Vec<_> = places.iter().map(|&at| arena.primary().load(at)).collect();
        std::thread::sleep(AWAY);
        for (at, old) in places.into_iter().zip(old) {
            if let Ok(old) = old {
                // SAFETY: an arena page at home, or nothing.
                let _ = unsafe { arena.primary().store(at, old) };
            }
        }
    }
}
