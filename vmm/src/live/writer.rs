//! Host writers: host threads that visit the same pages through the primary MMU, and count like vCPUs do.

use crate::{
    machine::AWAY,
    memory::{Arena, Devices, Fault, System},
};
use nostale_guest::{
    page::{LINES, VALUE, counter_offset},
    walk::{Habit, Walk},
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
    number: u64,
    of: u64,
    /// Whether host values keep their place (no operation replaces pages).
    values: bool,
    /// The planted fault: publish, but do not write.
    lies: bool,
    /// Visits to each page.
    pub(super) tally: Vec<AtomicU32>,
    /// Visits.
    pub(super) visits: AtomicU64,
    /// The page that it could not reach in the end, plus 1.
    gave_up: AtomicU64,
}

/// The writer was told to stop, and still cannot reach a page.
struct GaveUp;

/// Tries after which a writer that was told to stop gives a page up: operations have brought every page back by then.
const LAST_TRIES: u32 = 1000;

impl HostWriter {
    pub(super) fn new(number: u64, of: u64, pages: u64, values: bool, lies: bool) -> Self {
        let tally = (0..pages).map(|_| AtomicU32::new(0)).collect();
        Self { number, of, values, lies, tally, visits: AtomicU64::new(0), gave_up: AtomicU64::new(0) }
    }

    /// The page that it could not reach in the end, if any.
    pub(super) fn gave_up(&self) -> Option<u64> {
        self.gave_up.load(Relaxed).checked_sub(1)
    }

    /// Visits pages until `stop`, and ends with a whole visit if it can.
    pub(super) fn run(&self, arena: &Arena, system: &System, seed: u64, stop: &AtomicBool) {
        let control = system.control();
        let mut walk = Walk::new(seed, arena.pages(), Habit::Roams);
        let mut value = 0;
        while !stop.load(Relaxed) {
            let page = walk.next(|| (control.hot_start.load(Relaxed), control.hot_pages.load(Relaxed)));
            // While the guest is elsewhere nobody may write its memory here.
            let work = arena.devices().map(Devices::work);
            if let Some(None) = work {
                std::thread::sleep(AWAY);
                continue;
            }
            let visited = self.visit(arena, page, stop).and_then(|()| {
                if self.values && page % self.of == self.number {
                    value += 1;
                    self.publish(arena, system, page, value, stop)?;
                }
                Ok(())
            });
            if visited.is_err() {
                self.gave_up.store(page + 1, Relaxed);
                return;
            }
        }
    }

    fn visit(&self, arena: &Arena, page: u64, stop: &AtomicBool) -> Result<(), GaveUp> {
        for line in 0..LINES {
            let at = Hva::new(arena.hva(page).get() + counter_offset(line));
            // SAFETY: an arena page at home, or nothing.
            until_there(stop, || unsafe { arena.primary().increment(at) })?;
        }
        if let Some(devices) = arena.devices() {
            devices.wrote(page);
        }
        self.tally[page as usize].fetch_add(1, Relaxed);
        self.visits.fetch_add(1, Relaxed);
        Ok(())
    }

    fn publish(&self, arena: &Arena, system: &System, page: u64, value: u64, stop: &AtomicBool) -> Result<(), GaveUp> {
        if !self.lies {
            until_there(stop, || arena.store_word(arena.hva(page), VALUE, value))?;
        }
        system.boards()[page as usize].value.store(value, Release);
        Ok(())
    }
}

/// Tries until the page is back.
fn until_there(stop: &AtomicBool, mut access: impl FnMut() -> Result<(), Fault>) -> Result<(), GaveUp> {
    let mut left = LAST_TRIES;
    while access().is_err() {
        if stop.load(Relaxed) {
            left = left.checked_sub(1).ok_or(GaveUp)?;
        }
        std::thread::sleep(AWAY);
    }
    Ok(())
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
