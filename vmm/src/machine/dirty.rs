//! The dirty log of memslots: a bit for each page that was written since the bit was last cleared.

use super::{
    slot::{SlotId, Tracking},
    slots::{Memslots, SlotError},
};
use kvm_bindings::{
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_INITIALLY_SET, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, kvm_clear_dirty_log,
    kvm_clear_dirty_log__bindgen_ty_1, kvm_enable_cap,
};
use nix::errno::Errno;
use std::{ops::Range, os::fd::AsRawFd};

nix::ioctl_readwrite!(clear_dirty_log, kvm_bindings::KVMIO, 0xc0, kvm_clear_dirty_log);

/// Who clears the log, and how it begins. It holds for memslots whose log is turned on from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearing {
    /// Reading it does (`KVM_GET_DIRTY_LOG` write-protects what it reports).
    ByReading,
    /// `KVM_CLEAR_DIRTY_LOG` does (`KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE`); it begins empty, with every page write-protected.
    ByHand,
    /// The same, and it begins full, with no page write-protected (`KVM_DIRTY_LOG_INITIALLY_SET`).
    ByHandFromFull,
}

impl Clearing {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::ByReading, Self::ByHand, Self::ByHandFromFull];
}

/// The pages of a memslot that were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    /// An empty one for so many pages.
    #[must_use]
    pub fn new(pages: u64) -> Self {
        Self { words: vec![0; pages.div_ceil(64) as usize] }
    }

    /// Whether page `page` of the memslot is in it.
    #[must_use]
    pub fn contains(&self, page: u64) -> bool {
        self.words.get((page / 64) as usize).is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    /// Puts a page in.
    pub fn insert(&mut self, page: u64) {
        if let Some(word) = self.words.get_mut((page / 64) as usize) {
            *word |= 1 << (page % 64);
        }
    }

    /// Takes a page out.
    pub fn remove(&mut self, page: u64) {
        if let Some(word) = self.words.get_mut((page / 64) as usize) {
            *word &= !(1 << (page % 64));
        }
    }

    /// Puts all pages of another in.
    pub fn merge(&mut self, other: &Self) {
        self.words.resize(self.words.len().max(other.words.len()), 0);
        self.words.iter_mut().zip(&other.words).for_each(|(word, more)| *word |= more);
    }

    /// Pages in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The pages in it.
    pub fn pages(&self) -> impl Iterator<Item = u64> {
        let bits =
            |(at, &word): (usize, &u64)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at as u64 * 64 + bit);
        self.words.iter().enumerate().flat_map(bits)
    }
}

impl Memslots {
    /// Says who clears logs that are turned on from now on.
    ///
    /// # Errors
    /// Kernels before 5.0 have no other way than [`Clearing::ByReading`].
    pub fn set_clearing(&self, clearing: Clearing) -> Result<(), Errno> {
        let manual = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
        let flags = match clearing {
            Clearing::ByReading => 0,
            Clearing::ByHand => manual,
            Clearing::ByHandFromFull => manual | KVM_DIRTY_LOG_INITIALLY_SET,
        };
        let mut enable = kvm_enable_cap { cap: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, ..kvm_enable_cap::default() };
        enable.args[0] = flags.into();
        self.vm().enable_cap(&enable).map_err(|error| Errno::from_raw(error.errno()))
    }

    /// Reads the log of a memslot, which must be on.
    ///
    /// # Errors
    /// What KVM says.
    pub fn dirty_log(&self, id: SlotId) -> Result<Bitmap, SlotError> {
        let slot = self.get(id)?.slot;
        let words = self.vm().get_dirty_log(id.0, slot.hva().bytes() as usize).map_err(|error| SlotError::Refused {
            call: "KVM_GET_DIRTY_LOG",
            what: "read the log of",
            id,
            slot,
            errno: Errno::from_raw(error.errno()),
        })?;
        Ok(Bitmap { words })
    }

    /// Clears the bits of `bitmap` in a memslot's log, among `pages` of it, and write-protects those pages. KVM wants both ends to
    /// be multiples of 64, or the end of the slot: the range is widened to that.
    ///
    /// # Errors
    /// What KVM says.
    pub fn clear_dirty_log(&self, id: SlotId, pages: Range<u64>, bitmap: &Bitmap) -> Result<(), SlotError> {
        let slot = self.get(id)?.slot;
        let (first, end) = (pages.start / 64 * 64, pages.end.next_multiple_of(64).min(slot.pages()));
        let words = (first / 64) as usize..bitmap.words.len().min(end.div_ceil(64) as usize);
        let (false, Some(words)) = (first >= end, bitmap.words.get(words)) else { return Ok(()) };
        // A bitmap that is shorter than the range ends the range.
        let end = end.min(first + words.len() as u64 * 64);
        let mut words = words.to_vec();
        let mut clear = kvm_clear_dirty_log {
            slot: id.0,
            num_pages: (end - first) as u32,
            first_page: first,
            __bindgen_anon_1: kvm_clear_dirty_log__bindgen_ty_1 { dirty_bitmap: words.as_mut_ptr().cast() },
        };
        // SAFETY: KVM reads `num_pages` bits of `words`, which has as many and lives through the call.
        let cleared = unsafe { clear_dirty_log(self.vm().as_raw_fd(), &raw mut clear) };
        let refused = |errno| SlotError::Refused { call: "KVM_CLEAR_DIRTY_LOG", what: "clear the log of", id, slot, errno };
        cleared.map(|_| ()).map_err(refused)
    }
}

/// Whether this way of tracking leaves the log of memslots readable.
#[must_use]
pub(super) const fn has_log(tracking: Option<Tracking>) -> bool {
    !matches!(tracking, Some(Tracking::Ring { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_holds_what_was_put_in() {
        let mut bitmap = Bitmap::new(130);
        for page in [0, 63, 64, 129] {
            bitmap.insert(page);
        }
        bitmap.remove(63);
        assert_eq!(bitmap.pages().collect::<Vec<_>>(), [0, 64, 129]);
        assert_eq!((bitmap.count(), bitmap.contains(129), bitmap.contains(63)), (3, true, false));
        bitmap.insert(1 << 40);
        assert!(!bitmap.contains(1 << 40), "there is no such page");
        let mut sum = Bitmap::new(0);
        sum.merge(&bitmap);
        assert_eq!(sum.count(), 3);
    }
}
