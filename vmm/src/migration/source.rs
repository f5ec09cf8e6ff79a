//! The source: gives the guest away, and takes it back.

use super::{
    MigrationError, SILENCE, STOP,
    doom::Doom,
    figures::Journey,
    home::Homecoming,
    memory::{Memory, Set},
    postcopy,
    precopy::{Giver, through},
    spawn::Destination,
    stream::{Area, Hello, Message, Sent},
    track::Tracker,
};
use crate::{
    host::clock,
    machine::{CpuState, GuestFinding, Tracking, Vcpus, Vm},
    memory::Arena,
};
use nostale_notifier::addr::PAGE_SIZE;
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// How a guest is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// Pre-copy, by the dirty log or by dirty rings, whichever the VM has.
    PreCopy,
    /// Post-copy of all pages.
    PostCopy,
    /// Post-copy of those pages that were written since all were copied once.
    PostCopyAfterPass,
}

/// A migration there and back.
pub struct Going<'a> {
    /// The guest's VM.
    pub vm: &'a Vm,
    /// Its pages.
    pub arena: &'a Arena,
    /// Is told of checks that fail in the guest while it is away.
    pub finding: &'a dyn Fn(GuestFinding),
    /// How it goes there. It comes back by pre-copy.
    pub way: Ways,
    /// How long it stays, at least.
    pub stay: Duration,
    /// Calls the migration off where the guest has not been handed over yet, and ends its stay where it has.
    pub stop: &'a AtomicBool,
    /// The destination is killed after this time, or when it is ready to take over, whatever comes first.
    pub doom: Option<Duration>,
    /// The planted fault: pages drop out of the last round.
    pub forgets: bool,
}

/// vCPUs that stand still here, and go on if nobody else has taken the guest over.
struct Parked<'a> {
    vcpus: &'a Vcpus,
    committed: bool,
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        if !self.committed {
            self.vcpus.go_on();
        }
    }
}

