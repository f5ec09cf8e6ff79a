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

/// A place among the entries that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id(u32);

/// What lies at one page: nearly always one entry.
#[derive(Debug)]
enum Ids {
    One(Id),
    More(Vec<Id>),
}

impl Ids {
    const fn all(&self) -> &[Id] {
        match self {
            Self::One(id) => slice::from_ref(id),
            Self::More(ids) => ids.as_slice(),
        }
    }
}

/// Entries of one level, by the number of their first page. Nearly every question is of one page, which a tree would answer more slowly.
#[derive(Debug, Default)]
struct Index(FxHashMap<u64, Ids>);

impl Index {
    fn insert(&mut self, page: u64, id: Id) {
        match self.0.entry(page) {
            hash_map::Entry::Vacant(free) => _ = free.insert(Ids::One(id)),
            hash_map::Entry::Occupied(mut held) => match held.get_mut() {
                Ids::More(ids) => ids.push(id),
                Ids::One(one) => {
                    let both = vec![*one, id];
                    held.insert(Ids::More(both));
                }
            },
        }
    }

    fn remove(&mut self, page: u64, id: Id) {
        let hash_map::Entry::Occupied(mut held) = self.0.entry(page) else { return };
        let left = match held.get_mut() {
            Ids::One(one) => (*one != id).then_some(*one),
            Ids::More(ids) => {
                ids.retain(|other| *other != id);
                if ids.len() > 1 {
                    return;
                }
                ids.first().copied()
            }
        };
        match left {
            Some(one) => _ = held.insert(Ids::One(one)),
            None => _ = held.remove(),
        }
    }
}

/// Entries of all levels, by the number of their first page.
type Levels = [Index; 3];

/// Where a walk over the entries of one level is.
#[derive(Debug)]
enum Walk<'a> {
    Pages { next: u64, step: u64 },
    All(hash_map::Iter<'a, u64, Ids>),
}

/// Walks over the entries whose pages meet some pages, level by level.
#[derive(Debug)]
struct Meeting<'a> {
    first: u64,
    end: u64,
    levels: slice::Iter<'a, Index>,
    /// Level of the next of those.
    level: u8,
    index: &'a Index,
    walk: Walk<'a>,
    ids: slice::Iter<'a, Id>,
}

impl<'a> Meeting<'a> {
    fn new(levels: &'a Levels, first: u64, pages: u64) -> Self {
        let end = first.saturating_add(pages);
        let walk = Walk::Pages { next: end, step: 1 };
        Self { first, end, levels: levels.iter(), level: 1, index: &levels[0], walk, ids: [].iter() }
    }
}

impl Iterator for Meeting<'_> {
    type Item = Id;

    #[inline]
    fn next(&mut self) -> Option<Id> {
        loop {
            if let Some(id) = self.ids.next() {
                return Some(*id);
            }
            let held = match &mut self.walk {
                Walk::Pages { next, .. } if *next >= self.end => None,
                Walk::Pages { next, step } => {
                    let page = *next;
                    *next = next.saturating_add(*step);
                    Some(self.index.0.get(&page))
                }
                Walk::All(all) => all.next().map(|(page, ids)| (self.first..self.end).contains(page).then_some(ids)),
            };
            if let Some(held) = held {
                self.ids = held.map_or(&[][..], Ids::all).iter();
                continue;
            }
            self.index = self.levels.next()?;
            // What covers the first page begins before it.
            self.first = block(self.first, self.level);
            let step = pages_of(self.level);
            self.level += 1;
            if self.index.0.is_empty() {
                continue;
            }
            // Whichever is less: a look at each page, or one at everything there is.
            self.walk = if (self.end - self.first).div_ceil(step) <= self.index.0.len() as u64 {
                Walk::Pages { next: self.first, step }
            } else {
                Walk::All(self.index.0.iter())
            };
        }
    }
}

