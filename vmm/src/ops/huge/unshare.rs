//! `unshare`: two mappings of a GiB of a hugetlb file share one page table, and userfaultfd takes them apart again.
//!
//! Where two VMAs map the same whole GiB of a hugetlb file in the same way, the second one to fault gets the first one's page table
//! (mm/hugetlb.c, huge_pmd_share). Faults that user space serves belong to one of them alone, so registration unshares the table
//! (hugetlb_unshare_pmds): the PUD entry is dropped, and the pages come back with the next faults.

use crate::{
    host::facts::Facts,
    memory::{
        Backing, Pages, Span,
        userfault::{Features, Modes, Userfault},
    },
    ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, eyes::Eyes, syscall, wait::until_written},
};
use nostale_notifier::{
    HvaRange,
    addr::{PAGE_SIZE, PMD_SIZE, PUD_SIZE},
    event::Stage,
};
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "unshare",
    summary: "share a page table of 2 MiB hugetlb pages with a second mapping, and have userfaultfd take them apart",
    usual: &[Backing::HUGETLB_2M_SHARED],
    weight: 2,
    least: PUD_SIZE / PAGE_SIZE,
    effect: |backing| match (backing.pages, backing.is_shared()) {
        (Pages::Hugetlb2M, true) => Effect::Preserves,
        _ => Effect::Inapplicable("page tables are shared between mappings of one hugetlb file with 2 MiB pages only"),
    },
    needs: |facts, _| facts.need_uffd().and_then(|()| facts.need_uffd_feature(Features::MINOR_HUGETLBFS)),
    make,
    not_hugetlb: None,
    ..Operation::USUAL
};

/// Places at which is looked whether the page table is gone. Guests are back at some of them at once.
const LOOKS: usize = 16;
/// Pages that are to be in use before the table goes: without a wait, a GiB is gone again before anybody has met a page of it.
const USED: usize = 4;
/// How long to wait for that.
const PATIENCE: Duration = Duration::from_millis(10);

fn make(_: &Bed<'_>, _: &Facts) -> crate::ops::Made {
    let uffd = Userfault::open(Features::MINOR_HUGETLBFS)?;
    Ok(Box::new(Unshare { uffd, eyes: Eyes::open()? }))
}

struct Unshare {
    uffd: Userfault,
    eyes: Eyes,
}

impl HostOperation for Unshare {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = PUD_SIZE / PAGE_SIZE;
        let gib = rng.random_range(0..(bed.arena.pages() / pages).max(1));
        let (Some(claim), Some(aside)) = (bed.arena.claim(gib * pages, pages), bed.arena.aside(gib * pages, pages)) else {
            return Ok(Done::Busy);
        };
        // Faults of the guest make home's page table; then the first fault of the second mapping gets the same one.
        let mut used = [0; USED];
        bed.hot_pages(rng, &mut used);
        until_written(bed.system, &used, used.len() as u32, PATIENCE);
        syscall::map_file(aside, bed.arena.file_fd(), claim.first() * PAGE_SIZE, libc::PROT_READ | libc::PROT_WRITE)?;
        let shared = bed.arena.primary().load(aside.start()).is_ok();
        bed.note(Stage::OperationStart, claim.range(), 0);
        self.uffd.register(claim.range(), Modes::MINOR)?;
        let unshared = shared && self.is_gone(&claim, rng)?;
        // Whoever came by meanwhile waits for us: nothing is served here, they go on now.
        self.uffd.unregister(claim.range())?;
        bed.note(Stage::Returned, claim.range(), 0);
        syscall::unmap(aside)?;
        Ok(if unshared { Done::Pages(pages) } else { Done::Busy })
    }
}

impl Unshare {
    /// Whether pages are absent that were all there before.
    fn is_gone(&self, claim: &Span, rng: &mut Rng) -> Result<bool, OperationError> {
        let huge = PMD_SIZE / PAGE_SIZE;
        for _ in 0..LOOKS {
            let first = rng.random_range(0..claim.range().pages() / huge) * huge;
            let place: Option<HvaRange> = claim.range().part(first, 1);
            let pfns = place.map(|place| self.eyes.pfns(place)).transpose()?;
            if pfns.is_some_and(|pfns| pfns == [None]) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
