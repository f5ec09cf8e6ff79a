//! An entry that maps another frame than before was zapped in between.

use super::{About, Broken, Findings, Rule};
use crate::trace::{event::KernelEvent, kind::Kind, world::World};

static ABOUT: About = About {
    name: "installed-over",
    says: "an entry comes to map another frame only after it was zapped",
    because: "its host page was replaced without a word: until now the guest used the old one (arch/x86/kvm/mmu/tdp_mmu.c, \
              handle_changed_spte: \"cannot replace a present leaf SPTE with another present leaf SPTE mapping a different PFN\")",
    kinds: &[Kind::Set, Kind::Changed],
    asks: |sight| sight.needs("kvm_mmu_set_spte").or_else(|_| sight.needs("kvm_tdp_mmu_spte_changed")),
};

#[derive(Debug)]
pub(super) struct InstalledOver;

impl Rule for InstalledOver {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        let Some((key, entry)) = world.coming() else { return };
        let Some(old) = world.mirror.get(*key).filter(|old| old.gfn == entry.gfn && old.level == entry.level && !old.doubtful)
        else {
            return found.holds();
        };
        // Where it lies in the host is what makes it certain that its frame could not change without an announcement.
        if old.pfn == entry.pfn || entry.hva.is_none() || old.hva != entry.hva {
            return found.holds();
        }
        found.breaks(event.at.tsc, || Broken {
            what: format!(
                "gfn {} came to map frame {}, and had mapped frame {} until then: nobody had announced that it would change",
                entry.gfn, entry.pfn, old.pfn
            ),
            hva: entry.hva,
            tid: event.at.tid,
            events: vec![old.event, *event],
        });
    }
}
