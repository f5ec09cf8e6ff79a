//! `truncate`: the file behind guest memory becomes shorter, and long again. Pages beyond its end are unmapped, private copies of
//! them as well, and nobody can reach them until it grows.

use super::{pipe::PagePipe, thrown::Thrown};
use crate::live::Plant;
use crate::memory::{Backing, Claim, FramePool, Span};
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall, wait::until_written};
use crate::oracle::dirty::Written;
use nostale_notifier::addr::PAGE_SIZE;
use rand::RngExt;
use std::{ops::RangeInclusive, time::Duration};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "truncate",
    summary: "ftruncate under the guest, and back: nobody reaches the pages in between, and nobody ever the old ones",
    usual: &[Backing::MEMFD],
    more: &[Backing::FILE_SHARED, Backing::FILE_PRIVATE, Backing::HUGETLB_2M_SHARED],
    effect: |backing| {
        if backing.has_file() || backing.is_shared() {
            Effect::Discards
        } else {
            Effect::Inapplicable("anonymous memory has no file that could be truncated")
        }
    },
    rejects: |other, _| match other.name {
        _ if other.disk => {
            Some("the disk that is made for it, where files are in memory, is a device, and those keep their length")
        }
        // unmap_mapping_range() takes private copies as well, those of children that look at theirs.
        "fork" => Some("truncation takes the pages of forked children, too"),
        _ => None,
    },
    make: |_, _| Ok(Box::new(Truncate { pipe: PagePipe::new().ok() })),
    not_hugetlb: None,
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

/// How long to wait for the guest to meet the pages: before they go, and while they are away.
const PATIENCE: Duration = Duration::from_millis(2);
/// Least pages of the hot set, which this moves to the end of the arena: some of them stay, so that not all writers wait.
const HOT: u64 = 32;
/// An operation in this many takes everything.
const WHOLE: u32 = 64;

struct Truncate {
    pipe: Option<PagePipe>,
}

impl HostOperation for Truncate {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let Some(claim) = last(bed, rng) else { return Ok(Done::Busy) };
        // Nobody takes a spare page while the file ends before it.
        let mut pool = bed.arena.pool();
        let Some(end) = end(bed, &claim, &pool) else { return Ok(Done::Busy) };
        let hot = claim.range().pages().max(HOT).min(bed.arena.pages());
        bed.system.set_hot(bed.arena.pages() - hot, hot);
        until_written(bed.system, &claim.pages().take(4).collect::<Vec<_>>(), 4, PATIENCE);
        let Some(thrown) = Thrown::begin(bed, &claim, self.pipe.as_ref(), rng) else { return Ok(Done::Busy) };
        let (fd, full) = (bed.arena.file_fd(), end.end() * PAGE_SIZE);
        syscall::truncate(claim.range(), fd, end.start() * PAGE_SIZE)?;
        let written = Written::since(bed.system, claim.pages());
        thrown.returned(bed, &claim);
        pool.forget();
        bed.dwell(rng);
        bed.judge_closed("the file ended before it", &written.must_be_dirty(bed.system));
        syscall::truncate(claim.range(), fd, full)?;
        drop(pool);
        thrown.end(bed, &claim, self.pipe.as_mut(), rng)?;
        Ok(Done::Pages(claim.range().pages()))
    }
}

/// The last pages of the arena, or now and then all of them.
fn last<'a>(bed: &Bed<'a>, rng: &mut Rng) -> Option<Claim<'a>> {
    let all = bed.arena.pages();
    let pages = match rng.random_range(0..WHOLE) {
        0 => all,
        n if n % 2 == 0 => 1,
        _ => rng.random_range(2..=PagePipe::MOST).min(all),
    };
    let pages = pages.next_multiple_of(bed.arena.unit());
    bed.arena.claim(all - pages, pages)
}

/// Where the file can end, and where it ends now, in pages: everything in between is claimed, or spare. `None` if other operations
/// have exchanged pages so that the last ones of the arena are not the last ones of the file.
fn end(bed: &Bed<'_>, claim: &Span, pool: &FramePool) -> Option<RangeInclusive<u64>> {
    if !bed.arena.backing().is_shared() {
        return Some(claim.first()..=bed.arena.pages());
    }
    let full = bed.arena.witnessed();
    let mut ours = vec![false; full as usize];
    let claimed = claim.pages().filter_map(|page| bed.arena.frame_of(page));
    for frame in claimed.clone().chain(pool.iter().map(|(frame, _)| frame)) {
        // Of a huge page in the pool one part stands for all.
        let unit = bed.arena.unit() as usize;
        let first = frame.0 as usize / unit * unit;
        ours.get_mut(first..first + unit)?.fill(true);
    }
    let end = ours.iter().rposition(|&ours| !ours).map_or(0, |last| last as u64 + 1);
    claimed.clone().all(|frame| u64::from(frame.0) >= end).then_some(end..=full)
}
