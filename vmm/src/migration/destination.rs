//! The destination: this program in another process, with a VM that becomes somebody else's guest, and gives it back.

use super::{
    MigrationError, STOP,
    home::contents,
    memory::{Memory, Set},
    postcopy::Resident,
    precopy::{Giver, through},
    stream::{Finding, Hello, Incoming, Message, Outgoing, Pages, pair},
    track::Tracker,
};
use crate::{
    host::clock,
    machine::{
        AWAY, CpuState, Demands, GuestFinding, Machine, MachineConfig, Observer, Privilege, Slot, SuspendError, Tracking,
        VcpuState, Vcpus,
    },
    memory::{Arena, Backing, Role, System},
};
use nostale_guest::abi::{Program, layout};
use nostale_notifier::{Gpa, addr::PAGE_SIZE};
use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

/// The name under which this program is a destination. Every program that may run a migration looks whether it is one
/// ([`entry`]) before it does anything else.
pub(super) const ENTRY: &str = "migration-destination";

/// Between two signs of life.
const PULSE: Duration = Duration::from_millis(5);

/// Is a destination, if this process was started to be one.
#[must_use]
pub fn entry() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next().is_some_and(|name| name == ENTRY) && arguments.next().is_none()).then(main)
}

fn main() -> ExitCode {
    // SAFETY: a plain system call. A destination ends with its source, whatever becomes of that.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let stream = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let stream = stream.and_then(|stream| stream.peer_addr().map(|_| stream));
    let (mut incoming, outgoing) =
        match stream.map_err(|source| MigrationError::Channel { what: "speaking with", source }).and_then(pair) {
            Ok(both) => both,
            Err(error) => {
                eprintln!("nostale: {ENTRY}: {error}: it is started by a migration, with a socket");
                return ExitCode::from(2);
            }
        };
    let outgoing = Arc::new(Mutex::new(outgoing));
    match serve(&mut incoming, &outgoing) {
        // Threads of the VM are not waited for: it is over.
        Ok(()) => std::process::exit(0),
        Err(error) => {
            // A source that is gone hears nothing, and need not.
            let _ = lock(&outgoing).send(&Message::Failed(error.to_string()));
            std::process::exit(1)
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Findings of the guest go to the source.
struct Away(Arc<Mutex<Outgoing>>);

impl Observer for Away {
    fn finding(&self, finding: GuestFinding) {
        let GuestFinding { vcpu, check, page, published, found, tsc } = finding;
        let words = [vcpu as u64, check as u64, page, published, found, tsc.0];
        // Who cannot be told is gone, and this process with it.
        let _ = lock(&self.0).send(&Message::Finding(Finding { words }));
    }
}

fn serve(incoming: &mut Incoming, outgoing: &Arc<Mutex<Outgoing>>) -> Result<(), MigrationError> {
    let hello = match incoming.next()? {
        Some(Message::Hello(hello)) => hello,
        Some(other) => return Err(unexpected(&other, "a greeting")),
        None => return Ok(()),
    };
    let arena = arena(&hello)?;
    let role = Role { program: Program::Storm, seed: 0, arena: layout::ARENA };
    let system = System::new(hello.pages, &vec![role; hello.vcpus.min(1024) as usize])
        .map_err(|source| MigrationError::Memory { what: "making the system slot", source })?;
    let tracking = if hello.ring_entries > 0 { Tracking::Ring { entries: hello.ring_entries } } else { Tracking::Log };
    let slots = hello.slots.iter().map(|slot| memslot(&arena, *slot)).collect::<Result<Vec<_>, _>>()?;
    let demands = Demands { tracking: Some(tracking), ..Demands::VM };
    let mut machine =
        Machine::new(&MachineConfig { system: &system, slots: &slots, privilege: Privilege::User, demands, told: None })?;
    let observer: Arc<dyn Observer> = Arc::new(Away(Arc::clone(outgoing)));
    let vcpus = machine.start_suspended(&observer, STOP)?;
    through(outgoing)(&Message::Welcome)?;
    let memory = Memory { arena: &arena, system: &system };
    let guest = Guest { memory, machine: &machine, vcpus: &vcpus, outgoing, forgets: hello.forgets };
    guest.receive(incoming)
}

fn arena(hello: &Hello) -> Result<Arena, MigrationError> {
    let backing = match (hello.shared, hello.huge) {
        (false, false) => Backing::ANON,
        (false, true) => Backing::ANON_THP,
        (true, false) => Backing::MEMFD,
        (true, true) => Backing::MEMFD_THP,
    };
    // Neither kind has a file in a directory.
    Ok(Arena::new(backing, hello.pages, std::path::Path::new("/"))?)
}

fn memslot(arena: &Arena, [gpa, first, pages]: [u64; 3]) -> Result<Slot, MigrationError> {
    let base = first.checked_mul(PAGE_SIZE).and_then(|offset| gpa.checked_sub(offset));
    let slot = base.and_then(|base| Slot::home(Gpa::new(base), arena).part(first, pages));
    slot.ok_or(MigrationError::NoSuchPage { page: first.saturating_add(pages), pages: arena.pages() })
}

fn unexpected(message: &Message, wanted: &'static str) -> MigrationError {
    MigrationError::Unexpected { got: format!("{:?}", message.kind()), wanted }
}

struct Guest<'a> {
    memory: Memory<'a>,
    machine: &'a Machine,
    vcpus: &'a Vcpus,
    outgoing: &'a Mutex<Outgoing>,
    forgets: bool,
}

impl Guest<'_> {
    /// Takes the guest in, until it is ready to go on here.
    fn receive(&self, incoming: &mut Incoming) -> Result<(), MigrationError> {
        let mut resident = None;
        loop {
            match incoming.next()? {
                Some(Message::Pages(pages)) => self.write(&pages)?,
                Some(Message::Missing(words)) => resident = Some(Resident::new(self.memory.arena, &words)?),
                Some(Message::States(states)) => {
                    let states = states.iter().map(|bytes| CpuState::from_bytes(bytes)).collect::<Result<_, _>>()?;
                    self.vcpus.put(states, STOP)?;
                    // Before the guest's first instruction here: what it writes is what has to go back.
                    let tracker = Tracker::start(self.machine.vm(), self.memory)?;
                    through(self.outgoing)(&Message::Ready)?;
                    return match incoming.next()? {
                        Some(Message::Commit) => {
                            // From here on the guest is lost with this VM: that says more than whatever failed.
                            let lived = self.be(incoming, &tracker, resident.as_ref());
                            lived.inspect_err(|error| self.tell(error))
                        }
                        Some(other) => Err(unexpected(&other, "the hand-over")),
                        None => Ok(()),
                    };
                }
                Some(other) => return Err(unexpected(&other, "the guest")),
                None => return Ok(()),
            }
        }
    }

    fn write(&self, pages: &Pages) -> Result<(), MigrationError> {
        for (area, page, content) in contents(pages) {
            if !self.memory.write(area, page, content) {
                return Err(MigrationError::NoSuchPage { page, pages: self.memory.pages(area) });
            }
        }
        Ok(())
    }

    /// Is the guest, until it is to go back.
    fn be(&self, incoming: &mut Incoming, tracker: &Tracker<'_>, resident: Option<&Resident>) -> Result<(), MigrationError> {
        let (over, written) = (AtomicBool::new(false), Mutex::new(Set::none(&self.memory)));
        let then = super::source::visits(self.memory);
        self.vcpus.go_on();
        let lived = std::thread::scope(|scope| {
            // Told at once: without either of them the guest would only seem to stand still.
            let pulse = || self.pulse(&then, tracker, &written, &over).inspect_err(|error| self.tell(error));
            let faults = || resident.map_or(Ok(()), |resident| resident.serve(self.memory.arena, self.outgoing));
            let faults = move || faults().inspect_err(|error| self.tell(error));
            let (pulse, faults) = (scope.spawn(pulse), scope.spawn(faults));
            let went = self.until_return(incoming, resident);
            over.store(true, Release);
            if let (Err(_), Some(resident)) = (&went, resident) {
                let _ = resident.finish(self.memory.arena);
            }
            let ends = [faults.join(), pulse.join()].into_iter().map(|end| end.unwrap_or(Ok(())));
            went.and_then(|went| ends.collect::<Result<Vec<_>, _>>().map(|_| went))
        })?;
        if lived { self.go_back(incoming, tracker, &written) } else { Ok(()) }
    }

    /// Takes pages that follow, until it is told to give the guest back. `false` if the source is gone.
    fn until_return(&self, incoming: &mut Incoming, resident: Option<&Resident>) -> Result<bool, MigrationError> {
        let arena = self.memory.arena;
        loop {
            match (incoming.next()?, resident) {
                (Some(Message::Pages(pages)), Some(resident)) => {
                    if resident.put(arena, &pages)? {
                        resident.finish(arena)?;
                        through(self.outgoing)(&Message::Resident)?;
                    }
                }
                (Some(Message::Return), _) => return Ok(true),
                (Some(other), _) => return Err(unexpected(&other, "the way back")),
                (None, _) => return Ok(false),
            }
        }
    }

    /// Tells the source of the first visit, and that the guest lives. Empties rings meanwhile.
    fn pulse(&self, then: &[u64], tracker: &Tracker<'_>, written: &Mutex<Set>, over: &AtomicBool) -> Result<(), MigrationError> {
        let mut send = through(self.outgoing);
        let mut first = true;
        while !over.load(Acquire) {
            let visits = super::source::visits(self.memory);
            if first && visits.iter().zip(then).any(|(now, then)| now > then) {
                first = false;
                send(&Message::Running(clock::now().0))?;
            }
            if let Some((vcpu, state)) = self.gone() {
                return Err(SuspendError::Gone { vcpu, state }.into());
            }
            if tracker.has_rings() {
                lock(written).merge(&tracker.harvest()?);
            }
            if first {
                std::thread::sleep(AWAY);
                continue;
            }
            send(&Message::Pulse(visits))?;
            std::thread::sleep(if tracker.has_rings() { PULSE / 5 } else { PULSE });
        }
        Ok(())
    }

    /// Tells the source why it does not see its guest again.
    fn tell(&self, error: &MigrationError) {
        let message = if error.is_the_guests_end() { Message::Lost } else { Message::Failed };
        // A source that is gone hears nothing, and need not.
        let _ = through(self.outgoing)(&message(error.to_string()));
    }

    /// A vCPU that does not run any more, which all of them should.
    fn gone(&self) -> Option<(usize, VcpuState)> {
        let states = self.machine.views().map(|view| view.state());
        states.enumerate().find(|(_, state)| state.is_final())
    }

    /// Gives the guest back: all that it has written here.
    fn go_back(&self, incoming: &mut Incoming, tracker: &Tracker<'_>, written: &Mutex<Set>) -> Result<(), MigrationError> {
        let mut todo = std::mem::take(&mut *lock(written));
        todo.merge(&tracker.harvest()?);
        let (mut out, mut check) = (through(self.outgoing), || Ok(()));
        let mut giver = Giver::new(self.memory, Some(tracker), &mut out, &mut check, todo);
        giver.forgets = self.forgets;
        giver.rounds(self.vcpus)?;
        let states = self.vcpus.suspend(STOP)?;
        giver.sent.stopped_tsc = clock::now().0;
        giver.last_round()?;
        let sent = giver.sent;
        let mut send = through(self.outgoing);
        send(&Message::States(states.iter().map(CpuState::to_bytes).collect()))?;
        send(&Message::Sent(sent))?;
        match incoming.next()? {
            None | Some(Message::Bye) => Ok(()),
            Some(other) => Err(unexpected(&other, "an end")),
        }
    }
}
