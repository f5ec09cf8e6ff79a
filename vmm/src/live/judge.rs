//! The final look at every page: was anything lost, does every parked page lie still?

use super::writer::HostWriter;
use crate::{
    memory::{Arena, Frame, System},
    ops::{Bed, Effect},
    oracle::{
        Oracle, PageDump, Violation,
        conservation::{self, Difference},
    },
};
use nostale_guest::{
    abi::PAGE_SIZE,
    page::{LINES, counter_offset},
};
use nostale_notifier::Hva;
use std::sync::atomic::Ordering::Relaxed;

/// How conservation can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conserved {
    /// Each page on its own.
    Pages,
    /// All pages of the file together.
    Total,
    /// Not at all: contents were thrown away on purpose.
    Nothing,
}

impl Conserved {
    pub(super) fn by(effects: impl Iterator<Item = Effect>) -> Self {
        effects.fold(Self::Pages, |so_far, effect| match (so_far, effect) {
            (Self::Nothing, _) | (_, Effect::Discards) => Self::Nothing,
            (Self::Total, _) | (_, Effect::Exchanges) => Self::Total,
            _ => Self::Pages,
        })
    }
}

/// Judges conservation, once every writer has stopped; gives the increments lost.
pub(super) fn conservation(bed: &Bed<'_>, writers: &[HostWriter], how: Conserved) -> u64 {
    match how {
        Conserved::Nothing => 0,
        Conserved::Pages => pages(bed, writers),
        Conserved::Total => total(bed, writers),
    }
}

fn pages(bed: &Bed<'_>, writers: &[HostWriter]) -> u64 {
    let (arena, system) = (bed.arena, bed.system);
    let tallies: Vec<_> = (0..system.vcpus() as usize).map(|vcpu| system.tally(vcpu)).collect();
    let mut lost = 0;
    for page in 0..arena.pages() {
        let guest = tallies.iter().map(|tally| tally[page as usize].load(Relaxed));
        let host = writers.iter().map(|writer| writer.tally[page as usize].load(Relaxed));
        let added = guest.chain(host).fold(0u32, u32::wrapping_add);
        let kept = bed.ledger.get(page);
        let Some(counters) = counters(arena, page) else {
            unreadable(bed, page);
            continue;
        };
        let found: [u64; LINES] = std::array::from_fn(|line| counters[line] + kept[line]);
        if let Some(difference) = conservation::page(added, found) {
            lost += difference.lost;
            report(bed, Some(page), difference);
        }
    }
    lost
}

fn counters(arena: &Arena, page: u64) -> Option<[u64; LINES]> {
    let mut counters = [0; LINES];
    for (line, counter) in counters.iter_mut().enumerate() {
        *counter = arena.primary().load(Hva::new(arena.hva(page).get() + counter_offset(line))).ok()?;
    }
    Some(counters)
}

fn total(bed: &Bed<'_>, writers: &[HostWriter]) -> u64 {
    let guest: u64 = bed.system.all_vcpus().map(|vcpu| vcpu.counts.write_visits.load(Relaxed)).sum();
    let host: u64 = writers.iter().map(|writer| writer.visits.load(Relaxed)).sum();
    // Pages that are no longer in the file were counted when they went.
    let mut sums = bed.ledger.sums();
    for frame in 0..bed.arena.witnessed() {
        if let Some(page) = bed.arena.snapshot_frame(Frame(frame as u32)) {
            sums.iter_mut().zip(page.counters()).for_each(|(sum, counter)| *sum += counter);
        }
    }
    conservation::total(guest + host, sums).map_or(0, |difference| {
        report(bed, None, difference);
        difference.lost
    })
}

fn report(bed: &Bed<'_>, page: Option<u64>, difference: Difference) {
    let Difference { line, expected, found, lost, extra } = difference;
    let place = page.map_or("the whole file".to_owned(), |page| format!("page {page}"));
    let snapshot = page.and_then(|page| bed.arena.snapshot(bed.arena.hva(page)).ok());
    let pages = snapshot.map(|snapshot| PageDump { what: format!("{place} at the end"), snapshot });
    bed.watch.report(Violation { page, range: page.and_then(|page| bed.arena.home().part(page, 1)), expected, found, pages: pages.into_iter().collect(), ..Violation::new(Oracle::Conservation, bed.actor.1, format!(
            "{place}, line {line} (offset {:#x}): {expected} increments were made, {found} are there; {lost} lost and {extra} too many over all lines",
            counter_offset(line) % PAGE_SIZE
        )) });
}

fn unreadable(bed: &Bed<'_>, page: u64) {
    bed.watch.report(Violation {
        page: Some(page),
        range: bed.arena.home().part(page, 1),
        ..Violation::new(
            Oracle::Conservation,
            bed.actor.1,
            format!("page {page} is not mapped at the end: an operation did not bring it back"),
        )
    });
}

/// Judges every parked frame, once every writer has stopped.
pub(super) fn parked(bed: &Bed<'_>) {
    for (frame, retired) in bed.arena.pool().iter() {
        if let Some(retired) = retired {
            bed.judge_frame(frame, retired);
        }
    }
}

/// Visits that all vCPUs have completed, and those of them that wrote.
pub(super) fn visits(system: &System) -> (u64, u64) {
    system.all_vcpus().fold((0, 0), |(visits, writes), vcpu| {
        (visits + vcpu.counts.visits.load(Relaxed), writes + vcpu.counts.write_visits.load(Relaxed))
    })
}
