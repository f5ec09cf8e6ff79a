//! `pagemap-scan`: the log of written pages that Linux keeps by write-protecting them (PAGEMAP_SCAN with PM_SCAN_WP_MATCHING on memory
//! under asynchronous userfaultfd write protection). Each scan reads the log and begins it anew in one go.

use crate::live::Plant;
use crate::memory::{
    Backing, PagemapScan, Span,
    userfault::{Features, Modes, Userfault},
};
use crate::ops::{
    Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, eyes::PAGEMAP, huge, own_vma::OwnVma, wait::until_written,
};
use crate::oracle::dirty::Written;
use nostale_notifier::{HvaRange, event::Stage};
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "pagemap-scan",
    summary: "PAGEMAP_SCAN reads which pages were written and protects them again; each later write is in the next scan",
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP, Backing::MEMFD, Backing::FILE_SHARED],
    // Asynchronous write protection is for memory of any kind.
    effect: |_| Effect::Preserves,
    needs: |facts, _| facts.need_uffd().and_then(|()| facts.need_uffd_feature(Features::WRITE_PROTECT_ASYNC)),
    make: |_, _| {
        let features = Features::WRITE_PROTECT | Features::WRITE_PROTECT_ASYNC;
        Ok(Box::new(Scan {
            uffd: Userfault::open(features)?,
            pagemap: PagemapScan::open().map_err(OperationError::io(PAGEMAP))?,
        }))
    },
    faults: &[Plant::MissedDirty],
    ..Operation::USUAL
};

/// Scans of a claim.
const ROUNDS: u64 = 3;
/// How long to wait for writes between two of them. Each takes the guest a fault first.
const PATIENCE: Duration = Duration::from_millis(20);

struct Scan {
    uffd: Userfault,
    pagemap: PagemapScan,
}

impl HostOperation for Scan {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.25) { 1 } else { rng.random_range(2..=64).min(bed.arena.pages()) };
        let whole = if bed.arena.backing().is_thp() && rng.random_range(0..4) == 0 { bed.pick_pmd(rng) } else { None };
        let Some(claim) = whole.or_else(|| bed.pick(rng, pages, 1)) else { return Ok(Done::Busy) };
        if bed.arena.backing().is_thp() && rng.random_bool(0.25) && claim.range().pages() > 64 {
            huge::collapse(claim.range())?;
        }
        let _own = if rng.random_bool(0.5) { Some(OwnVma::cut(bed, &claim)?) } else { None };
        self.uffd.register(claim.range(), Modes::WRITE_PROTECT)?;
        let scanned = self.scan(bed, &claim);
        // Dropped in any case: what stays registered would be cut out of its VMA for ever.
        self.uffd.unregister(claim.range())?;
        Ok(match scanned? {
            0 => Done::Busy,
            pages => Done::Pages(pages),
        })
    }
}

impl Scan {
    /// Scans some times; the pages that were found written.
    fn scan(&self, bed: &Bed<'_>, claim: &Span) -> Result<u64, OperationError> {
        let pages: Vec<u64> = claim.pages().collect();
        // The first one protects everything: here the log begins.
        self.pagemap.written(claim.range()).map_err(OperationError::io("PAGEMAP_SCAN"))?;
        let mut found = 0;
        for _ in 0..ROUNDS {
            let log = Written::since(bed.system, claim.pages());
            until_written(bed.system, &pages, 2 * pages.len().min(16) as u32, PATIENCE);
            let must = log.must_be_dirty(bed.system);
            bed.note(Stage::OperationStart, claim.range(), 0);
            let mut reported = self.pagemap.written(claim.range()).map_err(OperationError::io("PAGEMAP_SCAN"))?;
            bed.note(Stage::Returned, claim.range(), 0);
            if let Some(lost) = bed.lost_from_log(&must).and_then(|page| claim.part(page - claim.first(), 1)) {
                reported.retain(|range| !range.overlaps(lost.range()));
            }
            let is_in = |page: u64| claim.part(page - claim.first(), 1).is_some_and(|page| holds(&reported, page.range()));
            bed.judge_log("PAGEMAP_SCAN", &must, is_in);
            found += must.len() as u64;
            if must.is_empty() {
                // The guest has no use for these pages at the moment.
                break;
            }
        }
        Ok(found)
    }
}

fn holds(reported: &[HvaRange], page: HvaRange) -> bool {
    reported.iter().any(|range| range.overlaps(page))
}
