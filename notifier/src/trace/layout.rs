//! How the guest memory of a VM lies in the host, of a VM that nobody has asked: KVM's events name guest frames, those of the host's
//! memory management name host addresses, and no event says both.
//!
//! A guest frame is installed with a host frame, and `pagemap` says at which address the host has that frame. Wherever guest frames lie
//! side by side, as in a memslot, all of them give the same distance. A probe on KVM's own zapping says it outright.
//!
//! Only frames that were themselves seen are taken for known, and only distances that many frames agree on: a wrong one would accuse a
//! kernel that is right.

use super::event::{Gfn, Item, SlotMap, What};
use crate::{Hva, Pfn, addr::PAGE_SHIFT};
use rustc_hash::FxHashMap;

/// `Documentation/admin-guide/mm/pagemap.rst`.
const PRESENT: u64 = 1 << 63;
const FRAME: u64 = (1 << 55) - 1;

/// Frames that must agree on a distance.
const QUORUM: u64 = 32;
/// Host frames whose address is remembered: 4 GiB of memory.
const REMEMBERED: usize = 1 << 20;
/// Pages from host address to guest frame, or the other way: what a memslot has one of.
type Distance = i64;

/// Takes note of what a recording says.
#[derive(Debug, Default)]
pub struct Layout {
    /// Where the host had a frame when it was last seen.
    seen: FxHashMap<Pfn, Hva>,
    /// The latest distance of each guest frame.
    votes: FxHashMap<Gfn, Distance>,
    /// How often each distance was found.
    found: FxHashMap<Distance, u64>,
    /// What a probe has said: by the first frame of a memslot and where that lies, the frames that it has spoken of. Two with the same
    /// distance may have another one between them.
    told: FxHashMap<(Gfn, Hva), (u64, u64)>,
    /// Whether the recording says by itself how memory lies.
    known: bool,
}

fn distance(gfn: Gfn, hva: Hva) -> Distance {
    (hva.get() >> PAGE_SHIFT) as i64 - gfn.0 as i64
}

impl Layout {
    /// Whether the recording says so by itself.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.known
    }

    /// Takes note of the next item.
    pub fn item(&mut self, item: &Item) {
        match item {
            Item::Slots { .. } => self.known = true,
            Item::Primary(sample) => {
                if self.seen.len() > REMEMBERED {
                    self.seen.clear();
                }
                let pages = (sample.start.get()..).step_by(1 << PAGE_SHIFT).map(Hva::new);
                for (hva, entry) in pages.zip(&sample.entries) {
                    if entry & PRESENT != 0 && entry & FRAME != 0 {
                        self.seen.insert(Pfn::new(entry & FRAME), hva);
                    }
                }
            }
            Item::Event(event) => match event.what {
                What::Set { gfn, spte, level, .. } if spte.is_leaf(level) => self.installed(gfn, spte.pfn(), level),
                What::Changed { gfn, new, level, .. } if new.is_leaf(level) => self.installed(gfn, new.pfn(), level),
                What::SlotUnmap { start, end, base, hva } => {
                    let (first, last) = self.told.entry((base, hva)).or_insert((start.0, end.0));
                    (*first, *last) = ((*first).min(start.0), (*last).max(end.0));
                }
                _ => {}
            },
            Item::Lost { .. } => {}
        }
    }

    fn installed(&mut self, gfn: Gfn, pfn: Pfn, level: u8) {
        let pages = if level > 1 { 512 } else { 1 };
        for page in 0..pages {
            let Some(hva) = pfn.checked_add(page).and_then(|pfn| self.seen.get(&pfn)) else { continue };
            let gfn = Gfn(gfn.0 + page);
            let distance = distance(gfn, *hva);
            self.votes.insert(gfn, distance);
            *self.found.entry(distance).or_default() += 1;
        }
    }

    /// What is known of it, as memslots; `None` if the recording says so by itself.
    #[must_use]
    pub fn finish(self) -> Option<Vec<SlotMap>> {
        if self.known {
            return None;
        }
        let told = self.told.iter().map(|((base, hva), (first, last))| (*first, *last, distance(*base, *hva)));
        let mut slots: Vec<SlotMap> = told.filter_map(|(first, last, distance)| slot(first, last, distance)).collect();
        if slots.is_empty() {
            let most = self.found.values().copied().max().unwrap_or(0);
            // Frames that were used again for something else give distances of their own, each once or twice.
            let agreed = |distance: &Distance| self.found.get(distance).is_some_and(|votes| *votes >= QUORUM.max(most / 1000));
            let mut votes: Vec<_> =
                self.votes.iter().filter(|(_, distance)| agreed(distance)).map(|(gfn, distance)| (gfn.0, *distance)).collect();
            votes.sort_unstable();
            slots = votes
                .chunk_by(|a, b| a.0 + 1 == b.0 && a.1 == b.1)
                .filter_map(|run| slot(run.first()?.0, run.last()?.0 + 1, run.first()?.1))
                .collect();
        }
        slots.sort_by_key(|slot| slot.gfn);
        Some(slots)
    }
}

