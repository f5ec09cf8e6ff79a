//! `writeback`: pages of a shared file are written to disk and become clean, and read-only, until the next write makes them dirty
//! again. A second MMU that was not told goes on writing to a clean page, and the next write-back does not know of it.
//!
//! The disk is the witness: what a page held before write-back began must be there when it has returned. A direct read first writes
//! back what is dirty, so what it misses is what nobody knew to be dirty. And a clean page that is dropped is read anew from there.

use super::direct::Direct;
use crate::live::Plant;
use crate::{
    memory::{Backing, BackingKind, Snapshot, Span},
    ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall, wait::until_written},
};
use nostale_notifier::{HvaRange, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "writeback",
    summary: "msync or sync_file_range of a shared file: what was written must be on disk, and be dirty again when written again",
    usual: &[Backing::FILE_SHARED],
    effect: |backing| match backing.kind {
        BackingKind::FileShared => Effect::Preserves,
        _ => Effect::Inapplicable("only a shared mapping of a file is written back"),
    },
    disk: true,
    make: |bed, _| Ok(Box::new(Writeback { direct: Direct::open(bed.arena.file_fd())? })),
    faults: &[Plant::MissedDirty],
    ..Operation::USUAL
};

/// Most pages at once.
const MOST: u64 = 16;
/// How long to wait for a guest to write a clean page again.
const PATIENCE: Duration = Duration::from_millis(2);

struct Writeback {
    direct: Direct,
}

impl HostOperation for Writeback {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.25) { 1 } else { rng.random_range(2..=MOST).min(bed.arena.pages()) };
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        let drop_cache = rng.random_range(0..4) == 0;
        // Twice: the first makes the pages clean, the second must find what guests have written to clean pages.
        for _ in 0..2 {
            until_written(bed.system, &claim.pages().collect::<Vec<_>>(), 2 * pages as u32, PATIENCE);
            let before = snapshots(bed, &claim);
            bed.note(Stage::OperationStart, claim.range(), 0);
            write_back(bed, &claim, rng.random_bool(0.5))?;
            bed.note(Stage::Returned, claim.range(), 0);
            self.judge(bed, &before)?;
            bed.note(Stage::Witnessed, claim.range(), 0);
        }
        if drop_cache {
            // Unmapped, clean pages go; guests read them back from the disk.
            syscall::advise_gently("madvise(PAGEOUT)", claim.range(), libc::MADV_PAGEOUT)?;
            for_each_frame(bed, &claim, |range, offset| syscall::drop_cache(range, bed.arena.file_fd(), offset))?;
        }
        Ok(Done::Pages(pages))
    }
}

/// What the pages hold, by what they are of the file.
fn snapshots(bed: &Bed<'_>, claim: &Span) -> Vec<(u64, u64, Snapshot)> {
    let page = |page: u64| Some((page, u64::from(bed.arena.frame_of(page)?.0), bed.arena.snapshot(bed.arena.hva(page)).ok()?));
    claim.pages().filter_map(page).collect()
}

/// Writes the claimed pages back and waits until they are on disk.
fn write_back(bed: &Bed<'_>, claim: &Span, by_file: bool) -> Result<(), OperationError> {
    if by_file {
        return for_each_frame(bed, claim, |range, offset| syscall::sync_file_range(range, bed.arena.file_fd(), offset));
    }
    syscall::sync(claim.range())
}

/// Pages of one claim need not be neighbours in the file once `remap` has been at work.
fn for_each_frame(
    bed: &Bed<'_>,
    claim: &Span,
    mut work: impl FnMut(HvaRange, u64) -> Result<(), OperationError>,
) -> Result<(), OperationError> {
    for (page, at) in claim.pages().zip(claim.range().iter()) {
        let (Some(frame), Some(range)) = (bed.arena.frame_of(page), HvaRange::new(at, 1)) else { continue };
        work(range, u64::from(frame.0) * PAGE_SIZE)?;
    }
    Ok(())
}

impl Writeback {
    fn judge(&mut self, bed: &Bed<'_>, before: &[(u64, u64, Snapshot)]) -> Result<(), OperationError> {
        let mut old = Vec::new();
        let must: Vec<u64> = before.iter().map(|(page, ..)| *page).collect();
        for (page, frame, before) in before {
            // A page that was not written back leaves on the disk what was there before: nothing, at first.
            let lost = bed.lost_from_log(&must) == Some(*page);
            let disk = if lost { Snapshot::empty() } else { self.direct.read(*frame)? };
            if !holds(&disk, before) {
                old.push((*page, disk));
            }
        }
        bed.judge_log("write-back", &must, |page| old.iter().all(|(old, _)| *old != page));
        Ok(())
    }
}

/// Whether the disk has at least what was counted before: counters only grow, and one that is behind tells of a lost write-back.
fn holds(disk: &Snapshot, before: &Snapshot) -> bool {
    disk.counters().into_iter().zip(before.counters()).all(|(disk, before)| disk.wrapping_sub(before) as i64 >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nostale_guest::page::LINES;

    #[test]
    fn one_counter_that_is_behind_on_disk_is_enough() {
        let before = Snapshot { lines: [[5; 8]; LINES] };
        let mut disk = before.clone();
        disk.lines[1][0] = 6;
        assert!(holds(&disk, &before));
        disk.lines[7][0] = 4;
        assert!(!holds(&disk, &before));
    }
}
