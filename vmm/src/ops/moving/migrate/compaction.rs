//! Migration on one NUMA node: memory compaction, made to move guest pages again and again.
//!
//! Compaction (mm/compaction.c) moves movable pages from the low end of a zone into holes of partly used page blocks at its high
//! end; blocks that are entirely free are no targets. Left alone, a second pass therefore finds nothing to do. So this operation
//! builds a conveyor: *ballast*, private memory of this process, is allocated in alternation with the arena's pages, so that both
//! are sprinkled over the same physical range. Each pass then opens holes in the next higher piece of ballast, and drops the rest
//! of the piece below: the arena's pages move up one piece, into the holes.
//!
//! A hole is a run of [`RUN`] pages, not a single one: a pass ends at the first large folio (of the page cache, say) for which it
//! finds no hole (`migrate_pages` returns -ENOMEM). And all holes of a pass together are more than what per-CPU free lists keep
//! out of compaction's sight.

use crate::host::{facts::Facts, vmstat::Events};
use crate::ops::{Bed, Done, HostOperation, OperationError, Rng, eyes::Eyes};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};
use nostale_guest::page::VALUE;
use nostale_notifier::{Hva, HvaRange, Pfn, addr::PAGE_SIZE, event::Stage};
use std::{ffi::c_void, fs::File, io::Write, num::NonZeroUsize, ptr::NonNull};

const KNOB: &str = "/proc/sys/vm/compact_memory";
/// Pages of ballast for each arena page.
const RATIO: u64 = 64;
/// Arena pages that are sprinkled; the others are moved now and then.
const MOST: u64 = 2048;
/// Arena pages whose pfns are looked at.
const LOOK: u64 = 65536;
/// Arena pages that are allocated in a row, before their share of ballast is.
const GROUP: u64 = 32;
/// Pages of a hole, a power of two.
const RUN: u64 = 256;
/// Pieces of ballast, and so passes.
const PIECES: usize = 16;
/// Passes before the conveyor is built.
const SETTLE: usize = 2;

pub(super) struct Compaction {
    ballast: Ballast,
    eyes: Eyes,
    knob: File,
    seen: HvaRange,
    piece: usize,
}

impl Compaction {
    pub(in crate::ops) fn new(bed: &Bed<'_>, facts: &Facts) -> Result<Self, OperationError> {
        let part = bed.arena.home().part(0, bed.arena.pages().min(MOST)).unwrap_or(bed.arena.home());
        // An eighth of what is available: a test must not push the host into reclaim.
        let affordable = facts.memory.available_bytes.known().map_or(0, |&bytes| bytes / 8 / PAGE_SIZE);
        let ratio = RATIO.min(affordable / part.pages()).max(1);
        let eyes = Eyes::open()?;
        let mut knob = File::options().write(true).open(KNOB).map_err(OperationError::io(KNOB))?;
        // Everything else that can move, page cache above all, goes first: it would take the holes that are meant for guest pages.
        for _ in 0..SETTLE {
            knob.write_all(b"1").map_err(OperationError::io(KNOB))?;
        }
        let ballast = Ballast::sprinkle(bed, part, ratio, &eyes)?;
        let seen = bed.arena.home().part(0, bed.arena.pages().min(LOOK)).unwrap_or(part);
        Ok(Self { ballast, eyes, knob, seen, piece: 0 })
    }
}

impl HostOperation for Compaction {
    fn perform(&mut self, bed: &Bed<'_>, _: &mut Rng) -> Result<Done, OperationError> {
        if self.piece == PIECES {
            return Ok(Done::Exhausted);
        }
        self.ballast.open(self.piece);
        self.piece += 1;
        let before = self.eyes.before(self.seen, Events::MIGRATED)?;
        bed.note(Stage::OperationStart, bed.arena.home(), 0);
        self.knob.write_all(b"1").map_err(OperationError::io(KNOB))?;
        bed.note(Stage::Returned, bed.arena.home(), 0);
        Ok(match self.eyes.moved(&before)? {
            0 => Done::Busy,
            moved => Done::Pages(moved),
        })
    }

