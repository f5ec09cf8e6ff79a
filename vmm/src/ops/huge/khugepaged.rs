//! `khugepaged`: the kernel's own thread finds base pages and copies them into a huge one, unasked. The same as `collapse` in what it
//! does to pages, but in a task of its own, whenever it comes by, and for shmem without a huge entry at once.

use crate::{
    host::{
        facts::Facts,
        knobs::{Knob, Setting},
    },
    memory::Backing,
    ops::{Bed, Done, HostOperation, Operation, OperationError, Rng, huge},
};
use nostale_notifier::{
    addr::{PAGE_SIZE, PMD_SIZE},
    event::Stage,
};
use std::{
    fs,
    time::{Duration, Instant},
};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "khugepaged",
    summary: "huge pages are cut up, and khugepaged finds them and makes them whole",
    usual: &[Backing::ANON_THP],
    more: &[Backing::MEMFD_THP],
    share: 2,
    weight: 2,
    effect: huge::huge_only,
    needs: |facts, _| facts.need_thp(),
    settings,
    make: |_, _| Ok(Box::new(Khugepaged)),
    not_hugetlb: Some("hugetlb pages are never cut up"),
    ..Operation::USUAL
};

const DIR: &str = "/sys/kernel/mm/transparent_hugepage/khugepaged";
/// How long to wait for it: a pass over everybody's memory that asks for huge pages.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at its counter.
const PAUSE: Duration = Duration::from_millis(1);

/// It sleeps for ten seconds between passes, and for a minute when there is no huge page to be had.
fn settings(_: &Facts, _: Backing) -> Vec<Setting> {
    let knob = |name: &str| Knob::number(format!("{DIR}/{name}"));
    vec![
        Setting::essential(knob("scan_sleep_millisecs"), "5"),
        Setting::helpful(knob("alloc_sleep_millisecs"), "5", "khugepaged sleeps for a minute when there is no huge page"),
        Setting::helpful(knob("pages_to_scan"), "65536", "khugepaged looks at few pages at a time"),
    ]
}

struct Khugepaged;

impl HostOperation for Khugepaged {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let Some(claim) = bed.pick_pmd(rng) else { return Ok(Done::Busy) };
        huge::cut_up(claim.range(), rng)?;
        bed.note(Stage::OperationStart, claim.range(), 0);
        let (before, deadline) = (collapsed()?, Instant::now() + PATIENCE);
        let mut made = 0;
        while made == 0 && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
            made = collapsed()?.saturating_sub(before);
        }
        bed.note(Stage::Returned, claim.range(), 0);
        Ok(if made == 0 { Done::Busy } else { Done::Pages(made * PMD_SIZE / PAGE_SIZE) })
    }
}

/// Huge pages that it has made since the boot, of anybody's memory: on a host where nobody else asks for them, of ours.
fn collapsed() -> Result<u64, OperationError> {
    let what = "khugepaged's count of collapsed pages";
    let text = fs::read_to_string(format!("{DIR}/pages_collapsed")).map_err(OperationError::io(what))?;
    Ok(text.trim().parse().unwrap_or(0))
}
