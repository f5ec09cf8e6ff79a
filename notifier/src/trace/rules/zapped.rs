//! KVM's handler zaps what was announced before it returns.

use super::{About, Broken, Findings, Rule};
use crate::trace::{
    event::KernelEvent,
    head::Mmu,
    world::{Opening, World},
};

static ABOUT: About = About {
    name: "zapped",
    says: "every entry of an announced range is zapped before the announcement returns",
    because: "whoever announced it changes the mapping next (virt/kvm/kvm_main.c, kvm_mmu_notifier_invalidate_range_start; \
              arch/x86/kvm/mmu/mmu.c, kvm_unmap_gfn_range)",
    kinds: &[],
    asks: |sight| match sight.mmu {
        Mmu::Tdp => sight.needs("kvm_tdp_mmu_spte_changed"),
        Mmu::Shadow => Err("shadow page tables are zapped without an event".to_owned()),
    },
};

#[derive(Debug)]
pub(super) struct Zapped;

impl Rule for Zapped {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn closes(&mut self, opening: &Opening, event: &KernelEvent, world: &World, found: &mut Findings) {
        let mut left = world.mirror.within(opening.range).map(|(_, entry)| entry);
        let Some(entry) = left.find(|entry| entry.event.at.tsc < opening.event.at.tsc) else {
            return if opening.zapped > 0 {
                found.holds()
            };
        };
        found.breaks(event.at.tsc, || Broken {
            what: format!(
                "{} was announced, and its thread went on while the secondary MMU still maps gfn {} to frame {}",
                opening.range, entry.gfn, entry.pfn
            ),
            hva: entry.hva,
            tid: event.at.tid,
            events: vec![entry.event, opening.event, *event],
        });
    }
}
