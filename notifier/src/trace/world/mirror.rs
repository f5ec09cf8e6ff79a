//! The secondary MMU as its events tell: which entries it must be taken to hold.
//!
//! With shadow paging, KVM drops entries without a word (it says when it begins to zap a range, not what it finds there), so an entry is
//! taken for gone as soon as its range is announced; until then it may have gone for reasons of KVM's own. That is no loss: whoever
//! changes the primary MMU must announce it whether or not an entry is there. The TDP MMU tells of every change.

use crate::{
    Hva, HvaRange, Pfn,
    addr::PAGE_SHIFT,
    trace::event::{Gfn, KernelEvent},
};
use rustc_hash::FxHashMap;
use std::{collections::hash_map, slice};

/// What tells an entry from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

impl Key {
    /// Beyond physical addresses, of which the greatest have 52 bits.
    const TDP: u64 = 1 << 63;

    /// An entry of a shadow page table, by its own (physical) address.
    #[must_use]
    pub const fn shadow(sptep: u64) -> Self {
        Self(sptep & !Self::TDP)
    }

    /// An entry of the TDP MMU, by what it translates.
    #[must_use]
    pub const fn tdp(space: u8, level: u8, gfn: Gfn) -> Self {
        Self(Self::TDP | (space as u64) << 60 | (level as u64) << 56 | gfn.0)
    }
}

/// An entry that is present and maps a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Its first guest frame.
    pub gfn: Gfn,
    /// Where that lies in the host, if it is known.
    pub hva: Option<Hva>,
    /// The first frame that it maps.
    pub pfn: Pfn,
    /// 1 for 4 KiB, 2 for 2 MiB, 3 for 1 GiB.
    pub level: u8,
    /// Whether a guest may write through it.
    pub writable: bool,
    /// Whether it came while a change of its range was announced and not yet known to be in progress: it may go without a word.
    pub doubtful: bool,
    /// How it came.
    pub event: KernelEvent,
}

impl Entry {
    /// Pages of 4 KiB that it maps.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        pages_of(self.level)
    }

    /// Where it maps to in the host, if that is known.
    #[must_use]
    pub fn range(&self) -> Option<HvaRange> {
        HvaRange::new(self.hva?, self.pages())
    }

    /// The frame behind one host address of it.
    #[must_use]
    pub fn pfn_at(&self, hva: Hva) -> Option<Pfn> {
        let offset = hva.get().checked_sub(self.hva?.get())? >> PAGE_SHIFT;
        (offset < self.pages()).then(|| self.pfn.checked_add(offset)).flatten()
    }
}

/// Pages of 4 KiB that an entry of this level maps.
#[must_use]
pub(super) const fn pages_of(level: u8) -> u64 {
    match level {
        0 | 1 => 1,
        2 => 1 << 9,
        _ => 1 << 18,
    }
}

/// What lies at one place: nearly always one entry.
#[derive(Debug)]
enum Keys {
    One(Key),
    More(Vec<Key>),
}

impl Keys {
    const fn all(&self) -> &[Key] {
        match self {
            Self::One(key) => slice::from_ref(key),
            Self::More(keys) => keys.as_slice(),
        }
    }
}

/// Entries of one level, by the number of their first page. Nearly every question is of one page, which a tree would answer more slowly.
#[derive(Debug, Default)]
struct Index(FxHashMap<u64, Keys>);

impl Index {
    fn insert(&mut self, page: u64, key: Key) {
        match self.0.entry(page) {
            hash_map::Entry::Vacant(free) => _ = free.insert(Keys::One(key)),
            hash_map::Entry::Occupied(mut held) => match held.get_mut() {
                Keys::More(keys) => keys.push(key),
                Keys::One(one) => {
                    let both = vec![*one, key];
                    held.insert(Keys::More(both));
                }
            },
        }
    }

    fn remove(&mut self, page: u64, key: Key) {
        let hash_map::Entry::Occupied(mut held) = self.0.entry(page) else { return };
        let left = match held.get_mut() {
            Keys::One(one) => (*one != key).then_some(*one),
            Keys::More(keys) => {
                keys.retain(|other| *other != key);
                if keys.len() > 1 {
                    return;
                }
                keys.first().copied()
            }
        };
        match left {
            Some(one) => _ = held.insert(Keys::One(one)),
            None => _ = held.remove(),
        }
    }

    /// All from the page `from`, of which every `step`th can have something, up to `end`.
    fn between(&self, from: u64, end: u64, step: u64) -> impl Iterator<Item = Key> + '_ {
        // Whichever is less: a look at each page, or one at everything there is.
        let few = end.saturating_sub(from).div_ceil(step) <= self.0.len() as u64;
        let each = few.then(|| (from..end).step_by(step as usize)).into_iter().flatten().filter_map(|page| self.0.get(&page));
        let all = (!few).then(|| self.0.iter()).into_iter().flatten();
        let all = all.filter(move |(page, _)| (from..end).contains(*page)).map(|(_, keys)| keys);
        each.chain(all).flat_map(Keys::all).copied()
    }
}

