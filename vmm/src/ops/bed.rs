//! What an operation works on, and how it tells the guest and the oracles what it did.

use super::{OperationError, Rng, wait::until_visits};
use crate::{
    host::{clock, knobs::Knobs},
    live::Plant,
    machine::Vm,
    memory::{Arena, Frame, Retired, Snapshot, Span, System},
    migration::Log,
    oracle::{
        Access, Oracle, PageDump, Violation, Watch, dirty,
        finality::{self, Breach},
    },
};
use nostale_guest::{
    abi::Board,
    page::{GENERATION, LINES, counter_offset},
};
use nostale_notifier::{
    Hva, HvaRange,
    addr::{PAGE_SIZE, PMD_SIZE},
    event::{Event, Stage},
};
use rand::RngExt;
use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, Release},
        },
    },
};

/// Pages that are few enough to look at each: those of one huge page, but not those of the largest.
const FEW: u64 = PMD_SIZE / PAGE_SIZE;
/// Of many, one in so many is looked at. Prime, so that it keeps step with nothing.
const SOME: u64 = 509;

/// Increments that were counted on pages which have since been thrown away, by arena page.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<u64, [u64; LINES]>>);

impl Ledger {
    /// Keeps the counters of a page that was arena page `page` for a while.
    pub fn add(&self, page: u64, counters: [u64; LINES]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = kept.entry(page).or_default();
        sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter);
    }

    /// What was kept for all pages together.
    #[must_use]
    pub fn sums(&self) -> [u64; LINES] {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::array::from_fn(|line| kept.values().map(|counters| counters[line]).sum())
    }

    /// What was kept for arena page `page`.
    #[must_use]
    pub fn get(&self, page: u64) -> [u64; LINES] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&page).copied().unwrap_or_default()
    }
}

/// What one operation thread works on.
#[derive(Clone, Copy, Debug)]
pub struct Bed<'a> {
    /// The pages under test.
    pub arena: &'a Arena,
    /// What is shared with the guest.
    pub system: &'a System,
    /// Where findings and events go.
    pub watch: &'a Watch,
    /// Counters of pages that were thrown away.
    pub ledger: &'a Ledger,
    /// The VM; none in a loop without one.
    pub vm: Option<&'a Vm>,
    /// Whether operations are to end: for those that take long.
    pub stop: &'a AtomicBool,
    /// Migrations of the guest.
    pub journeys: &'a Mutex<Log>,
    /// Where operations change host settings themselves; none, if those are to be left alone.
    pub knobs: Option<&'a Knobs>,
    /// Number of this thread, and name of its operation.
    pub actor: (usize, &'static str),
    /// A deliberately wrong host.
    pub plant: Option<Plant>,
}

