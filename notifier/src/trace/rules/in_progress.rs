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
        sight
            .needs("invalidate_begin")
            .and_then(|()| sight.needs("invalidate_end"))
            .map_err(|_| "where an invalidation begins and ends for KVM is seen by probes only".to_owned())
    },
};

#[derive(Debug)]
pub(super) struct InProgress;

impl Rule for InProgress {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        let Some((key, entry)) = world.installs(event) else { return };
        // A change of what is there (write access, the accessed bit, a huge page that is split) brings no translation back.
        if world.mirror.get(key).is_some_and(|old| old.pfn == entry.pfn) {
            return;
        }
        let Some(range) = entry.range() else { return };
        let Some(window) = world.windows.iter().find(|window| window.range.overlaps(range)) else {
            return found.holds();
        };
        found.breaks(event.at.tsc, || Broken {
            what: format!(
                "gfn {} was mapped to frame {} while the invalidation of {} was in progress",
                entry.gfn, entry.pfn, window.range
            ),
            hva: entry.hva,
            tid: window.tid,
            events: vec![window.event, *event],
        });
    }
}
