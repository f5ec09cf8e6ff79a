//! How guest memory lies in the host.

use crate::{
    Hva,
    addr::PAGE_SIZE,
    trace::event::{Gfn, SlotMap},
};

/// All memslots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// By first frame.
    by_gfn: Vec<SlotMap>,
}

impl Slots {
    /// Of these; guest frames that two of them claim belong to the one that begins later. A machine has such where ROM lies over memory, as
    /// it was at different times.
    #[must_use]
    pub fn new(slots: &[SlotMap]) -> Self {
        let mut sorted = slots.to_vec();
        sorted.sort_by_key(|slot| slot.gfn);
        let mut cut = Cut::default();
        for slot in sorted {
            cut.up_to(slot.gfn.0);
            cut.open.push(slot);
        }
        cut.up_to(u64::MAX);
        Self { by_gfn: cut.pieces }
    }

    /// All, by their first frame.
    #[must_use]
    pub fn all(&self) -> &[SlotMap] {
        &self.by_gfn
    }

    /// Where a guest frame lies in the host.
    #[must_use]
    pub fn hva(&self, gfn: Gfn) -> Option<Hva> {
        let at = self.by_gfn.partition_point(|slot| slot.gfn <= gfn).checked_sub(1)?;
        let slot = self.by_gfn[at];
        let offset = gfn.0 - slot.gfn.0;
        (offset < slot.pages).then(|| slot.hva.checked_add(offset * PAGE_SIZE)).flatten()
    }

    /// Whether any guest frame lies there.
    #[must_use]
    pub fn has(&self, hva: Hva) -> bool {
        self.by_gfn.iter().any(|slot| hva.offset_from(slot.hva).is_some_and(|offset| offset / PAGE_SIZE < slot.pages))
    }
}

/// Cuts slots that lie over each other into pieces that do not.
#[derive(Debug, Default)]
struct Cut {
    pieces: Vec<SlotMap>,
    /// Frames below are done.
    at: u64,
    /// Slots that have begun, the latest last.
    open: Vec<SlotMap>,
}

impl Cut {
    /// Goes on to the frame `next`: until then nothing else begins.
    fn up_to(&mut self, next: u64) {
        while self.at < next
            && let Some(slot) = self.open.last().copied()
        {
            let (first, behind) = (self.at.max(slot.gfn.0), slot.gfn.0.saturating_add(slot.pages));
            let end = behind.min(next);
            let moved = (first - slot.gfn.0).checked_mul(PAGE_SIZE).and_then(|bytes| slot.hva.checked_add(bytes));
            if let Some(hva) = moved
                && first < end
            {
                self.pieces.push(SlotMap { gfn: Gfn(first), pages: end - first, hva });
                self.at = end;
            }
            if behind > next {
                break;
            }
            self.open.pop();
        }
        self.at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_in_their_slot_and_nowhere_else() {
        let slot = |gfn, pages, hva| SlotMap { gfn: Gfn(gfn), pages, hva: Hva::new(hva) };
        let slots = Slots::new(&[slot(0x100, 4, 0x7000_0000), slot(0, 16, 0x5000_0000)]);
        assert_eq!(slots.hva(Gfn(15)), Some(Hva::new(0x5000_f000)));
        assert_eq!(slots.hva(Gfn(16)), None);
        assert_eq!(slots.hva(Gfn(0x103)), Some(Hva::new(0x7000_3000)));
        assert_eq!(slots.hva(Gfn(0x104)), None);
        assert!(slots.has(Hva::new(0x7000_3fff)) && !slots.has(Hva::new(0x7000_4000)) && !slots.has(Hva::new(0x4fff_ffff)));
        assert_eq!(Slots::default().hva(Gfn(0)), None);
    }

    #[test]
    fn what_lies_over_others_leaves_what_is_behind_it() {
        let slot = |gfn, pages, hva| SlotMap { gfn: Gfn(gfn), pages, hva: Hva::new(hva) };
        // A PC's memory, and the ROM that was put over parts of it.
        let slots =
            Slots::new(&[slot(0, 0x4000, 0x7f00_0000_0000), slot(0xf0, 0x10, 0x5000_0000), slot(0xc0, 0x20, 0x6000_0000)]);
        let hva = |gfn| slots.hva(Gfn(gfn)).map(Hva::get);
        assert_eq!((hva(0xbf), hva(0xc0), hva(0xdf)), (Some(0x7f00_000b_f000), Some(0x6000_0000), Some(0x6001_f000)));
        assert_eq!((hva(0xe0), hva(0xef)), (Some(0x7f00_000e_0000), Some(0x7f00_000e_f000)));
        assert_eq!((hva(0xf0), hva(0xff)), (Some(0x5000_0000), Some(0x5000_f000)));
        assert_eq!((hva(0x100), hva(0x3fff), hva(0x4000)), (Some(0x7f00_0010_0000), Some(0x7f00_03ff_f000), None));
        assert!(!slots.has(Hva::new(0x7f00_000c_0000)), "what is covered is not the guest's");
        let same = Slots::new(&[slot(0, 4, 0x1000_0000), slot(0, 2, 0x2000_0000), slot(1, 9, 0x3000_0000)]);
        let hva = |gfn| same.hva(Gfn(gfn)).map(Hva::get);
        assert_eq!((hva(0), hva(1), hva(9), hva(10)), (Some(0x2000_0000), Some(0x3000_0000), Some(0x3000_8000), None));
    }
}
