//! A page is not freed while the secondary MMU maps it.

use super::{About, Broken, Findings, Rule};
use crate::trace::{
    event::{KernelEvent, What},
    kind::Kind,
    world::World,
};

static ABOUT: About = About {
    name: "freed",
    says: "no page is freed while the secondary MMU maps it",
    because: "its next owner would share it with the guest; KVM holds no reference to what it maps, and counts on being told in time \
              (virt/kvm/kvm_main.c, kvm_release_faultin_page)",
    kinds: &[Kind::Free],
    asks: |sight| sight.needs("mm_page_free"),
};

#[derive(Debug)]
pub(super) struct Freed;

impl Rule for Freed {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        let What::Free { pfn, order } = event.what else { return };
        // Entries whose place in the host is not known may have gone without a word that could be seen.
        let mut live = world.mirror.of_frames(pfn, 1 << order).filter(|entry| !entry.doubtful && entry.hva.is_some());
        let Some(entry) = live.next() else { return found.holds() };
        found.breaks(event.at.tsc, || Broken {
            what: format!("frame {pfn} was freed, and the secondary MMU maps it at gfn {}", entry.gfn),
            hva: entry.hva,
            tid: event.at.tid,
            events: vec![entry.event, *event],
        });
    }
}
