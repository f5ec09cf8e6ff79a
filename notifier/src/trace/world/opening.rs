//! Invalidations on their way.

use super::mirror::{Entry, pages_of};
use crate::{
    Hva, HvaRange,
    trace::event::{Gfn, KernelEvent, Tid},
};
use std::ops::Range;

/// An announcement whose handler may still be at work: between `kvm_unmap_hva_range` and whatever its thread does next.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// What was announced.
    pub range: HvaRange,
    /// The announcement.
    pub event: KernelEvent,
    /// Entries of the TDP MMU that the handler has zapped.
    pub zapped: u64,
    /// Whether the secondary MMU was flushed after the last of them.
    pub flushed: bool,
}

impl Opening {
    /// Whether it names a page that an entry of this level at `hva` maps.
    #[must_use]
    pub fn covers(&self, hva: Hva, level: u8) -> bool {
        HvaRange::new(hva, pages_of(level)).is_some_and(|own| own.overlaps(self.range))
    }
}

/// What KVM has in progress, part by part: from its zapping (`kvm_unmap_gfn_range`) to the end of the announced range.
#[derive(Clone, Debug)]
pub struct Window {
    /// Whose invalidation it is.
    pub tid: Tid,
    /// The part of it that is in progress, by guest frames: memory may lie in several memslots, which KVM comes to one after the other.
    pub frames: Range<Gfn>,
    /// All of what was announced.
    pub announced: HvaRange,
    /// Its announcement.
    pub event: KernelEvent,
}

impl Window {
    /// Whether all of an entry is in progress.
    #[must_use]
    pub fn covers(&self, entry: &Entry) -> bool {
        self.frames.start <= entry.gfn && entry.gfn.0.saturating_add(entry.pages()) <= self.frames.end.0
    }
}
