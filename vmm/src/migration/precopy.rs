//! Pre-copy: all pages once, then those that were written meanwhile, round by round, until little is left.

use super::{
    BATCH, HOME, MigrationError,
    memory::{Memory, Set},
    stream::{Area, Message, Outgoing, Pages, Sent},
    throttle::Throttle,
    track::Tracker,
};
use crate::machine::{AWAY, Vcpus};
use nostale_notifier::addr::PAGE_SIZE;
use std::time::{Duration, Instant};

/// The downtime that is aimed at: what is left may take as long to send.
const AIM: Duration = Duration::from_millis(20);
/// After so many rounds the guest is stopped, however much is left.
const ROUNDS: u64 = 7;
/// So it is after this time.
const PATIENCE: Duration = Duration::from_secs(3);
/// Where a round leaves more than this many hundredths of what it began with, vCPUs are held back.
const SHRINKS: u64 = 70;

/// Whoever gives a guest away.
pub(super) struct Giver<'a> {
    pub(super) memory: Memory<'a>,
    pub(super) tracker: Option<&'a Tracker<'a>>,
    pub(super) out: &'a mut dyn FnMut(&Message) -> Result<u64, MigrationError>,
    /// Looked at between batches: whether the other side is still there.
    pub(super) check: &'a mut dyn FnMut() -> Result<(), MigrationError>,
    /// The planted fault: pages drop out of the last round.
    pub(super) forgets: bool,
    pub(super) sent: Sent,
    todo: Set,
    batch: Pages,
}

/// Pages that the planted fault forgets.
const FORGOTTEN: usize = 64;

impl<'a> Giver<'a> {
    /// One that will send `todo` first.
    pub(super) fn new(
        memory: Memory<'a>,
        tracker: Option<&'a Tracker<'a>>,
        out: &'a mut dyn FnMut(&Message) -> Result<u64, MigrationError>,
        check: &'a mut dyn FnMut() -> Result<(), MigrationError>,
        todo: Set,
    ) -> Self {
        Self { memory, tracker, out, check, forgets: false, sent: Sent::default(), todo, batch: Pages::default() }
    }

    /// Pages that are still to be sent, as far as is known.
    pub(super) const fn todo(&self) -> &Set {
        &self.todo
    }

    /// Rounds while the guest runs, until what is left fits into the downtime, or does not get less.
    pub(super) fn rounds(&mut self, vcpus: &Vcpus) -> Result<(), MigrationError> {
        let (begin, mut throttle) = (Instant::now(), Throttle::default());
        loop {
            let before = self.todo.count();
            self.round()?;
            let left = self.todo.count();
            self.sent.converged = self.fits(left);
            if self.sent.converged || self.sent.rounds >= ROUNDS || begin.elapsed() > PATIENCE {
                break;
            }
            // The first round takes longest, so what was written meanwhile says little.
            if self.sent.rounds > 1 && left * 100 > before * SHRINKS {
                throttle.step(vcpus, self.memory.arena.devices());
            }
        }
        self.sent.throttled = throttle.percent();
        Ok(())
    }

    /// Whether so many pages can be sent in the downtime that is aimed at, as fast as it went so far.
    fn fits(&self, pages: u64) -> bool {
        let bytes_each_us = self.sent.bytes as f64 / self.sent.sending_us.max(1) as f64;
        (pages * PAGE_SIZE) as f64 <= bytes_each_us * AIM.as_micros() as f64
    }

    /// Sends what is to be sent. Afterwards that is what was written since.
    pub(super) fn round(&mut self) -> Result<(), MigrationError> {
        let todo = std::mem::replace(&mut self.todo, Set::none(&self.memory));
        let begin = Instant::now();
        self.send(&todo)?;
        self.sent.sending_us += begin.elapsed().as_micros() as u64;
        self.sent.rounds += 1;
        self.harvest()
    }

    /// Sends what is to be sent of the system slot, after a last harvest; the arena's pages wait.
    pub(super) fn round_of_system(&mut self) -> Result<(), MigrationError> {
        self.harvest()?;
        let system = Set { system: std::mem::take(&mut self.todo.system), ..Set::none(&self.memory) };
        let begin = Instant::now();
        self.send(&system)?;
        self.sent.sending_us += begin.elapsed().as_micros() as u64;
        self.sent.rounds += 1;
        Ok(())
    }

    fn harvest(&mut self) -> Result<(), MigrationError> {
        let Some(tracker) = self.tracker else { return Ok(()) };
        self.todo.merge(&tracker.harvest()?);
        Ok(())
    }

    /// The last round, while nobody writes: all that is left, and pages that other operations have are waited for.
    pub(super) fn last_round(&mut self) -> Result<(), MigrationError> {
        self.harvest()?;
        if self.forgets {
            let pages: Vec<u64> = self.todo.arena.pages().take(FORGOTTEN).collect();
            pages.into_iter().for_each(|page| self.todo.arena.remove(page));
        }
        let begin = Instant::now();
        loop {
            let todo = std::mem::replace(&mut self.todo, Set::none(&self.memory));
            self.send(&todo)?;
            let Some((_, first)) = self.todo.pages().next() else { break };
            if begin.elapsed() > HOME {
                return Err(MigrationError::NotHome { pages: self.todo.count(), first, bound: HOME });
            }
            std::thread::sleep(AWAY);
        }
        self.sent.sending_us += begin.elapsed().as_micros() as u64;
        self.sent.rounds += 1;
        Ok(())
    }

    /// Sends pages; those that are not at home are to be sent later.
    pub(super) fn send(&mut self, pages: &Set) -> Result<(), MigrationError> {
        for (area, page) in pages.pages() {
            if self.batch.arena != (area == Area::Arena) {
                self.flush()?;
                self.batch.arena = area == Area::Arena;
            }
            self.put(area, page);
            if self.batch.entries.len() == BATCH {
                self.flush()?;
            }
        }
        self.flush()
    }

    fn put(&mut self, area: Area, page: u64) {
        let start = self.batch.data.len();
        self.batch.data.resize(start + PAGE_SIZE as usize, 0);
        if !self.memory.read(area, page, &mut self.batch.data[start..]) {
            self.batch.data.truncate(start);
            self.todo.insert(area, page);
            return;
        }
        let zero = is_zero(&self.batch.data[start..]);
        if zero {
            self.batch.data.truncate(start);
        }
        self.sent.zeros += u64::from(zero);
        self.batch.entries.push((page, zero));
    }

    fn flush(&mut self) -> Result<(), MigrationError> {
        (self.check)()?;
        // vCPUs whose rings are full stand still until somebody takes what is in them. Pages come again for that, after this.
        if self.tracker.is_some_and(Tracker::has_rings) {
            self.harvest()?;
        }
        if self.batch.entries.is_empty() {
            return Ok(());
        }
        let mut message = Message::Pages(std::mem::take(&mut self.batch));
        self.sent.bytes += (self.out)(&message)?;
        if let Message::Pages(pages) = &mut message {
            self.sent.pages += pages.entries.len() as u64;
            pages.entries.clear();
            pages.data.clear();
            self.batch = std::mem::take(pages);
        }
        Ok(())
    }
}

fn is_zero(page: &[u8]) -> bool {
    // Most pages that are not begin with a counter; for the others this is as fast as memory is.
    page.chunks_exact(64).all(|line| line.iter().fold(0, |all, byte| all | byte) == 0)
}

/// A message through a shared end.
pub(super) fn through(out: &std::sync::Mutex<Outgoing>) -> impl FnMut(&Message) -> Result<u64, MigrationError> + '_ {
    |message| out.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send(message)
}
