//! Looking twice at pages that nobody may write.

use crate::memory::{Snapshot, Span};
use crate::ops::Bed;
use crate::oracle::permission;
use nostale_notifier::Hva;

/// What pages held at the first look.
pub(in crate::ops) struct LookTwice {
    span: Span,
    unreadable: bool,
    pages: Vec<Option<Snapshot>>,
}

impl LookTwice {
    /// Looks at pages from which write access was just taken away, and read access as well if they are `unreadable`.
    pub(in crate::ops) fn first(bed: &Bed<'_>, span: &Span, unreadable: bool) -> Self {
        let pages = span.pages().zip(span.range().iter()).map(|(page, at)| look(bed, page, at, unreadable)).collect();
        Self { span: *span, unreadable, pages }
    }

    /// Looks again, before access is given back, and reports what has changed.
    pub(in crate::ops) fn second(&self, bed: &Bed<'_>) {
        for ((page, at), before) in self.span.pages().zip(self.span.range().iter()).zip(&self.pages) {
            let (Some(before), Some(after)) = (before, look(bed, page, at, self.unreadable)) else { continue };
            let range = nostale_notifier::HvaRange::new(at, 1).unwrap_or(self.span.range());
            if let Some(violation) = permission::inspect(bed.actor.1, page, range, before, &after) {
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
