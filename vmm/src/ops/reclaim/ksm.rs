//! `ksm`: equal pages are merged into one that is read-only for ever, and every write to a member has to break out of it.
//!
//! Pages that guests count on are never equal. So the claimed pages are moved away for a moment (writers wait), their counters go
//! to the ledger, and they come home blank. Two further members lie where no guest reaches them: they are the witnesses. When all
//! are merged they share one physical page with the guest's, so a write of the guest that does not break out shows in them.
//!
//! KSM merges a page only if its checksum did not change between two scans. During the first, therefore, the pages at home are
//! read-only, and guests read them; write access comes back at the time of the second, so that the merge and the first writes race.

use crate::host::{
    facts::Facts,
    knobs::{Knob, Setting},
};
use crate::live::Plant;
use crate::memory::{Backing, Claim, Retired, Snapshot};
use crate::ops::{
    Bed, Done, Effect, HostOperation, Operation, OperationError, Rng,
    eyes::Eyes,
    syscall,
    wait::{until_all_visited, until_visits, until_written},
};
use nostale_guest::page::{LINES, line_offset};
use nostale_notifier::{Hva, HvaRange, event::Stage};
use rand::RngExt;
use std::{
    fs,
    time::{Duration, Instant},
};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "ksm",
    summary: "KSM: equal pages are merged while guests go for them, broken by their writes, unmerged",
    share: 3,
    usual: &[Backing::ANON],
    more: &[Backing::FILE_PRIVATE],
    effect: |backing| {
        if backing.is_shared() { Effect::Inapplicable("KSM merges private memory alone") } else { Effect::Gathers }
    },
    needs: |facts, _| facts.need_ksm().and_then(|()| facts.need_pagemap()),
    settings: |facts, _| settings(facts),
    make: |_, _| Ok(Box::new(Ksm { eyes: Eyes::open()? })),
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

const DIR: &str = "/sys/kernel/mm/ksm";
/// Most guest pages of a group: scans are slow, so each should be worth it.
const MOST: u64 = 48;
/// Members that no guest reaches: two, so that there is something to merge with even when every guest page is written at once.
const WITNESSES: u64 = 2;
/// How long to wait for a scan, and how often to look.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest that a scan is thought to take: writers wait as long.
const SCAN: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_micros(250);
/// How long to wait for guests to break out.
const BREAK: Duration = Duration::from_millis(4);
/// How long to wait until every vCPU has heard that some pages are only to be read.
const HEARD: Duration = Duration::from_millis(4);
const ALL: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn settings(facts: &Facts) -> Vec<Setting> {
    let knob = |name: &str| format!("{DIR}/{name}");
    let slow = "KSM may merge few pages";
    let mut settings = Vec::new();
    // An advisor would set the pace itself, and refuse ours; a smart scan passes over pages that were different last time.
    if facts.ksm.advisor {
        settings.push(Setting::helpful(Knob::choice(knob("advisor_mode")), "none", slow));
    }
    if facts.ksm.smart_scan {
        settings.push(Setting::helpful(Knob::number(knob("smart_scan")), "0", slow));
    }
    settings.push(Setting::helpful(Knob::number(knob("pages_to_scan")), "1000", slow));
    settings.push(Setting::helpful(Knob::number(knob("sleep_millisecs")), "1", slow));
    settings.push(Setting::essential(Knob::number(knob("run")), "1"));
    settings
}

struct Ksm {
    eyes: Eyes,
}

impl HostOperation for Ksm {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = rng.random_range(2..=MOST).min(bed.arena.pages());
        let Some(claim) = choose(bed, rng, pages) else { return Ok(Done::Busy) };
        let Some(witnesses) = bed.arena.aside(claim.first(), WITNESSES) else { return Ok(Done::Busy) };
        let generation = bed.arena.next_generation();
        bed.note(Stage::OperationStart, claim.range(), generation);
        // Sometimes nothing is written before all are merged, so that there is something to break for sure.
        let race = rng.random_bool(0.5);
        // KSM comes to a page twice: it takes write access away, compares, and puts the common page in its place. Whoever reads the
        // page in between has a translation of the old one, which only the second invalidation ends. A vCPU that is about to write
        // would stand still meanwhile.
        let mut looked_at = Some(bed.looked_at(&claim));
        until_all_visited(bed.system, HEARD);
        blank(bed, &claim, witnesses, generation, rng)?;
        bed.publish(&claim, generation);
        let expected = read(bed, witnesses.start())?;
        let retired = |at: Hva| (at, Retired { page: claim.first(), generation, snapshot: Some(expected.clone()) });
        let watched: Vec<_> = witnesses.iter().map(retired).collect();

        let first = Scan::now()?;
        if race {
            let took = first.wait_for(1)?;
            // Anywhere in the second scan, which takes about as long as the first.
            std::thread::sleep(took.min(SCAN).mul_f64(rng.random_range(0.0..1.5)));
            looked_at = None;
            syscall::protect(claim.range(), ALL)?;
        }
        let merged = self.wait(&claim, witnesses, &first)?;
        bed.note(Stage::Returned, claim.range(), generation);
        if looked_at.is_some() {
            until_visits(bed.system);
        }
        drop(looked_at);
        if !race {
            syscall::protect(claim.range(), ALL)?;
        }
        bed.go_astray(witnesses.start());
        until_written(bed.system, &claim.pages().collect::<Vec<_>>(), 2 * claim.range().pages() as u32, BREAK);
        bed.inspect(&watched);
        self.renew(bed, &claim, rng);
        if rng.random_bool(0.5) {
            // What is merged still is broken by the kernel, while guests break it, too.
            unmerge(claim.range())?;
            unmerge(witnesses)?;
        } else {
            unmerge(witnesses)?;
            unmerge(claim.range())?;
        }
        bed.inspect(&watched);
        bed.note(Stage::Witnessed, claim.range(), generation);
        syscall::unmap(witnesses)?;
        Ok(if merged == 0 { Done::Busy } else { Done::Pages(merged) })
    }
}

