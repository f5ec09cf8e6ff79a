//! A mapping makes way for a migration entry only after its invalidation was announced.

use super::{About, Broken, Findings, Rule};
use crate::{
    HvaRange,
    addr::PAGE_SIZE,
    trace::{
        event::{KernelEvent, What},
        kind::Kind,
        world::{World, migration_target},
    },
};

static ABOUT: About = About {
    name: "announced",
    says: "an invalidation is announced before the mapping makes way for a migration entry",
    because: "the page is copied as soon as the entry is there: a guest that still has a translation writes to the old copy \
              (mm/rmap.c, try_to_migrate_one: mmu_notifier_invalidate_range_start comes first)",
    kinds: &[Kind::SetMigration, Kind::Unmap, Kind::RemoveMigration, Kind::Exit],
    asks: |sight| sight.needs("set_migration_pte"),
};

/// Breaks that may turn out to be none: of a page that is mapped at the same address in a child as well, the child's mapping, which has no
/// secondary MMU, may come first.
#[derive(Debug, Default)]
pub(super) struct Announced {
    suspects: Vec<(HvaRange, Broken)>,
}

impl Announced {
    fn settle(&mut self, event: &KernelEvent, found: &mut Findings, range: Option<HvaRange>, guilty: bool) {
        let concerns = |(suspect, broken): &(HvaRange, Broken)| {
            broken.tid == event.at.tid && range.is_none_or(|range| suspect.overlaps(range))
        };
        let (settled, left) = std::mem::take(&mut self.suspects).into_iter().partition::<Vec<_>, _>(concerns);
        self.suspects = left;
        for (_, broken) in settled {
            if guilty {
                found.breaks(broken.events.last().map_or(event.at.tsc, |last| last.at.tsc), || broken);
            } else {
                found.holds();
            }
        }
    }
}

impl Rule for Announced {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        match event.what {
            What::SetMigration { hva, entry, order } => {
                let Some(range) = HvaRange::new(hva, 1 << order) else { return };
                if !world.slots.has(hva) {
                    return;
                }
                let pfn = migration_target(entry);
                let mut live = world.mirror.within(range).map(|(_, entry)| entry);
                let Some(stale) = live.find(|live| !live.doubtful && live.pfn_at(hva) == Some(pfn)) else {
                    return found.holds();
                };
                let broken = || Broken {
                    what: format!(
                        "frame {pfn} at {hva} got a migration entry while the secondary MMU still maps it at gfn {}: nobody had announced it",
                        stale.gfn
                    ),
                    hva: Some(hva),
                    tid: event.at.tid,
                    events: vec![stale.event, *event],
                };
                if world.family.has_forked() {
                    self.suspects.push((range, broken()));
                } else {
                    found.breaks(event.at.tsc, broken);
                }
            }
            What::Unmap { start, end } if !self.suspects.is_empty() => {
                let pages = end.offset_from(start).map_or(0, |bytes| bytes.div_ceil(PAGE_SIZE));
                self.settle(event, found, HvaRange::new(start, pages), false);
            }
            What::RemoveMigration { hva, order, .. } if !self.suspects.is_empty() => {
                self.settle(event, found, HvaRange::new(hva, 1 << order), true);
            }
            What::Exit { .. } if !self.suspects.is_empty() => self.settle(event, found, None, true),
            _ => {}
        }
    }

    fn forget(&mut self) {
        self.suspects.clear();
    }

    fn ends(&mut self, last: &KernelEvent, _: &World, found: &mut Findings) {
        for (_, broken) in self.suspects.drain(..) {
            found.breaks(broken.events.last().map_or(last.at.tsc, |event| event.at.tsc), || broken);
        }
    }
}
