//! Where in the address space an arena lives: far from everything else.
//!
//! An operation such as `mremap` leaves a hole where guest memory was, and comes back with `MREMAP_FIXED`. Were the hole where
//! the kernel places ordinary mappings, another thread's `mmap` could land in it, the guest would write there through its
//! memslot, and the way back would destroy it. The kernel fills the address space from one end (`vm_unmapped_area`: top-down
//! from the stack, or bottom-up from a third of it, 42 TiB), and zones lie below both, from 16 to 40 TiB.

use nostale_notifier::{Hva, HvaRange};
use std::sync::Mutex;

const FIRST: u64 = 0x1000_0000_0000;
const SIZE: u64 = 1 << 40;
const COUNT: u64 = 24;
/// Offsets of the places where pages wait while they are not at home.
const AWAY: u64 = 1 << 38;
const ASIDE: u64 = 1 << 39;

static TAKEN: Mutex<u64> = Mutex::new(0);

/// A piece of the address space for one arena; everything mapped in it goes when it is dropped.
#[derive(Debug)]
pub struct Zone {
    number: u64,
}

impl Zone {
    /// Takes a free zone, or `None` when this process holds all of them.
    #[must_use]
    pub fn take() -> Option<Self> {
        let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let number = u64::from((!*taken).trailing_zeros());
        if number >= COUNT {
            return None;
        }
        *taken |= 1 << number;
        Some(Self { number })
    }

    fn base(&self) -> u64 {
        FIRST + self.number * SIZE
    }

    /// Where the guest's pages are at home: PMD-aligned, with free space on both sides.
    #[must_use]
    pub fn home(&self) -> Hva {
        Hva::new(self.base() + (1 << 30))
    }

    /// Where they are put for a while: PMD-aligned; `None` if `pages` need more room than there is.
    #[must_use]
    pub fn away(&self, pages: u64) -> Option<HvaRange> {
        self.place(AWAY, pages)
    }

    /// A second such place.
    #[must_use]
    pub fn aside(&self, pages: u64) -> Option<HvaRange> {
        self.place(ASIDE, pages)
    }

    /// Whether `at` lies in this zone.
    #[must_use]
    pub fn contains(&self, at: Hva) -> bool {
        at.offset_from(Hva::new(self.base())).is_some_and(|offset| offset < SIZE)
    }

    fn place(&self, offset: u64, pages: u64) -> Option<HvaRange> {
        let range = HvaRange::new(Hva::new(self.base() + offset), pages)?;
        (range.bytes() < ASIDE - AWAY).then_some(range)
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        // SAFETY: only this zone's owner maps anything here, and the owner is gone.
        unsafe { libc::munmap(self.base() as *mut libc::c_void, SIZE as usize) };
        *TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner) &= !(1 << self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_disjoint_and_come_back() {
        let (a, b) = (Zone::take().expect("free"), Zone::take().expect("free"));
        assert_ne!(a.home(), b.home());
        let home = b.home();
        drop(b);
        assert_eq!(Zone::take().expect("free").home(), home);
        assert!(a.away(SIZE / 4096).is_none());
    }
}
