//! What a migration has replaced is not installed again.

use super::{About, Broken, Findings, Rule};
use crate::trace::{event::KernelEvent, kind::Kind, world::World};

static ABOUT: About = About {
    name: "migrating",
    says: "a page that has a migration entry is not installed until the entry is removed",
    because: "the entry stands for the old frame while that is copied; a fault that had looked it up before must find its \
              invalidation in progress and try again (mm/migrate.c, try_to_migrate to remove_migration_ptes)",
    kinds: &[Kind::Set, Kind::Changed],
    asks: |sight| sight.needs("set_migration_pte").and_then(|()| sight.needs("remove_migration_pte")),
};

#[derive(Debug)]
pub(super) struct Migrating;

impl Rule for Migrating {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        if world.migrating.is_empty() {
            return;
        }
        let Some((key, entry)) = world.coming() else { return };
        let Some(hva) = entry.hva else { return };
        if world.mirror.get(*key).is_some_and(|old| old.pfn == entry.pfn) {
            return;
        }
        let Some(migrating) = world.migrating(hva) else { return found.holds() };
        // The new frame may be seen before the event that says that it is there.
        if entry.pfn != migrating.old {
            return found.holds();
        }
        found.breaks(event.at.tsc, || Broken {
            what: format!("gfn {} was mapped to frame {}, which has a migration entry at {hva}", entry.gfn, entry.pfn),
            hva: Some(hva),
            tid: migrating.event.at.tid,
            events: vec![migrating.event, *event],
        });
    }
}