/// All entries.
#[derive(Debug, Default)]
pub struct Mirror {
    by_key: FxHashMap<Key, Id>,
    held: Vec<(Key, Entry)>,
    /// Places there that are free.
    free: Vec<Id>,
    /// By host page, for each level.
    by_hva: Levels,
    /// By frame, for each level; only where somebody asks for it.
    by_pfn: Option<Levels>,
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

impl Mirror {
    /// From now on entries can be found by what they map, too.
    pub fn index_frames(&mut self) {
        self.by_pfn.get_or_insert_default();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Entry> {
        self.by_key.get(&key).map(|id| self.at(*id))
    }

    fn at(&self, id: Id) -> &Entry {
        &self.held[id.0 as usize].1
    }

    /// Puts one in, in place of whatever was there.
    pub fn insert(&mut self, key: Key, entry: Entry) {
        let id = match self.by_key.entry(key) {
            hash_map::Entry::Occupied(held) => {
                let id = *held.get();
                let old = std::mem::replace(&mut self.held[id.0 as usize].1, entry);
                if old.hva == entry.hva && old.pfn == entry.pfn && old.level == entry.level {
                    return;
                }
                self.leave(id, &old);
                id
            }
            hash_map::Entry::Vacant(place) => match self.free.pop() {
                Some(id) => {
                    self.held[id.0 as usize] = (key, entry);
                    *place.insert(id)
                }
                None => {
                    // Four thousand million of them would be 16 TiB of guest memory, and half of that here.
                    let id = Id(u32::try_from(self.held.len()).unwrap_or(u32::MAX));
                    self.held.push((key, entry));
                    *place.insert(id)
                }
            },
        };
        let level = slot(entry.level);
        if let Some(hva) = entry.hva {
            self.by_hva[level].insert(block(hva.get() >> PAGE_SHIFT, entry.level), id);
        }
        if let Some(by_pfn) = &mut self.by_pfn {
            by_pfn[level].insert(block(entry.pfn.get(), entry.level), id);
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, key: Key) -> Option<Entry> {
        let id = self.by_key.remove(&key)?;
        let entry = *self.at(id);
        self.leave(id, &entry);
        self.free.push(id);
        Some(entry)
    }

    /// Takes what was an entry out of the indices.
    fn leave(&mut self, id: Id, entry: &Entry) {
        let level = slot(entry.level);
        if let Some(hva) = entry.hva {
            self.by_hva[level].remove(block(hva.get() >> PAGE_SHIFT, entry.level), id);
        }
        if let Some(by_pfn) = &mut self.by_pfn {
            by_pfn[level].remove(block(entry.pfn.get(), entry.level), id);
        }
    }

    /// Changes whether a guest may write through one.
    pub fn permit(&mut self, key: Key, writable: bool) {
        if let Some(id) = self.by_key.get(&key) {
            self.held[id.0 as usize].1.writable = writable;
        }
    }

    /// All that map a page of `range`.
    pub fn within(&self, range: HvaRange) -> impl Iterator<Item = (Key, &Entry)> {
        Meeting::new(&self.by_hva, range.start().get() >> PAGE_SHIFT, range.pages())
            .map(|id| &self.held[id.0 as usize])
            .filter(move |(_, entry)| entry.range().is_some_and(|own| own.overlaps(range)))
            .map(|(key, entry)| (*key, entry))
    }

    /// All that map one of `pages` frames from `first`: none unless [`Mirror::index_frames`] was called before they came.
    pub fn of_frames(&self, first: Pfn, pages: u64) -> impl Iterator<Item = &Entry> {
        let ids = self.by_pfn.iter().flat_map(move |by_pfn| Meeting::new(by_pfn, first.get(), pages));
        ids.map(|id| self.at(id)).filter(move |entry| {
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
            .by_key
            .iter()
            .map(|(key, id)| (*key, self.at(*id)))
            .filter(|(_, entry)| entry.level == level && (!direct || frames.contains(&entry.gfn.0)))
            .map(|(key, _)| key)
            .collect();
        killed.extend(gone.into_iter().filter_map(|key| self.remove(key)));
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.by_key.clear();
        self.held.clear();
        self.free.clear();
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
