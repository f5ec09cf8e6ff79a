//! Nothing is installed for a range while its invalidation is in progress.

use super::{About, Broken, Findings, Rule};
use crate::trace::{event::KernelEvent, kind::Kind, world::World};

static ABOUT: About = About {
    name: "in-progress",
    says: "nothing is installed for a range while its invalidation is in progress",
    because: "a fault that looked the page up before the change would put back what was just zapped: it must try again \
              (include/linux/kvm_host.h, mmu_invalidate_retry_gfn; until Linux 6.7 mmu_invalidate_retry_hva)",
    kinds: &[Kind::Set, Kind::Changed],
    asks: |sight| {
        let begins = sight.has("slot_unmap");
        let ends = sight.has("range_end") || sight.has("invalidate_end");
        let why = "where an invalidation begins and ends for KVM is seen by probes only";
        if begins && ends { Ok(()) } else { Err(why.to_owned()) }
    },
};

#[derive(Debug)]
pub(super) struct InProgress;

impl Rule for InProgress {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        let Some((key, entry)) = world.coming() else { return };
        // A change of what is there (write access, the accessed bit, a huge page that is split) brings no translation back.
        if world.mirror.get(*key).is_some_and(|old| old.pfn == entry.pfn) {
            return;
        }
        if entry.hva.is_none() {
            return;
        }
        // What is larger than the range may come: KVM asks whether the page that a guest wants is in it. Whoever changes only a part of
        // what is mapped as one takes that apart first, and announces all of it (mm/huge_memory.c, __split_huge_pmd).
        let Some(window) = world.windows.iter().find(|window| window.covers(entry)) else {
            // It says nothing before anything was ever in progress.
            return if world.windows_seen > 0 {
                found.holds()
            };
        };
        found.breaks(event.at.tsc, || Broken {
            what: format!(
                "gfn {} was mapped to frame {} while the invalidation of {} was in progress",
                entry.gfn, entry.pfn, window.announced
            ),
            hva: entry.hva,
            tid: window.tid,
            events: vec![window.event, *event],
        });
    }
}
