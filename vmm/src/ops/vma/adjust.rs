//! `vma-adjust`: boundaries between VMAs move under faults (seed S3: `vma_prepare`, `vma_adjust_trans_huge`, per-VMA locks).
//!
//! A flag that means nothing to memory itself (whether a core dump has it) makes neighbours two VMAs, and taking it back makes them
//! one. Read-only memory does the same, and then nobody may write it.

use crate::memory::{Backing, Span};
use crate::ops::{
    Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, huge, protecting::look_twice::LookTwice, syscall,
    wait::until_written,
};
use nostale_notifier::{Hva, HvaRange, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "vma-adjust",
    summary: "split, merge, grow and shrink VMAs while others fault: boundaries walk over pages and cut huge ones",
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP, Backing::MEMFD, Backing::MEMFD_THP],
    effect: |_| Effect::Preserves,
    make: |_, _| Ok(Box::new(Adjust)),
    ..Operation::USUAL
};

/// How long to wait for a write to pages whose VMA is about to change.
const PATIENCE: Duration = Duration::from_micros(500);
/// Pages of a neighbour that is no guest memory.
const BESIDE: u64 = 16;

struct Adjust;

impl HostOperation for Adjust {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let whole = if bed.arena.backing().is_thp() && rng.random_range(0..4) == 0 { bed.pick_pmd(rng) } else { None };
        if let Some(whole) = &whole {
            huge::collapse(whole.range())?;
        }
        let pages = rng.random_range(3..=32);
        let edge = whole.is_none() && rng.random_range(0..8) == 0;
        let claim = match whole {
            Some(whole) => Some(whole),
            // The pages at one end of the arena, beside which there is room for a neighbour.
            None if edge => bed.arena.claim(if rng.random_bool(0.5) { 0 } else { bed.arena.pages() - pages }, pages),
            None => bed.pick(rng, pages, 1),
        };
        let Some(claim) = claim else { return Ok(Done::Busy) };
        // Whoever has met these pages has translations of them.
        until_written(bed.system, &[claim.first(), claim.first() + claim.range().pages() / 2], 1, PATIENCE);
        bed.note(Stage::OperationStart, claim.range(), 0);
        match rng.random_range(0..6) {
            _ if edge => beside(bed, &claim, rng)?,
            0 => nest(&claim, rng)?,
            1 => walk(bed, &claim, rng)?,
            2 => holes(&claim, rng)?,
            // Where nothing is huge, the others change no page table.
            _ => read_only(bed, &claim, rng)?,
        }
        bed.note(Stage::Returned, claim.range(), 0);
        Ok(Done::Pages(claim.range().pages()))
    }
}

fn apart(range: HvaRange) -> Result<(), OperationError> {
    syscall::advise("madvise(DONTDUMP)", range, libc::MADV_DONTDUMP)
}

fn together(range: HvaRange) -> Result<(), OperationError> {
    syscall::advise("madvise(DODUMP)", range, libc::MADV_DODUMP)
}

/// Any part of a span, somewhere in its middle.
fn middle(span: &Span, rng: &mut Rng) -> Option<Span> {
    let pages = span.range().pages();
    let first = rng.random_range(1..pages - 1);
    span.part(first, rng.random_range(1..pages - first))
}

/// One VMA becomes three, and one again.
fn nest(span: &Span, rng: &mut Rng) -> Result<(), OperationError> {
    let Some(part) = middle(span, rng) else { return Ok(()) };
    apart(part.range())?;
    together(part.range())
}

/// The boundary between two VMAs walks to and fro: one of them grows by what the other loses.
fn walk(bed: &Bed<'_>, span: &Span, rng: &mut Rng) -> Result<(), OperationError> {
    let pages = span.range().pages();
    let (first, last) = (rng.random_range(0..pages / 2), rng.random_range(pages / 2..pages));
    // Not every page of a huge one: whatever cuts it first has cut it.
    let step = (pages / 8).max(1);
    let part = |first: u64, pages: u64| span.part(first, pages.min(span.range().pages() - first)).map(|part| part.range());
    let mut at = first;
    while at < last {
        part(at, step).map_or(Ok(()), apart)?;
        at += step;
    }
    bed.dwell(rng);
    // From the other end, and then the rest at once.
    if let Some(part) = part(last - (last - first) / 2, pages) {
        together(part)?;
    }
    together(span.range())
}

/// Every other page is a VMA of its own, until all are one again.
fn holes(span: &Span, rng: &mut Rng) -> Result<(), OperationError> {
    let offset = rng.random_range(0..2);
    for page in (offset..span.range().pages().min(32)).step_by(2) {
        span.part(page, 1).map_or(Ok(()), |part| apart(part.range()))?;
    }
    together(span.range())
}

/// The boundary of what may be written walks over pages; those behind it must lie still.
fn read_only(bed: &Bed<'_>, span: &Span, rng: &mut Rng) -> Result<(), OperationError> {
    let Some(part) = middle(span, rng) else { return Ok(()) };
    let pages = part.range().pages().min(16);
    let (Some(part), half) = (part.part(0, pages), pages.div_ceil(2)) else { return Ok(()) };
    // The first half, then the VMA that this has made grows over the second.
    for (first, pages) in [(0, half), (half, pages - half)] {
        part.part(first, pages).filter(|_| pages > 0).map_or(Ok(()), |part| syscall::protect(part.range(), libc::PROT_READ))?;
    }
    let look = LookTwice::first(bed, &part, false);
    bed.dwell(rng);
    look.second(bed);
    syscall::protect(part.range(), libc::PROT_READ | libc::PROT_WRITE)
}

/// A neighbour that is no guest memory merges with the arena, and is taken away: the VMA at the arena's end grows and shrinks.
fn beside(bed: &Bed<'_>, span: &Span, rng: &mut Rng) -> Result<(), OperationError> {
    let (home, bytes) = (bed.arena.home(), BESIDE * PAGE_SIZE);
    let below = span.first() == 0;
    if !below && rng.random_bool(0.5) {
        // The last page grows, and what it has grown by is unmapped again. On a file these are pages that are mapped nowhere.
        let Some(last) = home.part(home.pages() - 1, 1) else { return Ok(()) };
        syscall::resize(last, 1 + BESIDE)?;
        let Some(grown) = HvaRange::new(last.start(), 1 + BESIDE) else { return Ok(()) };
        return syscall::resize(grown, 1);
    }
    let start = if below { home.start().get() - bytes } else { home.end().get() };
    let Some(neighbour) = HvaRange::new(Hva::new(start), BESIDE) else { return Ok(()) };
    if bed.arena.backing().is_shared() && !below {
        let fd = bed.arena.file_fd();
        // Spare pages of the file, which nobody looks at here.
        syscall::map_file(neighbour, fd, bed.arena.pages() * PAGE_SIZE, libc::PROT_READ | libc::PROT_WRITE)?;
    } else {
        syscall::map_anonymous(neighbour)?;
    }
    // Only with the same advice are they one VMA. A kernel without huge pages refuses it, and needs none.
    let huge = if bed.arena.backing().is_large() { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    let _ = syscall::advise("madvise(HUGEPAGE)", neighbour, huge);
    bed.dwell(rng);
    // Its own end first.
    let half = neighbour.part(if below { 0 } else { BESIDE / 2 }, BESIDE / 2);
    half.map_or(Ok(()), syscall::unmap)?;
    syscall::unmap(neighbour)
}