/// All entries.
#[derive(Debug, Default)]
pub struct Mirror {
    entries: FxHashMap<Key, Entry>,
    /// By host page, for each level.
    by_hva: [Index; 3],
    /// By frame, for each level; only where somebody asks for it.
    by_pfn: Option<[Index; 3]>,
    /// Those that are about to go.
    going: Vec<Key>,
}

const fn slot(level: u8) -> usize {
    match level {
        0 | 1 => 0,
        2 => 1,
        _ => 2,
    }
}

/// The first page of the block that a page is in, of those that entries of this level map.
const fn block(page: u64, level: u8) -> u64 {
    page & !(pages_of(level) - 1)
}

/// The keys in `index` whose pages meet `pages` pages from `first`.
fn meeting(index: &[Index; 3], first: u64, pages: u64) -> impl Iterator<Item = Key> + '_ {
    index
        .iter()
        .zip([1, 2, 3])
        .filter(|(index, _)| !index.0.is_empty())
        .flat_map(move |(index, level)| index.between(block(first, level), first.saturating_add(pages), pages_of(level)))
}

impl Mirror {
    /// From now on entries can be found by what they map, too.
    pub fn index_frames(&mut self) {
        self.by_pfn.get_or_insert_default();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&key)
    }

    /// Puts one in, in place of whatever was there.
    pub fn insert(&mut self, key: Key, entry: Entry) {
        if let Some(old) = self.entries.insert(key, entry) {
            if old.hva == entry.hva && old.pfn == entry.pfn && old.level == entry.level {
                return;
            }
            self.leave(key, &old);
        }
        let level = slot(entry.level);
        if let Some(hva) = entry.hva {
            self.by_hva[level].insert(block(hva.get() >> PAGE_SHIFT, entry.level), key);
        }
        if let Some(by_pfn) = &mut self.by_pfn {
            by_pfn[level].insert(block(entry.pfn.get(), entry.level), key);
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.leave(key, &entry);
        Some(entry)
    }

    /// Takes what was an entry out of the indices.
    fn leave(&mut self, key: Key, entry: &Entry) {
        let level = slot(entry.level);
        if let Some(hva) = entry.hva {
            self.by_hva[level].remove(block(hva.get() >> PAGE_SHIFT, entry.level), key);
        }
        if let Some(by_pfn) = &mut self.by_pfn {
            by_pfn[level].remove(block(entry.pfn.get(), entry.level), key);
        }
    }

    /// Changes whether a guest may write through one.
    pub fn permit(&mut self, key: Key, writable: bool) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.writable = writable;
        }
    }

    /// All that map a page of `range`.
    pub fn within(&self, range: HvaRange) -> impl Iterator<Item = (Key, &Entry)> {
        let keys = meeting(&self.by_hva, range.start().get() >> PAGE_SHIFT, range.pages());
        keys.filter_map(move |key| self.entries.get(&key).map(|entry| (key, entry)))
            .filter(move |(_, entry)| entry.range().is_some_and(|own| own.overlaps(range)))
    }

    /// All that map one of `pages` frames from `first`: none unless [`Mirror::index_frames`] was called before they came.
    pub fn of_frames(&self, first: Pfn, pages: u64) -> impl Iterator<Item = &Entry> {
        let keys = self.by_pfn.iter().flat_map(move |by_pfn| meeting(by_pfn, first.get(), pages));
        keys.filter_map(|key| self.entries.get(&key)).filter(move |entry| {
            entry.pfn.get() < first.get().saturating_add(pages) && first.get() < entry.pfn.get() + entry.pages()
        })
    }

    /// Takes out all that map a page of `range`, and adds them to `killed`.
    pub fn kill(&mut self, range: HvaRange, killed: &mut Vec<Entry>) {
        let mut going = std::mem::take(&mut self.going);
        going.extend(self.within(range).map(|(key, _)| key));
        killed.extend(going.drain(..).filter_map(|key| self.remove(key)));
        self.going = going;
    }

    /// Takes out what must be taken to be in a page table that goes: `gfn` is the first frame that it maps where its entries have no
    /// other reason than that (a *direct* one), and the frame of the guest's own page table otherwise.
    pub fn zap_table(&mut self, gfn: Gfn, role: u32, killed: &mut Vec<Entry>) {
        // `union kvm_mmu_page_role`: level in the lowest four bits, then has_4_byte_gpte, quadrant (2), direct.
        let (level, direct) = ((role & 0xf) as u8, role & (1 << 7) != 0);
        if level > 3 {
            return;
        }
        let frames = gfn.0..gfn.0 + (pages_of(level) << 9);
        let gone: Vec<Key> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.level == level && (!direct || frames.contains(&entry.gfn.0)))
            .map(|(key, _)| *key)
            .collect();
        killed.extend(gone.into_iter().filter_map(|key| self.remove(key)));
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.by_hva.iter_mut().chain(self.by_pfn.iter_mut().flatten()).for_each(|index| index.0.clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::event::{At, What};

    fn entry(hva: u64, pfn: u64, level: u8) -> Entry {
        let event = KernelEvent { at: At::default(), what: What::ZapAll };
        let (gfn, hva) = (Gfn(hva >> 12), Some(Hva::new(hva)));
        Entry { gfn, hva, pfn: Pfn::new(pfn), level, writable: true, doubtful: false, event }
    }

    fn range(start: u64, pages: u64) -> HvaRange {
        HvaRange::new(Hva::new(start), pages).expect("aligned")
    }

    #[test]
    fn a_page_is_found_behind_entries_of_every_size() {
        let mut mirror = Mirror::default();
        mirror.index_frames();
        mirror.insert(Key::shadow(8), entry(0x20_1000, 7, 1));
        mirror.insert(Key::shadow(16), entry(0x20_0000, 0x800, 2));
        mirror.insert(Key::shadow(24), entry(0x4000_0000, 0x4_0000, 3));
        assert_eq!(mirror.within(range(0x20_1000, 1)).count(), 2);
        assert_eq!(mirror.within(range(0x3f_f000, 1)).count(), 1, "the last page of the huge one");
        assert_eq!(mirror.within(range(0x40_0000, 512)).count(), 0, "behind it");
        assert_eq!(mirror.within(range(0x7fff_f000, 1)).count(), 1);
        assert_eq!(mirror.of_frames(Pfn::new(0x9ff), 1).count(), 1);
        assert_eq!(mirror.of_frames(Pfn::new(0xa00), 1).count(), 0);
        let mut killed = Vec::new();
        mirror.kill(range(0x20_1000, 1), &mut killed);
        assert_eq!((killed.len(), mirror.len()), (2, 1), "an entry goes whole, whatever part of it is named");
        assert_eq!(mirror.of_frames(Pfn::new(7), 1).count(), 0);
    }

    #[test]
    fn what_is_put_in_again_is_there_once() {
        let mut mirror = Mirror::default();
        mirror.insert(Key::shadow(8), entry(0x1000, 7, 1));
        mirror.insert(Key::shadow(8), entry(0x1000, 8, 1));
        mirror.insert(Key::shadow(8), entry(0x5000, 8, 1));
        assert_eq!((mirror.len(), mirror.within(range(0x1000, 1)).count()), (1, 0));
        mirror.remove(Key::shadow(8));
        assert!(mirror.is_empty() && mirror.within(range(0, 16)).next().is_none());
    }

    #[test]
    fn many_entries_of_one_page_come_and_go_one_by_one() {
        let mut mirror = Mirror::default();
        mirror.index_frames();
        (1..=3).for_each(|n| mirror.insert(Key::shadow(8 * n), entry(0x1000, 7, 1)));
        for left in [2, 1, 0] {
            mirror.remove(Key::shadow(8 * (left + 1)));
            assert_eq!(mirror.within(range(0x1000, 1)).count() as u64, left);
            assert_eq!(mirror.of_frames(Pfn::new(7), 1).count() as u64, left);
        }
    }

    #[test]
    fn a_range_may_be_of_fewer_pages_than_there_are_entries_or_of_more() {
        let mut mirror = Mirror::default();
        (0..100).for_each(|n| mirror.insert(Key::shadow(8 * (n + 1)), entry(n << 12, n, 1)));
        assert_eq!(mirror.within(range(0x5000, 10)).count(), 10);
        assert_eq!(mirror.within(range(0x5000, 1 << 30)).count(), 95);
        let mut killed = Vec::new();
        mirror.kill(range(0, 50), &mut killed);
        mirror.kill(range(0, 1 << 30), &mut killed);
        assert!(mirror.is_empty() && killed.len() == 100);
    }

    #[test]
    fn a_direct_table_takes_its_own_frames_and_another_its_level() {
        let mut mirror = Mirror::default();
        let fill = |mirror: &mut Mirror| (0..4_u64).for_each(|n| mirror.insert(Key::shadow(8 + 8 * n), entry(n << 21, n, 1)));
        fill(&mut mirror);
        let mut killed = Vec::new();
        mirror.zap_table(Gfn(512), 1 | 1 << 7, &mut killed);
        assert_eq!((killed.len(), mirror.len()), (1, 3));
        mirror.zap_table(Gfn(512), 2, &mut killed);
        assert_eq!(mirror.len(), 3, "a table of level 2 holds no entries of level 1");
        mirror.zap_table(Gfn(9), 1, &mut killed);
        assert!(mirror.is_empty());
    }
}
