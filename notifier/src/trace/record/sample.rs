//! Looks at the primary MMU: what a few pages of the VM's memory are mapped to, again and again at random places.

use super::{
    super::event::{PrimarySample, SlotMap},
    host,
};
use crate::{
    Hva,
    addr::{PAGE_SIZE, PMD_SIZE},
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::{
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

/// How old mappings may be, and the descriptor: it belongs to the program that ran when it was opened, not to the one that was executed
/// after it.
const FRESH: Duration = Duration::from_secs(1);

/// What looks.
#[derive(Debug)]
pub(super) struct Sampler {
    pid: i32,
    every: Duration,
    next: Instant,
    pagemap: Option<File>,
    /// Where guest memory may lie.
    places: Vec<Range<u64>>,
    /// Whether the VMM has said where it does.
    told: bool,
    fresh_until: Instant,
    random: Xoshiro256PlusPlus,
}

impl Sampler {
    pub(super) fn new(pid: i32, every: Duration) -> Self {
        let now = Instant::now();
        let random = Xoshiro256PlusPlus::seed_from_u64(host::now().0);
        Self { pid, every, next: now, pagemap: None, places: Vec::new(), told: false, fresh_until: now, random }
    }

    /// Guest memory lies there.
    pub(super) fn told(&mut self, slots: &[SlotMap]) {
        let place = |slot: &SlotMap| {
            let start = slot.hva.get();
            start..start.saturating_add(slot.pages.saturating_mul(PAGE_SIZE))
        };
        self.places = slots.iter().map(place).filter(|place| !place.is_empty()).collect();
        self.told = !slots.is_empty();
        self.fresh_until = Instant::now();
    }

    /// Looks, if it is time and there is anything to see.
    pub(super) fn poll(&mut self) -> Option<PrimarySample> {
        let now = Instant::now();
        if now < self.next {
            return None;
        }
        self.next = now + self.every;
        if now >= self.fresh_until {
            self.pagemap = File::open(format!("/proc/{}/pagemap", self.pid)).ok();
            if !self.told {
                self.places = large(&fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap_or_default());
            }
            self.fresh_until = now + FRESH;
        }
        let place = block(&self.places, |all| self.random.random_range(0..all))?;
        let pages = (place.end - place.start) / PAGE_SIZE;
        let mut bytes = vec![0; pages as usize * size_of::<u64>()];
        let from = host::now();
        let read = self.pagemap.as_ref()?.read_at(&mut bytes, place.start / PAGE_SIZE * size_of::<u64>() as u64).ok()?;
        let to = host::now();
        let entries: Vec<_> = bytes[..read].as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        (!entries.is_empty()).then_some(PrimarySample { from, to, start: Hva::new(place.start), entries })
    }
}

/// Mappings that can be written and are as large as guest memory is.
fn large(maps: &str) -> Vec<Range<u64>> {
    let mapping = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        (words.next()?.as_bytes().get(1) == Some(&b'w') && range.end.saturating_sub(range.start) >= PMD_SIZE).then_some(range)
    };
    maps.lines().filter_map(mapping).collect()
}

/// One of the blocks that a PMD maps, or as much of it as is there, each page of all places as likely as any other.
fn block(places: &[Range<u64>], random: impl FnOnce(u64) -> u64) -> Option<Range<u64>> {
    let size = |place: &Range<u64>| place.end.saturating_sub(place.start);
    let all: u64 = places.iter().map(size).fold(0, u64::saturating_add);
    if all == 0 {
        return None;
    }
    let mut at = random(all);
    for place in places {
        if at < size(place) {
            let start = (place.start + at) / PMD_SIZE * PMD_SIZE;
            return Some(start.max(place.start)..start.saturating_add(PMD_SIZE).min(place.end));
        }
        at -= size(place);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_mappings_that_can_be_written() {
        let maps = "00400000-00800000 r-xp 0 0:0 0\n7f0000000000-7f0000400000 rw-p 0 0:0 0 /memfd:guest (deleted)\n\
            7f1000000000-7f1000001000 rw-p 0 0:0 0\nbad\n7f2000000000-7f2000200000 -w-s 0 0:0 0\n";
        assert_eq!(large(maps), [0x7f00_0000_0000..0x7f00_0040_0000, 0x7f20_0000_0000..0x7f20_0020_0000]);
    }

    #[test]
    fn blocks_are_aligned_and_stay_inside() {
        let places = [0x10_0000..0x30_1000, 0x100_0000..0x100_2000];
        let at = |random| {
            block(&places, |all| {
                assert_eq!(all, 0x20_3000);
                random
            })
        };
        assert_eq!(at(0), Some(0x10_0000..0x20_0000), "what lies before is not its own");
        assert_eq!(at(0x10_0000), Some(0x20_0000..0x30_1000));
        assert_eq!(at(0x20_0fff), Some(0x20_0000..0x30_1000));
        assert_eq!(at(0x20_1000), Some(0x100_0000..0x100_2000));
        assert_eq!(block(&[], |_| 0), None);
    }

    #[test]
    fn this_process_is_seen() {
        let mut memory = vec![0u8; 8 << 20];
        memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        let mut sampler = Sampler::new(std::process::id() as i32, Duration::ZERO);
        let hva = Hva::new((memory.as_ptr() as u64).next_multiple_of(PMD_SIZE));
        sampler.told(&[SlotMap { gfn: crate::trace::event::Gfn(0), pages: 512, hva }]);
        let Some(sample) = sampler.poll() else { panic!("its own pagemap") };
        assert_eq!((sample.start, sample.entries.len()), (hva, 512));
        assert!(sample.from < sample.to);
        // bit 63: present; frames are only told to root
        assert!(sample.entries.iter().all(|entry| entry >> 63 == 1), "all of it was written");
    }
}
