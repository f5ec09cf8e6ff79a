//! What a page of the arena holds.
//!
//! Eight *lines* (cache lines), spread over the page from its first to its last: a copy of the page reaches them at different
//! times, so a write that is lost between copy and invalidation shows on at least one. Everything a visit touches is on these
//! lines, so the checks ride on cache misses that the increments pay for anyway.

use crate::abi::{MAX_VCPUS, PAGE_SIZE};
use core::{marker::PhantomData, sync::atomic::AtomicU64};

/// Lines of a page that are in use.
pub const LINES: usize = 8;

/// Distance between two lines: the last one ends with the page, and no two share an L1 set.
pub const LINE_STRIDE: u64 = (PAGE_SIZE - size_of::<Line>() as u64) / (LINES as u64 - 1);

const _: () = assert!(LINE_STRIDE.is_multiple_of(64));
const _: () = assert!(LINES * STAMPS_PER_LINE == MAX_VCPUS);

const STAMPS_PER_LINE: usize = 3;

/// The line whose word is the page's generation.
pub const GENERATION: usize = 0;
/// The line whose word is the host's value.
pub const VALUE: usize = 1;

/// One line of a page.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Line {
    /// Shared counter: every writer, guest or host, increments it once a visit.
    pub counter: AtomicU64,
    /// Written by the host alone; what it means depends on the line ([`GENERATION`], [`VALUE`]).
    pub word: AtomicU64,
    /// One for each vCPU that stamps on this line ([`stamp_place`]).
    pub stamps: [Stamp; STAMPS_PER_LINE],
}

/// What a vCPU knew when it wrote here: an epoch-stamped store.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Stamp {
    /// [`crate::abi::Board::returned`], as read before the store.
    pub returned: AtomicU64,
    /// [`crate::abi::Board::seen`], as read before the store.
    pub seen: AtomicU64,
}

/// Line and slot of vCPU `vcpu`'s stamp. `vcpu < MAX_VCPUS`.
#[must_use]
pub const fn stamp_place(vcpu: usize) -> (usize, usize) {
    (vcpu % LINES, vcpu / LINES % STAMPS_PER_LINE)
}

/// Offset of line `line` in its page, in bytes.
#[must_use]
pub const fn line_offset(line: usize) -> u64 {
    line as u64 * LINE_STRIDE
}

/// Offset of the counter on `line` in its page, in bytes.
#[must_use]
pub const fn counter_offset(line: usize) -> u64 {
    line_offset(line) + core::mem::offset_of!(Line, counter) as u64
}

/// Offset of the host's word on `line` in its page, in bytes.
#[must_use]
pub const fn word_offset(line: usize) -> u64 {
    line_offset(line) + core::mem::offset_of!(Line, word) as u64
}

/// A mapped page of the arena.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    base: *const u8,
    mapped: PhantomData<&'a Line>,
}

impl<'a> Page<'a> {
    /// The page at address `base`.
    ///
    /// # Safety
    /// `base` is page-aligned, and for `'a` a page is mapped there, readable and writable, that is only accessed atomically.
    #[must_use]
    pub const unsafe fn at(base: *const u8) -> Self {
        Self { base, mapped: PhantomData }
    }

    /// Line `line` of the page, below [`LINES`].
    #[must_use]
    #[inline(always)]
    #[allow(clippy::cast_ptr_alignment, reason = "the page is page-aligned and the stride a multiple of the line's alignment")]
    pub fn line(&self, line: usize) -> &'a Line {
        debug_assert!(line < LINES);
        // SAFETY: `at` promises a mapped page, and a line below LINES lies in it.
        unsafe { &*self.base.add(line_offset(line) as usize).cast::<Line>() }
    }

    /// The stamp of vCPU `vcpu`.
    #[must_use]
    #[inline(always)]
    pub fn stamp(&self, vcpu: usize) -> &'a Stamp {
        let (line, slot) = stamp_place(vcpu);
        &self.line(line).stamps[slot]
    }
}
