//! `pageout`: `MADV_PAGEOUT`. Private and shmem pages go to swap, pages of a file to the page cache alone; the guest that writes
//! them next takes them back. A second MMU that was not told goes on writing to the old page, and what it writes is lost.

use crate::host::{
    facts::{Facts, Need},
    knobs::Setting,
    vmstat::Events,
};
use crate::memory::{Backing, BackingKind};
use crate::ops::{
    Bed, Done, HostOperation, Operation, OperationError, Rng,
    eyes::{Eyes, reclaim_of},
    syscall,
    wait::until_written,
};
use nostale_notifier::event::Stage;
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "pageout",
    summary: "MADV_PAGEOUT: pages go to swap or to the page cache, and guests fault them back in",
    usual: &[Backing::ANON, Backing::MEMFD],
    more: &[Backing::ANON_THP, Backing::ANON_MTHP, Backing::FILE_SHARED, Backing::FILE_PRIVATE],
    needs,
    settings,
    make: |bed, _| Ok(Box::new(Pageout { eyes: Eyes::open()?, events: reclaim_of(bed.arena.backing()) })),
    ..Operation::USUAL
};

/// Most pages at once.
const MOST: u64 = 64;
/// How long to wait for the guest, which is to have these pages mapped when they go.
const PATIENCE: Duration = Duration::from_millis(2);

pub(super) fn needs(facts: &Facts, backing: Backing) -> Result<(), Need> {
    facts.need_pagemap()?;
    if backing.kind == BackingKind::FileShared { Ok(()) } else { facts.need_swap() }
}

pub(super) fn settings(facts: &Facts, backing: Backing) -> Vec<Setting> {
    // Pages of a file have their file.
    if backing.kind == BackingKind::FileShared { Vec::new() } else { facts.swap.setting().into_iter().collect() }
}

struct Pageout {
    eyes: Eyes,
    events: Events,
}

impl HostOperation for Pageout {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.25) { 1 } else { rng.random_range(2..=MOST).min(bed.arena.pages()) };
        let huge = bed.arena.backing().is_thp() && rng.random_bool(0.25);
        let claim = if huge { bed.pick_pmd(rng) } else { bed.pick(rng, pages, 1) };
        let Some(claim) = claim else { return Ok(Done::Busy) };
        if rng.random_bool(0.5) {
            until_written(bed.system, &claim.pages().collect::<Vec<_>>(), 1, PATIENCE);
        }
        let before = self.eyes.before(claim.range(), self.events)?;
        bed.note(Stage::OperationStart, claim.range(), 0);
        if !out(claim.range())? {
            return Ok(Done::Busy);
        }
        let gone = self.eyes.gone(&before)?;
        bed.note(Stage::Returned, claim.range(), 0);
        Ok(if gone == 0 { Done::Busy } else { Done::Pages(gone) })
    }
}

/// Pages out what can be just now.
pub(super) fn out(range: nostale_notifier::HvaRange) -> Result<bool, OperationError> {
    syscall::advise_gently("madvise(PAGEOUT)", range, libc::MADV_PAGEOUT)
}
