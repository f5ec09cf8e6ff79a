//! The hot set: the pages that operations and lingering writers meet on.

use super::{Bed, Rng};
use crate::memory::{Claim, Span, System};
use nostale_notifier::addr::{PAGE_SIZE, PMD_SIZE};
use rand::RngExt;
use std::sync::atomic::Ordering::Relaxed;

/// Most pages of the hot set: few enough that writers meet an operation on them, enough that operations do not wait for each other.
const HOT: u64 = 64;
/// Sizes that it has by turns. On a handful of pages every fault races with the next invalidation, on many there is more variety.
const SIZES: [u64; 4] = [4, 16, HOT, HOT];
/// An operation in this many moves the hot set.
const MOVE_HOT: u32 = 256;
/// Operations that cut VMAs into pieces stay below this page, so that `vm.max_map_count` (65,530 by default) is never reached.
const SCATTER: u64 = 16384;

/// vCPUs read some pages and do not write them, until this is dropped.
pub(super) struct LookedAt<'a>(&'a System);

impl Drop for LookedAt<'_> {
    fn drop(&mut self) {
        self.0.set_looked_at(0, 0);
    }
}

impl<'a> Bed<'a> {
    /// Makes these pages the hot set, and asks vCPUs to read them and not to write them: where a write would have to wait, those who
    /// read get on, and have the pages mapped whenever something happens to them.
    pub(super) fn looked_at(&self, span: &Span) -> LookedAt<'a> {
        self.system.set_hot(span.first(), span.range().pages());
        self.system.set_looked_at(span.first(), span.range().pages());
        LookedAt(self.system)
    }

    /// Claims `pages` pages, aligned to as many pages as `align` says, mostly in the hot set. On hugetlb memory these are whole huge
    /// pages, and so may be more than was asked for: what counts is the claim.
    #[must_use]
    pub fn pick(&self, rng: &mut Rng, pages: u64, align: u64) -> Option<Claim<'a>> {
        let unit = self.arena.unit();
        let limit = if unit == 1 { self.arena.pages().min(SCATTER) } else { self.arena.pages() };
        let control = self.system.control();
        if rng.random_range(0..MOVE_HOT) == 0 || control.hot_pages.load(Relaxed) > HOT.max(pages) {
            let size = SIZES[rng.random_range(0..SIZES.len())].max(if align > 1 { pages } else { 0 });
            self.system.set_hot(rng.random_range(0..limit), size.min(limit));
        }
        let (pages, align) = (pages.next_multiple_of(unit), align.next_multiple_of(unit));
        let hot = control.hot_start.load(Relaxed);
        let size = control.hot_pages.load(Relaxed).clamp(1, HOT);
        for _ in 0..8 {
            let first = if rng.random_range(0..8) < 7 { hot + rng.random_range(0..size) } else { rng.random_range(0..limit) };
            let first = first.min(limit.saturating_sub(pages)) / align * align;
            if let Some(claim) = self.arena.claim(first, pages) {
                return Some(claim);
            }
        }
        None
    }

    /// Claims one PMD's worth of aligned pages, or `None` when the arena has none free.
    #[must_use]
    pub fn pick_pmd(&self, rng: &mut Rng) -> Option<Claim<'a>> {
        let pages = PMD_SIZE / PAGE_SIZE;
        if self.arena.pages() < pages { None } else { self.pick(rng, pages, pages) }
    }

    /// Pages that writers are at now, mostly: for operations that need no claim.
    pub fn hot_pages(&self, rng: &mut Rng, pages: &mut [u64]) {
        let limit = self.arena.pages().min(SCATTER);
        if rng.random_range(0..8) == 0 || self.system.control().hot_pages.load(Relaxed) > HOT {
            let size = SIZES[rng.random_range(0..SIZES.len())];
            self.system.set_hot(rng.random_range(0..limit), size.min(limit));
        }
        let hot = self.system.control().hot_start.load(Relaxed);
        let size = self.system.control().hot_pages.load(Relaxed).clamp(1, HOT);
        for page in pages {
            let any = rng.random_range(0..8) == 0;
            *page = if any { rng.random_range(0..limit) } else { (hot + rng.random_range(0..size)).min(limit - 1) };
        }
    }
}