    fn method(&self) -> Option<&'static str> {
        Some("memory compaction (one NUMA node)")
    }
}

/// Private pages of our own.
struct Ballast {
    start: NonNull<c_void>,
    bytes: NonZeroUsize,
    /// Pages by pfn, ascending.
    by_pfn: Vec<(Pfn, u32)>,
}

// SAFETY: a mapping that only `self` uses; nothing about it belongs to a thread.
unsafe impl Send for Ballast {}

impl Ballast {
    fn sprinkle(bed: &Bed<'_>, part: HvaRange, ratio: u64, eyes: &Eyes) -> Result<Self, OperationError> {
        let pages = part.pages() * ratio;
        let bytes = NonZeroUsize::new((pages * PAGE_SIZE) as usize).unwrap_or(NonZeroUsize::MIN);
        // SAFETY: a fresh mapping at a place of the kernel's choice, used through this pointer alone.
        let mut ballast = unsafe {
            let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
            let start = mmap_anonymous(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags);
            let start = start.map_err(|errno| OperationError::io("ballast for compaction")(errno.into()))?;
            let ballast = Self { start, bytes, by_pfn: Vec::new() };
            // A kernel without THP refuses, and needs no telling; a child of `fork` has no use for it.
            let _ = madvise(start, bytes.get(), MmapAdvise::MADV_NOHUGEPAGE);
            let _ = madvise(start, bytes.get(), MmapAdvise::MADV_DONTFORK);
            ballast
        };
        // Touching a page is what allocates it: a group of the arena's, then its neighbours-to-be.
        for first in (0..part.pages()).step_by(GROUP as usize) {
            let group = first..(first + GROUP).min(part.pages());
            for page in group.clone() {
                let _ = bed.arena.store_word(bed.arena.hva(page), VALUE, 0);
            }
            for page in group.start * ratio..group.end * ratio {
                // SAFETY: inside our own mapping.
                unsafe { ballast.page(page as u32).cast::<u8>().write_volatile(1) };
            }
        }
        let range = HvaRange::new(Hva::new(ballast.start.as_ptr() as u64), pages);
        let pfns = match range {
            Some(range) => eyes.pfns(range)?,
            None => Vec::new(),
        };
        let mut order: Vec<(Pfn, u32)> = pfns.iter().zip(0..).filter_map(|(pfn, page)| Some(((*pfn)?, page))).collect();
        order.sort_unstable();
        ballast.by_pfn = order;
        Ok(ballast)
    }

    fn page(&self, page: u32) -> NonNull<c_void> {
        // SAFETY: inside the mapping, because `page` is one of its pages.
        unsafe { self.start.byte_add(page as usize * PAGE_SIZE as usize) }
    }

    /// Frees every other run of piece `piece`, and the rest of the piece below.
    fn open(&self, piece: usize) {
        let part = |piece: usize, hole: bool| {
            let each = self.by_pfn.len() / PIECES;
            let part = self.by_pfn.get(piece * each..(piece + 1) * each).unwrap_or_default();
            part.iter().filter(move |(pfn, _)| (pfn.get() & RUN != 0) == hole)
        };
        let rest = piece.checked_sub(1).into_iter().flat_map(|below| part(below, false));
        // Neighbours go in one call: each call interrupts every CPU that runs a thread of ours, vCPUs among them.
        let mut pages = part(piece, true).chain(rest).map(|&(_, page)| page);
        let Some(mut first) = pages.next() else { return };
        let mut next = first + 1;
        for page in pages {
            if page != next {
                self.free(first, next);
                first = page;
            }
            next = page + 1;
        }
        self.free(first, next);
    }

    fn free(&self, first: u32, end: u32) {
        // SAFETY: our own private pages, whose contents mean nothing.
        let _ = unsafe { madvise(self.page(first), (end - first) as usize * PAGE_SIZE as usize, MmapAdvise::MADV_DONTNEED) };
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // SAFETY: mapped in `sprinkle`, and nobody has a reference left.
        let _ = unsafe { munmap(self.start, self.bytes.get()) };
    }
}
