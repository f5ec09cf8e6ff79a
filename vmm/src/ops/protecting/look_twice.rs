//! Looking twice at pages that nobody may write.

use crate::memory::{Snapshot, Span};
use crate::ops::Bed;
use crate::oracle::permission;
use nostale_notifier::{Hva, HvaRange};

/// What pages held at the first look.
pub(in crate::ops) struct LookTwice {
    unreadable: bool,
    pages: Vec<(u64, HvaRange, Option<Snapshot>)>,
}

impl LookTwice {
    /// Looks at pages from which write access was just taken away, and read access as well if they are `unreadable`.
    pub(in crate::ops) fn first(bed: &Bed<'_>, span: &Span, unreadable: bool) -> Self {
        let place = |page| span.part(page - span.first(), 1).map(|part| (page, part.range()));
        let seen = |(page, range): (u64, HvaRange)| (page, range, look(bed, page, range.start(), unreadable));
        Self { unreadable, pages: bed.watched(span).filter_map(place).map(seen).collect() }
    }

    /// Looks again, before access is given back, and reports what has changed.
    pub(in crate::ops) fn second(&self, bed: &Bed<'_>) {
        for (page, range, before) in &self.pages {
            let (Some(before), Some(after)) = (before, look(bed, *page, range.start(), self.unreadable)) else { continue };
            if let Some(violation) = permission::inspect(bed.actor.1, *page, *range, before, &after) {
                bed.watch.report(violation);
            }
        }
    }
}

/// Through the witness, or by force, a page can be seen even while the mapping allows nothing.
fn look(bed: &Bed<'_>, page: u64, at: Hva, unreadable: bool) -> Option<Snapshot> {
    let witnessed = bed.arena.frame_of(page).and_then(|frame| bed.arena.snapshot_frame(frame));
    let forced = || if unreadable { bed.arena.snapshot_protected(at) } else { bed.arena.snapshot(at) };
    witnessed.or_else(|| forced().ok())
}