impl<'a> Bed<'a> {
    /// The VM, for operations that demand one.
    ///
    /// # Errors
    /// There is none.
    pub fn vm(&self) -> Result<&'a Vm, OperationError> {
        self.vm.ok_or(OperationError::NoVm)
    }

    /// Whether pages drop out of logs of what was written (a planted fault).
    #[must_use]
    pub fn forgets(&self) -> bool {
        self.plant == Some(Plant::MissedDirty)
    }

    /// Migrations of the guest so far.
    pub fn journeys(&self) -> MutexGuard<'a, Log> {
        self.journeys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event.
    pub fn note(&self, stage: Stage, range: HvaRange, generation: u64) {
        let (number, actor) = self.actor;
        self.watch.note(number, Event { tsc: clock::now(), stage, actor: actor.into(), range, generation });
    }

    /// The boards of claimed pages.
    pub fn boards(&self, claim: &Span) -> &'a [Board] {
        let pages = claim.pages();
        &self.system.boards()[pages.start as usize..pages.end as usize]
    }

    /// Publishes that the operation which gives these pages `generation` has returned.
    pub fn publish(&self, claim: &Span, generation: u64) {
        if self.is_silent() {
            return;
        }
        self.boards(claim).iter().for_each(|board| board.returned.store(generation, Release));
        self.note(Stage::Published, claim.range(), generation);
    }

    /// Takes back what was promised of these pages, because it is about to become untrue.
    pub fn take_back(&self, claim: &Span) {
        self.boards(claim).iter().for_each(|board| board.returned.store(0, Release));
    }

    /// Announces that fresh pages with `generation` will take the place of these; old promises end here.
    pub fn announce(&self, claim: &Span, generation: u64) {
        self.boards(claim).iter().for_each(|board| board.next.store(generation, Release));
        self.take_back(claim);
    }

    /// The announced pages are there: they get their generation, and only then is it promised.
    pub fn deliver(&self, claim: &Span, generation: u64) {
        if self.stamp_generation(claim.range(), generation) {
            self.publish(claim, generation);
        }
        self.end_announcement(claim);
    }

    /// What was announced of these pages has come true.
    pub fn end_announcement(&self, claim: &Span) {
        self.boards(claim).iter().for_each(|board| board.next.store(0, Release));
    }

    /// Gives the pages at `range`, wherever they are mapped now, a generation. `false` if any cannot be written.
    pub fn stamp_generation(&self, range: HvaRange, generation: u64) -> bool {
        range.iter().all(|at| self.arena.store_word(at, GENERATION, generation).is_ok())
    }

    /// Looks at the pages at `range`, which `generation` has just taken out of the claim's place. Of pages that cannot be
    /// read (a file's hole, say) only the stamps will be judged.
    #[must_use]
    pub fn retire(&self, claim: &Span, range: HvaRange, generation: u64) -> Vec<(Hva, Retired)> {
        let look = |at| self.arena.snapshot(at).ok();
        let places = self.watched(claim).filter_map(|page| Some((page, range.part(page - claim.first(), 1)?.start())));
        places.map(|(page, at)| (at, Retired { page, generation, snapshot: look(at) })).collect()
    }

    /// The pages of a claim that are worth a look: all of them, but of the thousands in a huge page those that writers are at, and
    /// a few others.
    pub fn watched(&self, claim: &Span) -> impl Iterator<Item = u64> + use<> {
        let (pages, control) = (claim.pages(), self.system.control());
        let hot = control.hot_start.load(Relaxed);
        let hot = hot..hot + control.hot_pages.load(Relaxed).min(FEW);
        let all = pages.end - pages.start <= FEW;
        pages.filter(move |page| all || hot.contains(page) || page.is_multiple_of(SOME))
    }

    /// Looks at retired pages again and reports those that were written meanwhile.
    pub fn inspect(&self, retired: &[(Hva, Retired)]) {
        for (at, retired) in retired {
            if let Ok(now) = self.arena.snapshot(*at) {
                self.judge(retired, now, &format!("the old page, now at {at}"));
            }
        }
    }

    /// Whether nobody ever says that an operation has returned, as if all of them were still running (a planted fault): then
    /// only third threads can tell.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.plant == Some(Plant::StillRunning)
    }

    /// Whether a write goes astray to each page that was just replaced or taken away (a planted fault).
    #[must_use]
    pub fn is_astray(&self) -> bool {
        self.plant == Some(Plant::StrayWrite)
    }

    /// The stray write itself, at a page of the arena.
    pub fn go_astray(&self, at: Hva) {
        if self.is_astray() {
            let last = Hva::new(at.get() + counter_offset(LINES - 1));
            // SAFETY: callers name pages of this arena, wherever they are.
            let _ = unsafe { self.arena.primary().increment(last) };
        }
    }

    /// Judges what a retired page holds now.
    pub fn judge(&self, retired: &Retired, now: Snapshot, what: &str) {
        self.watch.witnessed();
        for breach in finality::inspect(retired, &now) {
            self.report(retired, &now, what, breach);
        }
    }

    /// Judges a frame that was taken out of the arena.
    pub fn judge_frame(&self, frame: Frame, retired: &Retired) {
        if let Some(now) = self.arena.snapshot_frame(frame) {
            self.judge(retired, now, &format!("frame {} of the file, which had been taken out", frame.0));
        }
    }

    fn report(&self, retired: &Retired, now: &Snapshot, what: &str, breach: Breach) {
        let page = retired.page;
        let (writer, expected, found, detail) = match breach {
            Breach::Stamped { oracle, vcpu, promise } => {
                let knew =
                    if oracle == Oracle::ThirdThread { "somebody had seen the new page" } else { "the operation had returned" };
                let detail = format!(
                    "vcpu {vcpu} wrote {what} of arena page {page} after it had read that {knew} (promise {promise}, page retired at {})",
                    retired.generation
                );
                (Some(format!("vcpu {vcpu}")), retired.generation, promise, detail)
            }
            Breach::Moved { line, word, before, after } => {
                let detail = format!(
                    "{what} of arena page {page} was written after the operation had returned: line {line} word {word} went from {before:#x} to {after:#x}"
                );
                (None, before, after, detail)
            }
        };
        let mut pages = vec![PageDump { what: format!("{what}, when the breach was seen"), snapshot: now.clone() }];
        if let Some(snapshot) = retired.snapshot.clone() {
            pages.push(PageDump { what: "the old page when the operation had returned".to_owned(), snapshot });
        }
        if let Ok(snapshot) = self.arena.snapshot(self.arena.hva(page)) {
            pages.push(PageDump { what: format!("arena page {page} through the primary MMU"), snapshot });
        }
        self.watch.report(Violation {
            page: Some(page),
            range: self.arena.home().part(page, 1),
            writer,
            access: Some(Access::Write),
            expected,
            found,
            pages,
            ..Violation::new(breach.oracle(), self.actor.1, detail)
        });
    }

    /// Judges a time in which nobody may write to some pages, because `closed`: no vCPU has made a whole visit.
    pub fn judge_closed(&self, closed: &str, written: &[u64]) {
        for &page in written {
            self.watch.report(dirty::trespassed(self.actor.1, page, closed, self.arena));
        }
    }

    /// The page that a log loses before it is looked at, of those that `must` be in it (a planted fault). Whoever reads a log takes
    /// it out of what was read.
    #[must_use]
    pub fn lost_from_log(&self, must: &[u64]) -> Option<u64> {
        must.first().copied().filter(|_| self.plant == Some(Plant::MissedDirty))
    }

    /// Judges a log: each of the pages that `must` be in it has to be among those it `reported`.
    pub fn judge_log(&self, log: &str, must: &[u64], reported: impl Fn(u64) -> bool) {
        for &page in must.iter().filter(|page| !reported(**page)) {
            self.watch.report(dirty::missed(self.actor.1, page, log, self.arena));
        }
    }

    /// Gives stale writers a moment, or none: the narrow windows matter as much as the wide ones.
    pub fn dwell(&self, rng: &mut Rng) {
        match rng.random_range(0..8) {
            0..4 => until_visits(self.system),
            4..6 => (0..rng.random_range(0..256)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}