fn slot(first: u64, end: u64, distance: Distance) -> Option<SlotMap> {
    let page = u64::try_from((first as i64).checked_add(distance)?).ok()?;
    Some(SlotMap { gfn: Gfn(first), pages: end.checked_sub(first)?, hva: Hva::new(page << PAGE_SHIFT) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Tsc,
        trace::event::{At, KernelEvent, PrimarySample, Spte},
    };

    fn sample(start: u64, first: u64, pages: u64) -> Item {
        let entries = (first..first + pages).map(|pfn| PRESENT | pfn).collect();
        Item::Primary(PrimarySample { from: Tsc(0), to: Tsc(0), start: Hva::new(start), entries })
    }

    fn set(gfn: u64, pfn: u64) -> Item {
        let what = What::Set { gfn: Gfn(gfn), spte: Spte(pfn << 12 | 0xe67), sptep: 8, level: 1 };
        Item::Event(KernelEvent { at: At::default(), what })
    }

    #[test]
    fn memslots_are_found_and_what_only_few_say_is_not_believed() {
        let mut layout = Layout::default();
        layout.item(&sample(0x7f00_0000_0000, 0x1000, 512));
        layout.item(&sample(0x7e00_0000_0000, 0x9000, 512));
        (0..100).for_each(|n| layout.item(&set(0x100 + n, 0x1000 + n)));
        (0..100).for_each(|n| layout.item(&set(0x10_0000 + n, 0x9000 + n)));
        // A frame that is somebody else's by now, and one that was never seen.
        layout.item(&set(0x5000, 0x1007));
        layout.item(&set(0x6000, 0xf_0000));
        let slot = |gfn, hva| SlotMap { gfn: Gfn(gfn), pages: 100, hva: Hva::new(hva) };
        assert_eq!(layout.finish(), Some(vec![slot(0x100, 0x7f00_0000_0000), slot(0x10_0000, 0x7e00_0000_0000)]));
    }

    #[test]
    fn what_lies_between_is_not_taken_for_known() {
        let mut layout = Layout::default();
        layout.item(&sample(0x7f00_0000_0000, 0x1000, 512));
        (0..100).filter(|n| *n != 50).for_each(|n| layout.item(&set(n, 0x1000 + n)));
        let slots = layout.finish().expect("inferred");
        assert_eq!(slots.iter().map(|slot| (slot.gfn.0, slot.pages)).collect::<Vec<_>>(), [(0, 50), (51, 49)]);
    }

    #[test]
    fn memslots_of_one_distance_are_not_taken_for_one() {
        let mut layout = Layout::default();
        let mut told = |start, end, base, hva| {
            let what = What::SlotUnmap { start: Gfn(start), end: Gfn(end), base: Gfn(base), hva: Hva::new(hva) };
            layout.item(&Item::Event(KernelEvent { at: At::default(), what }));
        };
        told(0x10, 0x20, 0, 0x7f00_0000_0000);
        told(0x200, 0x300, 0x100, 0x7f00_0010_0000);
        told(0x120, 0x130, 0x100, 0x7f00_0010_0000);
        let slots = layout.finish().expect("told");
        assert_eq!(slots.iter().map(|slot| (slot.gfn.0, slot.pages)).collect::<Vec<_>>(), [(0x10, 0x10), (0x120, 0x1e0)]);
    }

    #[test]
    fn a_probe_is_believed_at_once_and_a_recording_that_knows_is_asked_nothing() {
        let mut layout = Layout::default();
        let what = What::SlotUnmap { start: Gfn(7), end: Gfn(9), base: Gfn(0), hva: Hva::new(0x7f00_0000_0000) };
        layout.item(&Item::Event(KernelEvent { at: At::default(), what }));
        assert_eq!(layout.finish(), Some(vec![SlotMap { gfn: Gfn(7), pages: 2, hva: Hva::new(0x7f00_0000_7000) }]));
        let mut layout = Layout::default();
        layout.item(&Item::Slots { tsc: Tsc(0), slots: Vec::new() });
        assert_eq!(layout.finish(), None);
    }
}
