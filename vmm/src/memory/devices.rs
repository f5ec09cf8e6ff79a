//! Host threads that write guest memory through the primary MMU, seen as a hypervisor sees its devices (vhost, say): no dirty log of
//! KVM's knows of their writes, so they keep one of their own, and when the guest is away they have to stop.

use crate::host::clock;
use nostale_notifier::{HvaRange, addr::PAGE_SIZE};
use std::{
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
    },
    time::{Duration, Instant},
};

/// Ticks of the time stamp counter, of which devices that are held back work in a part: a few milliseconds.
const PERIOD: u64 = 10_000_000;

/// The devices of one arena.
#[derive(Debug)]
pub struct Devices {
    /// How many want them to stand still.
    stopped: AtomicU32,
    busy: AtomicU32,
    /// For how many hundredths of the time nobody begins anything.
    held_back: AtomicU64,
    log: Vec<AtomicU64>,
    /// Places at which pages are, beside home: they have the same distances from each other.
    places: [HvaRange; 3],
}

/// A device at work, until it is dropped.
#[derive(Debug)]
pub struct AtWork<'a>(&'a AtomicU32);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}

/// Devices are stopped, until it and all others like it are dropped.
#[derive(Debug)]
pub struct Stopped<'a>(&'a Devices);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.stopped.fetch_sub(1, SeqCst);
    }
}

impl Devices {
    /// Devices of the arena whose pages are at one of `places`.
    pub(super) fn new(places: [HvaRange; 3]) -> Self {
        let words = places[0].pages().div_ceil(64);
        Self {
            stopped: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            held_back: AtomicU64::new(0),
            log: (0..words).map(|_| AtomicU64::new(0)).collect(),
            places,
        }
    }

    /// Begins a piece of work, or `None` while devices are stopped or held back.
    #[must_use]
    pub fn work(&self) -> Option<AtWork<'_>> {
        let held_back = self.held_back.load(Relaxed);
        if held_back > 0 && clock::now().0 % PERIOD < PERIOD / 100 * held_back {
            return None;
        }
        self.busy.fetch_add(1, SeqCst);
        let work = AtWork(&self.busy);
        // Whoever stops devices sets the flag before he looks who is busy.
        (self.stopped.load(SeqCst) == 0).then_some(work)
    }

    /// Holds devices back for so many hundredths of the time, as their guest is.
    pub fn hold_back(&self, hundredths: u64) {
        self.held_back.store(hundredths, Relaxed);
    }

    /// Page `page` was written: to be said after the write.
    pub fn wrote(&self, page: u64) {
        if let Some(word) = self.log.get((page / 64) as usize) {
            word.fetch_or(1 << (page % 64), AcqRel);
        }
    }

    /// Something was written at `at`, wherever the page is at the moment.
    pub(super) fn wrote_at(&self, at: nostale_notifier::Hva) {
        let offsets =
            self.places.iter().filter_map(|place| at.offset_from(place.start()).filter(|&offset| offset < place.bytes()));
        offsets.for_each(|offset| self.wrote(offset / PAGE_SIZE));
    }

    /// The pages that were written since the last harvest, 64 to a word. What is copied afterwards has those writes.
    #[must_use]
    pub fn harvest(&self) -> Vec<u64> {
        self.log.iter().map(|word| if word.load(Relaxed) == 0 { 0 } else { word.swap(0, AcqRel) }).collect()
    }

    /// Stops all of them, each at the end of a piece of work. `None` if one did not within `bound`; then all go on.
    #[must_use]
    pub fn stop(&self, bound: Duration) -> Option<Stopped<'_>> {
        self.stopped.fetch_add(1, SeqCst);
        let stopped = Stopped(self);
        let deadline = Instant::now() + bound;
        while self.busy.load(Acquire) > 0 {
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        Some(stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nostale_notifier::Hva;

    fn devices() -> Devices {
        Devices::new([0x10_0000, 0x20_0000, 0x30_0000].map(|at| HvaRange::new(Hva::new(at), 100).expect("aligned")))
    }

    #[test]
    fn a_write_is_in_the_next_harvest_and_in_no_other() {
        let devices = devices();
        devices.wrote(70);
        devices.wrote_at(Hva::new(0x20_1008));
        devices.wrote_at(Hva::new(0x50_0000));
        assert_eq!(devices.harvest(), [2, 1 << 6]);
        assert_eq!(devices.harvest(), [0, 0]);
    }

    #[test]
    fn stopping_waits_for_work_that_was_begun_and_lets_none_begin() {
        let devices = devices();
        let work = devices.work().expect("not stopped");
        assert!(devices.stop(Duration::from_millis(1)).is_none());
        drop(work);
        let stopped = devices.stop(Duration::from_millis(1)).expect("nobody works");
        assert!(devices.work().is_none());
        let again = devices.stop(Duration::from_millis(1)).expect("nobody works");
        drop(stopped);
        assert!(devices.work().is_none(), "somebody else still wants them to stand still");
        drop(again);
        assert!(devices.work().is_some());
    }
}
