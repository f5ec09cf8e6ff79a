//! One visit to one page: what a writer does there, and what it checks on the way.
//!
//! The order is the whole point. The board is read *before* the page, so whatever the board says was true of the page before
//! the access that follows; and a number that the page contradicts is read once more before anybody cries wolf, because the
//! host takes a promise back (stores 0) before it breaks it.

use crate::{
    abi::{Board, Check},
    page::{GENERATION, LINES, Page, VALUE},
};
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed},
};

/// A failed check, before it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Which promise was broken.
    pub check: Check,
    /// What had been published.
    pub published: u64,
    /// What the page held.
    pub found: u64,
}

/// Looks at a page without writing to it: read translations can be stale too.
#[inline(always)]
pub fn read(page: Page<'_>, board: &Board) -> Option<Stale> {
    let returned = board.returned.load(Acquire);
    let seen = board.seen.load(Acquire);
    let value = board.value.load(Acquire);
    check(page, board, returned, seen, value)
}

/// Increments every counter of the page once, and stamps it with what the board said before.
#[inline(always)]
pub fn write(page: Page<'_>, board: &Board, vcpu: usize) -> Option<Stale> {
    let returned = board.returned.load(Acquire);
    let seen = board.seen.load(Acquire);
    let value = board.value.load(Acquire);
    let stale = check(page, board, returned, seen, value);
    let stamp = page.stamp(vcpu);
    stamp.returned.store(returned, Relaxed);
    stamp.seen.store(seen, Relaxed);
    increment(page);
    stale
}

/// Increments every counter of the page once and does nothing else.
#[inline(always)]
pub fn increment(page: Page<'_>) {
    for line in 0..LINES {
        page.line(line).counter.fetch_add(1, Relaxed);
    }
}

#[inline(always)]
fn check(page: Page<'_>, board: &Board, returned: u64, seen: u64, value: u64) -> Option<Stale> {
    let generation = page.line(GENERATION).word.load(Acquire);
    let held = page.line(VALUE).word.load(Acquire);
    // One branch on the path that nearly every visit takes.
    if generation >= returned && generation >= seen && held >= value {
        return None;
    }
    confirm(board, [returned, seen, value], generation, held)
}

#[cold]
#[inline(never)]
fn confirm(board: &Board, [returned, seen, value]: [u64; 3], generation: u64, held: u64) -> Option<Stale> {
    let stands = |now: &AtomicU64, then: u64| now.load(Acquire) == then;
    if generation < returned && stands(&board.returned, returned) {
        return Some(Stale { check: Check::Returned, published: returned, found: generation });
    }
    // A page that the kernel has just zero-filled has no generation yet; its operation has not returned either.
    // What was seen stays seen, and what was published stays published: no need to look again.
    if generation < seen && generation != 0 {
        return Some(Stale { check: Check::Seen, published: seen, found: generation });
    }
    if held < value {
        return Some(Stale { check: Check::Value, published: value, found: held });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::PAGE_SIZE;
    use core::cell::UnsafeCell;

    #[repr(align(4096))]
    struct Memory(UnsafeCell<[u8; PAGE_SIZE as usize]>);

    fn with_page(test: impl FnOnce(Page<'_>, &Board)) {
        let memory = Memory(UnsafeCell::new([0; PAGE_SIZE as usize]));
        // SAFETY: aligned, alive for the whole call, and only reached through the atomics of `Page`.
        test(unsafe { Page::at(memory.0.get().cast()) }, &Board::default());
    }

    #[test]
    fn a_visit_increments_every_line_once_and_stamps_what_it_knew() {
        with_page(|page, board| {
            page.line(GENERATION).word.store(9, Relaxed);
            board.returned.store(7, Relaxed);
            board.seen.store(8, Relaxed);
            assert_eq!(write(page, board, 13), None);
            for line in 0..LINES {
                assert_eq!(page.line(line).counter.load(Relaxed), 1, "line {line}");
            }
            assert_eq!(page.stamp(13).returned.load(Relaxed), 7);
            assert_eq!(page.stamp(13).seen.load(Relaxed), 8);
            assert_eq!(page.stamp(12).returned.load(Relaxed), 0, "another vCPU's stamp is not touched");
        });
    }

    #[test]
    fn an_older_page_than_promised_is_stale() {
        with_page(|page, board| {
            page.line(GENERATION).word.store(4, Relaxed);
            board.returned.store(5, Relaxed);
            assert_eq!(read(page, board), Some(Stale { check: Check::Returned, published: 5, found: 4 }));
            board.returned.store(4, Relaxed);
            board.seen.store(6, Relaxed);
            assert_eq!(read(page, board), Some(Stale { check: Check::Seen, published: 6, found: 4 }));
            board.seen.store(0, Relaxed);
            board.value.store(1, Relaxed);
            assert_eq!(write(page, board, 0), Some(Stale { check: Check::Value, published: 1, found: 0 }));
        });
    }

    #[test]
    fn a_promise_taken_back_meanwhile_is_no_finding() {
        with_page(|_, board| {
            // The host stored 0 (in flux) between our two looks at the board.
            assert_eq!(confirm(board, [5, 0, 0], 4, 4), None);
        });
    }

    #[test]
    fn stamps_of_all_vcpus_have_places_of_their_own() {
        with_page(|page, _| {
            for vcpu in 0..crate::abi::MAX_VCPUS {
                page.stamp(vcpu).seen.store(vcpu as u64 + 1, Relaxed);
            }
            for vcpu in 0..crate::abi::MAX_VCPUS {
                assert_eq!(page.stamp(vcpu).seen.load(Relaxed), vcpu as u64 + 1);
            }
        });
    }
}