/// Hot pages or any: on hot ones writers come at once, elsewhere they leave KSM more time between a first read and a first write.
fn choose<'a>(bed: &Bed<'a>, rng: &mut Rng, pages: u64) -> Option<Claim<'a>> {
    if rng.random_bool(0.5) {
        return bed.pick(rng, pages, 1);
    }
    // Like `Bed::pick`, not where cuts would add up to too many VMAs.
    const SCATTER: u64 = 16384;
    let first = rng.random_range(0..=bed.arena.pages().min(SCATTER).saturating_sub(pages));
    bed.arena.claim(first, pages)
}

/// Makes the claimed pages blank but for `generation`, and the witnesses equal to them; all may be merged, none may be written.
fn blank(bed: &Bed<'_>, claim: &Claim<'_>, witnesses: HvaRange, generation: u64, rng: &mut Rng) -> Result<(), OperationError> {
    let lost = |at| OperationError::Lost { what: "ksm", at };
    let away = bed.arena.away(claim.first(), claim.range().pages()).ok_or(lost(claim.range().start()))?;
    syscall::map_anonymous(witnesses)?;
    syscall::move_pages_to(claim.range(), away.start(), 0)?;
    let retired = bed.retire(claim, away, generation);
    bed.take_back(claim);
    bed.dwell(rng);
    bed.inspect(&retired);
    for (page, at) in claim.pages().zip(away.iter()) {
        bed.ledger.add(page, read(bed, at)?.counters());
        clear(bed, at)?;
    }
    if !bed.stamp_generation(away, generation) || !bed.stamp_generation(witnesses, generation) {
        return Err(lost(away.start()));
    }
    syscall::protect(away, libc::PROT_READ)?;
    syscall::move_pages_to(away, claim.range().start(), 0)?;
    // Not before the move: mremap breaks what is merged.
    syscall::advise("madvise(MERGEABLE)", claim.range(), libc::MADV_MERGEABLE)?;
    syscall::advise("madvise(MERGEABLE)", witnesses, libc::MADV_MERGEABLE)
}

fn read(bed: &Bed<'_>, at: Hva) -> Result<Snapshot, OperationError> {
    bed.arena.snapshot(at).map_err(|_| OperationError::Lost { what: "ksm", at })
}

/// Stores 0 to every word that anybody writes.
fn clear(bed: &Bed<'_>, at: Hva) -> Result<(), OperationError> {
    for line in 0..LINES {
        for word in 0..8 {
            let place = Hva::new(at.get() + line_offset(line) + word * 8);
            // SAFETY: a claimed arena page, which is not at home now.
            unsafe { bed.arena.primary().store(place, 0) }.map_err(|_| OperationError::Lost { what: "ksm", at })?;
        }
    }
    Ok(())
}

fn unmerge(range: HvaRange) -> Result<(), OperationError> {
    // ENOMEM and EAGAIN: the kernel had no page to break one out, and none is in the way of the next attempt.
    syscall::advise_gently("madvise(UNMERGEABLE)", range, libc::MADV_UNMERGEABLE).map(drop)
}

impl Ksm {
    /// Waits until the guest's pages share the witnesses' page, or two scans have come by; how many do or did.
    fn wait(&self, claim: &Claim<'_>, witnesses: HvaRange, first: &Scan) -> Result<u64, OperationError> {
        let mut most = 0;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let over = first.passed()? >= 3 || Instant::now() > deadline;
            let common = self.eyes.pfns(witnesses)?;
            let same =
                self.eyes.pfns(claim.range())?.into_iter().filter(|pfn| pfn.is_some() && common.contains(pfn)).count() as u64;
            most = most.max(same);
            if over || same == claim.range().pages() {
                return Ok(most);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A write of the host's own breaks a page out of the group, too; from then on nobody may read the common page in its place.
    fn renew(&self, bed: &Bed<'_>, claim: &Claim<'_>, rng: &mut Rng) {
        let generation = bed.arena.next_generation();
        if bed.stamp_generation(claim.range(), generation) {
            bed.note(Stage::Returned, claim.range(), generation);
            bed.publish(claim, generation);
            bed.dwell(rng);
        }
    }
}

/// How often KSM has looked at everything.
struct Scan(u64);

impl Scan {
    fn count() -> Result<u64, OperationError> {
        const FILE: &str = "/sys/kernel/mm/ksm/full_scans";
        let text = fs::read_to_string(FILE).map_err(OperationError::io(FILE))?;
        Ok(text.trim().parse().unwrap_or(0))
    }

    fn now() -> Result<Self, OperationError> {
        Ok(Self(Self::count()?))
    }

    fn passed(&self) -> Result<u64, OperationError> {
        Ok(Self::count()?.saturating_sub(self.0))
    }

    /// Waits for so many scans, and tells how long that took.
    fn wait_for(&self, scans: u64) -> Result<Duration, OperationError> {
        let from = Instant::now();
        while self.passed()? < scans && from.elapsed() < PATIENCE {
            std::thread::sleep(LOOK);
        }
        Ok(from.elapsed())
    }
}