/// Moves the guest there and back. `None` where the destination was killed, as was wanted, and the guest has gone on here.
///
/// # Errors
/// [`MigrationError::CalledOff`] where it was not to go on; any other is a failure.
/// The guest goes on here if it was not handed over yet. After that it went down with its destination, and its vCPUs stay where they are.
pub fn migrate(going: &Going<'_>) -> Result<Option<Journey>, MigrationError> {
    let memory = Memory { arena: going.arena, system: going.vm.system() };
    let destination = Destination::start(memory.system, going.finding)?;
    let doom = going.doom.map(|time| Doom::after(destination.pid(), time));
    let vcpus = going.vm.vcpus();
    let result = there_and_back(going, memory, &destination, &vcpus);
    drop(doom);
    match result {
        Ok(journey) => {
            destination.send(&Message::Bye)?;
            destination.end();
            Ok(Some(journey))
        }
        // Whatever else it was that failed, it failed because of that.
        Err(error) if going.doom.is_some() && !matches!(error, MigrationError::CalledOff) => {
            if !destination.end() {
                return Err(error);
            }
            until_visits(going, memory, &visits(memory), "after the destination was killed")?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn there_and_back(
    going: &Going<'_>,
    memory: Memory<'_>,
    destination: &Destination<'_>,
    vcpus: &Vcpus,
) -> Result<Journey, MigrationError> {
    destination.send(&Message::Hello(hello(going, vcpus)))?;
    destination.wait("welcome", |message| matches!(message, Message::Welcome).then_some(()))?;
    let mut journey = Journey::default();
    let tracker = match going.way {
        Ways::PostCopy => None,
        Ways::PreCopy | Ways::PostCopyAfterPass => Some(Tracker::start(going.vm, memory)?),
    };
    let mut out = through(destination.out());
    let mut check = || match destination.poll()? {
        None if going.stop.load(Relaxed) => Err(MigrationError::CalledOff),
        None => Ok(()),
        Some(other) => Err(MigrationError::Unexpected { got: format!("{:?}", other.kind()), wanted: "silence" }),
    };
    let first = if tracker.is_some() { &[Area::Arena, Area::System][..] } else { &[Area::System] };
    let mut giver = Giver::new(memory, tracker.as_ref(), &mut out, &mut check, Set::all(&memory, first));
    giver.forgets = going.forgets;
    match going.way {
        Ways::PreCopy => giver.rounds(vcpus)?,
        Ways::PostCopyAfterPass => giver.pass(vcpus)?,
        Ways::PostCopy => {}
    }

    // From here on nobody writes.
    let devices = match memory.arena.devices() {
        Some(devices) => Some(devices.stop(STOP).ok_or(MigrationError::Devices(STOP))?),
        None => None,
    };
    let states = vcpus.suspend(STOP)?;
    let mut parked = Parked { vcpus, committed: false };
    let stopped = clock::now().0;
    let mut missing = match going.way {
        Ways::PreCopy => {
            giver.last_round()?;
            None
        }
        Ways::PostCopy | Ways::PostCopyAfterPass => {
            let missing = postcopy::leave_behind(&mut giver, tracker.is_none())?;
            destination.send(&Message::Missing(missing.words()))?;
            Some(missing)
        }
    };
    let mut sent = giver.sent;
    drop(giver);
    let left = visits(memory);
    destination.send(&Message::States(states.iter().map(CpuState::to_bytes).collect()))?;
    destination.wait("readiness", |message| matches!(message, Message::Ready).then_some(()))?;
    if going.doom.is_some() {
        destination.kill();
        return Err(MigrationError::Killed);
    }
    destination.send(&Message::Commit)?;
    parked.committed = true;
    drop(tracker);

    let running = match &mut missing {
        None => destination.wait("first visit", running).map_err(stands_still)?,
        Some(missing) => postcopy::serve(destination, memory, missing, &mut sent, &mut journey.requested, going.forgets)?,
    };
    journey.downtime_us = clock::microseconds(running.saturating_sub(stopped));
    journey.there = sent;
    stay(going, memory, destination, &left)?;
    destination.send(&Message::Return)?;
    let back = take_back(memory, destination, vcpus)?;
    let visits_home = visits(memory);
    vcpus.go_on();
    let now = until_visits(going, memory, &visits_home, "after it had come back")?;
    drop(devices);
    journey.visits = visits_home.iter().sum::<u64>() - left.iter().sum::<u64>();
    journey.back_downtime_us = clock::microseconds(now.saturating_sub(back.stopped_tsc));
    journey.back = back;
    Ok(journey)
}

fn hello(going: &Going<'_>, vcpus: &Vcpus) -> Hello {
    let ring_entries = match going.vm.tracking() {
        Some(Tracking::Ring { entries }) => entries,
        _ => 0,
    };
    Hello {
        pages: going.arena.pages(),
        vcpus: vcpus.count() as u64,
        ring_entries,
        slots: slots(going),
        shared: going.arena.backing().is_shared(),
        // A page of a file that is a part of a huge one is zeroed in its place when it is thrown away, and then is not missing.
        huge: going.arena.backing().is_thp() && going.way == Ways::PreCopy,
        forgets: going.forgets,
    }
}

/// The memslots that show the arena: the guest finds its memory at the same guest-physical addresses.
fn slots(going: &Going<'_>) -> Vec<[u64; 3]> {
    let home = going.arena.home();
    let shown = going.vm.memslots().over(home).into_iter().filter_map(|known| {
        let first = known.slot.hva().start().offset_from(home.start())? / PAGE_SIZE;
        Some([known.slot.gpa().get(), first, known.slot.pages()])
    });
    shown.collect()
}

/// Nothing but a guest that does nothing keeps a destination from telling of its first visit.
fn stands_still(error: MigrationError) -> MigrationError {
    if let MigrationError::Silent { bound, .. } = error { MigrationError::NoFirstVisit(bound) } else { error }
}

pub(super) fn running(message: &Message) -> Option<u64> {
    if let Message::Running(tsc) = message { Some(*tsc) } else { None }
}

/// Waits until the guest has stayed long enough, and has done something on every vCPU.
fn stay(going: &Going<'_>, memory: Memory<'_>, destination: &Destination<'_>, left: &[u64]) -> Result<(), MigrationError> {
    let begin = Instant::now();
    loop {
        let still = visits(memory).iter().zip(left).position(|(now, then)| now <= then);
        match still {
            None if begin.elapsed() >= going.stay || going.stop.load(Relaxed) => return Ok(()),
            Some(vcpu) if begin.elapsed() > SILENCE => {
                return Err(MigrationError::NoVisit { vcpu, bound: SILENCE, place: "at the destination", doing: String::new() });
            }
            _ => {}
        }
        if let Some(other) = destination.next(Duration::from_millis(2))? {
            return Err(MigrationError::Unexpected { got: format!("{:?}", other.kind()), wanted: "a sign of life" });
        }
    }
}

/// Takes the guest's pages and states back.
fn take_back(memory: Memory<'_>, destination: &Destination<'_>, vcpus: &Vcpus) -> Result<Sent, MigrationError> {
    // What the guest has counted elsewhere is no writing that a log here could know of.
    let _tallies = memory.system.come_home();
    let (mut home, mut states) = (Homecoming::default(), None);
    loop {
        match destination.next(SILENCE)?.ok_or(MigrationError::Silent { wanted: "page on its way back", bound: SILENCE })? {
            Message::Pages(pages) => home.bring(&memory, &pages)?,
            Message::States(bytes) => states = Some(bytes),
            Message::Sent(sent) => {
                let states =
                    states.ok_or(MigrationError::Unexpected { got: "the end".to_owned(), wanted: "the vCPUs' states" })?;
                home.finish(&memory)?;
                let states = states.iter().map(|bytes| CpuState::from_bytes(bytes)).collect::<Result<_, _>>()?;
                vcpus.put(states, STOP)?;
                return Ok(sent);
            }
            other => return Err(MigrationError::Unexpected { got: format!("{:?}", other.kind()), wanted: "the guest" }),
        }
    }
}

pub(super) fn visits(memory: Memory<'_>) -> Vec<u64> {
    memory.system.all_vcpus().map(|vcpu| vcpu.counts.visits.load(Relaxed)).collect()
}

/// Waits until every vCPU has made visits since `then`; the TSC of the first that was seen.
fn until_visits(going: &Going<'_>, memory: Memory<'_>, then: &[u64], place: &'static str) -> Result<u64, MigrationError> {
    let (begin, mut first) = (Instant::now(), None);
    loop {
        let now = visits(memory);
        if first.is_none() && now.iter().zip(then).any(|(now, then)| now > then) {
            first = Some(clock::now().0);
        }
        let Some(vcpu) = now.iter().zip(then).position(|(now, then)| now <= then) else {
            return Ok(first.unwrap_or(clock::now().0));
        };
        if begin.elapsed() > SILENCE {
            let doing = format!(" ({})", going.vm.describe(vcpu));
            return Err(MigrationError::NoVisit { vcpu, bound: SILENCE, place, doing });
        }
        std::thread::sleep(Duration::from_micros(20));
    }
}
