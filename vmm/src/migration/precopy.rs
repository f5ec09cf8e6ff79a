//! Pre-copy: all pages once, then those that were written meanwhile, round by round, until little is left.

use super::{
    BATCH, HOME, MigrationError,
    memory::{Memory, Set},
    stream::{Area, Message, Outgoing, Pages, Sent},
    throttle::Throttle,
    track::Tracker,
};
use crate::{
    machine::{AWAY, Vcpus},
    memory::Devices,
};
use nostale_notifier::addr::PAGE_SIZE;
use std::time::{Duration, Instant};

/// The downtime that is aimed at: what is left may take as long to send.
const AIM: Duration = Duration::from_millis(20);
/// After so many rounds the guest is stopped, however much is left.
const ROUNDS: u64 = 7;
/// So it is after this time,
const PATIENCE: Duration = Duration::from_secs(3);
/// or after so many times what the first round took, if that is longer: of a large guest one round alone may take longer, and what is
/// left before vCPUs are held back is most of it.
const FIRST_ROUNDS: u32 = 4;
/// Where a round leaves more than this many hundredths of what it began with, vCPUs are held back.
const SHRINKS: u64 = 70;
/// So they are where a round leaves more than can be sent in this time, the first one included; and each time that a round has taken as
/// long again, so that many vCPUs on few CPUs leave some to whoever sends.
const LONG: Duration = Duration::from_secs(1);
/// But during a round no more than for so many percent of the time: a guest that does nothing is no guest to migrate.
const DURING: u64 = 80;

/// vCPUs that are held back while rounds take long.
struct Held<'a> {
    vcpus: &'a Vcpus,
    devices: Option<&'a Devices>,
    throttle: Throttle<'a>,
    again: Instant,
}

impl Held<'_> {
    fn more(&mut self) {
        self.throttle.step(self.vcpus, self.devices);
        self.again = Instant::now() + LONG;
    }

    /// Looks whether the round has become long.
    fn look(&mut self) {
        if Instant::now() > self.again && self.throttle.percent() < DURING {
            self.more();
        }
    }
}

/// What is known after a round.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// How many there were.
    rounds: u64,
    /// How long all of them took, and the first one.
    elapsed: Duration,
    first: Duration,
    /// Pages with which it began, and which were written meanwhile.
    before: u64,
    left: u64,
    /// How long those will take, as fast as it went so far.
    rest: Duration,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The last round: what is left fits into the downtime, or it does not.
    Last { converged: bool },
    /// Another round, with vCPUs held back more than before.
    HoldBack,
    /// Another round.
    GoOn,
}

impl Round {
    fn next(&self) -> Next {
        let patience = PATIENCE.max(self.first * FIRST_ROUNDS);
        if self.rest <= AIM {
            Next::Last { converged: true }
        } else if self.rounds >= ROUNDS || self.elapsed > patience {
            Next::Last { converged: false }
        } else if self.rest > LONG || self.rounds > 1 && self.left * 100 > self.before * SHRINKS {
            // The first round takes longest, so what was written meanwhile says little unless it is too much for any downtime.
            Next::HoldBack
        } else {
            Next::GoOn
        }
    }
}

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
    held: Option<Held<'a>>,
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
        Self { memory, tracker, out, check, forgets: false, sent: Sent::default(), todo, batch: Pages::default(), held: None }
    }

    /// Pages that are still to be sent, as far as is known.
    pub(super) const fn todo(&self) -> &Set {
        &self.todo
    }

    /// Rounds while the guest runs, until what is left fits into the downtime, or does not get less.
    pub(super) fn rounds(&mut self, vcpus: &'a Vcpus) -> Result<(), MigrationError> {
        let (begin, mut first) = (Instant::now(), None);
        self.hold_when_long(vcpus);
        loop {
            let before = self.todo.count();
            self.round()?;
            let (left, elapsed) = (self.todo.count(), begin.elapsed());
            let first = *first.get_or_insert(elapsed);
            let round = Round { rounds: self.sent.rounds, elapsed, first, before, left, rest: self.time_for(left) };
            match round.next() {
                Next::Last { converged } => {
                    self.sent.converged = converged;
                    break;
                }
                Next::HoldBack => self.held.iter_mut().for_each(Held::more),
                Next::GoOn => {}
            }
        }
        self.sent.throttled = self.held.take().map_or(0, |held| held.throttle.percent());
        Ok(())
    }

    /// One round while the guest runs.
    pub(super) fn pass(&mut self, vcpus: &'a Vcpus) -> Result<(), MigrationError> {
        self.hold_when_long(vcpus);
        let passed = self.round();
        self.held = None;
        passed
    }

    fn hold_when_long(&mut self, vcpus: &'a Vcpus) {
        let devices = self.memory.arena.devices();
        self.held = Some(Held { vcpus, devices, throttle: Throttle::default(), again: Instant::now() + LONG });
    }

    /// How long it takes to send so many pages, as fast as it went so far.
    fn time_for(&self, pages: u64) -> Duration {
        let us_each_byte = self.sent.sending_us as f64 / self.sent.bytes.max(1) as f64;
        Duration::from_micros(((pages * PAGE_SIZE) as f64 * us_each_byte) as u64)
    }

    /// Sends what is to be sent. Afterwards that is what was written since.
    fn round(&mut self) -> Result<(), MigrationError> {
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
        self.held.iter_mut().for_each(Held::look);
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn round(rounds: u64, elapsed: Duration, first: Duration, left: u64, rest: Duration) -> Next {
        Round { rounds, elapsed, first, before: 100, left, rest }.next()
    }

    #[test]
    fn a_small_guest_is_held_back_when_rounds_do_not_shrink_and_stopped_in_the_end() {
        assert_eq!(round(1, 60 * MS, 60 * MS, 100, 55 * MS), Next::GoOn);
        assert_eq!(round(2, 110 * MS, 60 * MS, 30, 40 * MS), Next::GoOn);
        assert_eq!(round(2, 110 * MS, 60 * MS, 90, 50 * MS), Next::HoldBack);
        assert_eq!(round(3, 140 * MS, 60 * MS, 90, 20 * MS), Next::Last { converged: true });
        assert_eq!(round(ROUNDS, 300 * MS, 60 * MS, 90, 40 * MS), Next::Last { converged: false });
        assert_eq!(round(4, 3001 * MS, 60 * MS, 20, 40 * MS), Next::Last { converged: false });
    }

    #[test]
    fn a_large_guest_is_held_back_before_patience_ends() {
        let first = 9000 * MS;
        assert_eq!(round(1, first, first, 95, 8500 * MS), Next::HoldBack);
        assert_eq!(round(2, 17_500 * MS, first, 80, 7000 * MS), Next::HoldBack);
        assert_eq!(round(3, 24_500 * MS, first, 40, 3000 * MS), Next::HoldBack);
        assert_eq!(round(4, 27_500 * MS, first, 40, 500 * MS), Next::GoOn);
        assert_eq!(round(4, 36_500 * MS, first, 40, 3000 * MS), Next::Last { converged: false });
    }
}
