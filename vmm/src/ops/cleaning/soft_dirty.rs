//! `soft-dirty`: `/proc/self/clear_refs` takes write access away from every page, and the pagemap tells which were written since.

use crate::live::Plant;
use crate::{
    machine::AWAY,
    memory::{Backing, Entry},
    ops::{
        Bed, Done, Effect, HostOperation, Operation, OperationError, Rng,
        eyes::Eyes,
        wait::{until, until_written},
    },
    oracle::dirty::Written,
};
use nostale_notifier::event::Stage;
use rand::RngExt;
use std::{fs::File, io::Write, time::Duration};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "soft-dirty",
    summary: "/proc/self/clear_refs: every page that is written after it must be in the pagemap as soft-dirty",
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP],
    effect: |backing| {
        if backing.is_shared() {
            Effect::Inapplicable("a page of a file loses its soft-dirty bit whenever it is unmapped")
        } else {
            Effect::Preserves
        }
    },
    needs: |facts, _| facts.need_soft_dirty(),
    make: |_, _| {
        let clear = File::options().write(true).open(CLEAR).map_err(OperationError::io(CLEAR))?;
        Ok(Box::new(SoftDirty { eyes: Eyes::open()?, clear }))
    },
    faults: &[Plant::MissedDirty],
    ..Operation::USUAL
};

const CLEAR: &str = "/proc/self/clear_refs";
/// Most pages that are watched.
const MOST: u64 = 32;
/// How long to wait for writes to them. Every page of the guest has to be faulted in again, which takes long under emulation.
const PATIENCE: Duration = Duration::from_millis(100);

struct SoftDirty {
    eyes: Eyes,
    clear: File,
}

impl HostOperation for SoftDirty {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = rng.random_range(1..=MOST).min(bed.arena.pages());
        // Claimed: nobody may put other pages there between clearing and reading, whose bits say something else.
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        let all: Vec<u64> = claim.pages().collect();
        if rng.random_bool(0.5) {
            // A guest that has these pages mapped for writing is the one that must be stopped.
            until_written(bed.system, &all, 1, PATIENCE);
        }
        bed.note(Stage::OperationStart, claim.range(), 0);
        self.clear.write_all(b"4").map_err(OperationError::io(CLEAR))?;
        let written = Written::since(bed.system, claim.pages());
        bed.note(Stage::Returned, claim.range(), 0);
        // Seldom all of them: where many were written, some were written just now.
        let enough = rng.random_range(1..=pages as usize);
        let mut must = Vec::new();
        until(PATIENCE, AWAY, || {
            must = written.must_be_dirty(bed.system);
            must.len() >= enough
        });
        let mut entries = self.eyes.entries(claim.range())?;
        if let Some(lost) = bed.lost_from_log(&must).and_then(|page| entries.get_mut((page - claim.first()) as usize)) {
            *lost = Entry::default();
        }
        let dirty = |page: u64| entries.get((page - claim.first()) as usize).is_some_and(|entry| entry.is_soft_dirty());
        bed.judge_log("soft-dirty tracking", &must, dirty);
        bed.note(Stage::Witnessed, claim.range(), 0);
        // Nothing was tried with a page that nobody wrote.
        Ok(if must.is_empty() { Done::Busy } else { Done::Pages(must.len() as u64) })
    }
}
