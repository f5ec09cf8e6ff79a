//! The exact set of visited states: every state once, in an arena in the order of discovery, and a table of hashes to find it.
//!
//! Shared by all workers without locks: a state is written first, and then its slot is claimed. Growth needs the store alone.

use std::sync::atomic::{AtomicU64, Ordering};

use super::mem::{prefetch, zeroed};

/// Index bits of a slot; the rest is a tag, of the hash.
const INDEX_BITS: u32 = 40;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
/// The first table.
const FIRST_SLOTS: usize = 1 << 12;
/// Up to here the table grows faster.
const SMALL_SLOTS: usize = 1 << 20;

/// States of `W` words. Indexes count from 0.
pub(super) struct Store<const W: usize> {
    segments: Vec<Segment>,
    /// `tag << INDEX_BITS | index + 1`, or 0.
    slots: Box<[AtomicU64]>,
}

/// A part of the arena. Each is as large as all before it together, or larger, so there are few.
struct Segment {
    first: u64,
    words: Box<[AtomicU64]>,
}

/// What a search for a state came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// It is there already.
    Old,
    /// It was not there, and is now.
    New,
}

/// The states that a table of this size takes: three of four slots.
fn capacity(slots: usize) -> u64 {
    slots as u64 / 4 * 3
}

fn next_size(slots: usize) -> usize {
    if slots < SMALL_SLOTS { slots * 4 } else { slots * 2 }
}

/// A hash of a state: its lower bits choose the slot, its upper bits are the tag.
#[inline(always)]
pub(super) fn hash<const W: usize>(state: &[u64; W]) -> u64 {
    const KEYS: [u64; 4] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3];
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let mut sum = KEYS[3];
    let mut word = 0;
    while word < W {
        let second = if word + 1 < W { state[word + 1] } else { 0 };
        sum = fold(state[word] ^ KEYS[0] ^ sum, second ^ KEYS[1]).wrapping_add(sum.rotate_left(23));
        word += 2;
    }
    fold(sum ^ KEYS[2], KEYS[0])
}

/// A packed state as a key of the standard maps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key<const W: usize>(pub(super) [u64; W]);

impl<const W: usize> std::hash::Hash for Key<W> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(hash(&self.0));
    }
}

/// Takes a [`Key`]'s hash as it is.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct AsItIs(u64);

impl std::hash::Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A map from packed states.
pub(super) type KeyMap<const W: usize, T> = std::collections::HashMap<Key<W>, T, std::hash::BuildHasherDefault<AsItIs>>;

impl<const W: usize> Store<W> {
    pub(super) fn new() -> Store<W> {
        let mut store = Store { segments: Vec::new(), slots: zeroed(FIRST_SLOTS) };
        store.extend();
        store
    }

    /// How many states fit before the store should grow.
    fn capacity(&self) -> u64 {
        capacity(self.slots.len())
    }

    /// How many more fit, for indexes that workers have set aside and may not use.
    pub(super) fn slack(&self) -> u64 {
        self.capacity() / 32
    }

    /// One past the last index that can be used.
    pub(super) fn end(&self) -> u64 {
        self.capacity() + self.slack()
    }

    /// The memory that so many states take, at the worst time until then. Bytes.
    pub(super) fn bytes(states: u64) -> u64 {
        let mut slots = FIRST_SLOTS;
        while capacity(slots) < states {
            slots = next_size(slots);
        }
        states * W as u64 * 8 + slots as u64 * 8
    }

    /// The most states that so much memory holds. There are not more of them than indexes.
    pub(super) fn states_in(bytes: u64) -> u64 {
        let bytes = bytes.min(INDEX_MASK * 8);
        let (mut slots, mut states) = (FIRST_SLOTS, 0);
        while let Some(room) = bytes.checked_sub(slots as u64 * 8) {
            let fit = capacity(slots).min(room / (W as u64 * 8));
            if fit <= states {
                break;
            }
            states = fit;
            slots = next_size(slots);
        }
        states
    }

    /// Lets the arena take what the table takes.
    fn extend(&mut self) {
        let first = self.segments.last().map_or(0, |last| last.first + (last.words.len() / W) as u64);
        let states = (self.capacity() + self.slack() - first) as usize;
        self.segments.push(Segment { first, words: zeroed(states * W) });
    }

