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
    /// Of these; guest frames that two of them claim belong to the one that begins later.
    #[must_use]
    pub fn new(slots: &[SlotMap]) -> Self {
        let mut by_gfn = slots.to_vec();
        by_gfn.sort_by_key(|slot| slot.gfn);
        Self { by_gfn }
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
}