    /// Makes room. The old table goes first: the states themselves are all that is needed to fill the new one, which
    /// [`Store::refill`] has to do next, with all indexes in use.
    pub(super) fn grow(&mut self) {
        let slots = next_size(self.slots.len());
        self.slots = Box::new([]);
        self.slots = zeroed(slots);
        self.extend();
    }

    #[inline(always)]
    fn words(&self, index: u64) -> &[AtomicU64] {
        // As segments double in size, the last one holds half of the states, the one before a quarter, and so on.
        let mut at = self.segments.len() - 1;
        while self.segments[at].first > index {
            at -= 1;
        }
        let segment = &self.segments[at];
        let start = (index - segment.first) as usize * W;
        &segment.words[start..start + W]
    }

    /// A state by its index.
    #[inline(always)]
    pub(super) fn get(&self, index: u64) -> [u64; W] {
        let words = self.words(index);
        std::array::from_fn(|word| words[word].load(Ordering::Relaxed))
    }

    /// The slot at which the search for a hash begins.
    #[inline(always)]
    pub(super) fn home(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    #[inline(always)]
    pub(super) fn prefetch_slot(&self, hash: u64) {
        prefetch(&self.slots[self.home(hash)]);
    }

    /// Goes to the first slot that is empty or has the hash's tag, asks for the state that it names, and returns the slot.
    #[inline(always)]
    pub(super) fn approach(&self, hash: u64) -> usize {
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at].load(Ordering::Relaxed);
            if slot == 0 {
                return at;
            }
            if slot >> INDEX_BITS == hash >> INDEX_BITS {
                prefetch(&self.words((slot & INDEX_MASK) - 1)[0]);
                return at;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Looks for a state from a slot on, which [`Store::approach`] gave, and puts it at `index` if it is new. With `ALONE`, no
    /// other worker uses the store.
    #[inline(always)]
    pub(super) fn insert<const ALONE: bool>(&self, mut at: usize, hash: u64, state: &[u64; W], index: u64) -> Found {
        let tag = hash >> INDEX_BITS;
        let mut written = false;
        loop {
            let mut slot = self.slots[at].load(Ordering::Acquire);
            if slot == 0 {
                if !written {
                    for (word, value) in self.words(index).iter().zip(state) {
                        word.store(*value, Ordering::Relaxed);
                    }
                    written = true;
                }
                let new = tag << INDEX_BITS | (index + 1);
                if ALONE {
                    self.slots[at].store(new, Ordering::Relaxed);
                    return Found::New;
                }
                match self.slots[at].compare_exchange(0, new, Ordering::Release, Ordering::Acquire) {
                    Ok(_) => return Found::New,
                    Err(other) => slot = other,
                }
            }
            if slot >> INDEX_BITS == tag && self.get((slot & INDEX_MASK) - 1) == *state {
                return Found::Old;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The index of a state, if it is there.
    pub(super) fn find(&self, state: &[u64; W]) -> Option<u64> {
        let hash = hash(state);
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at].load(Ordering::Acquire);
            if slot == 0 {
                return None;
            }
            let index = (slot & INDEX_MASK).wrapping_sub(1);
            if slot >> INDEX_BITS == hash >> INDEX_BITS && self.get(index) == *state {
                return Some(index);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Enters states into a new table, all of which differ.
    pub(super) fn refill<const ALONE: bool>(&self, indexes: std::ops::Range<u64>) {
        const AHEAD: usize = 32;
        let mut waiting = [(0, 0); AHEAD];
        for (count, index) in indexes.clone().enumerate() {
            let hash = hash(&self.get(index));
            self.prefetch_slot(hash);
            let (old, earlier) = std::mem::replace(&mut waiting[count % AHEAD], (hash, index));
            if count >= AHEAD {
                self.enter::<ALONE>(old, earlier);
            }
        }
        let count = (indexes.end - indexes.start) as usize;
        waiting[..count.min(AHEAD)].iter().for_each(|&(hash, index)| self.enter::<ALONE>(hash, index));
    }

    fn enter<const ALONE: bool>(&self, hash: u64, index: u64) {
        let new = hash >> INDEX_BITS << INDEX_BITS | (index + 1);
        let mut at = self.home(hash);
        loop {
            if self.slots[at].load(Ordering::Relaxed) == 0 {
                if ALONE {
                    return self.slots[at].store(new, Ordering::Relaxed);
                }
                if self.slots[at].compare_exchange(0, new, Ordering::Release, Ordering::Relaxed).is_ok() {
                    return;
                }
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}
