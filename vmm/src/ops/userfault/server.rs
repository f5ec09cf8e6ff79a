//! The thread that serves an operation's faults.
//!
//! What it does with them is written on a *desk*: the pages of the operation in progress and the answer to faults on them. The
//! operation holds the desk while pages are on their way, and faults wait for as long. A fault on any other page is one of an
//! operation that is over: its thread is woken and finds what is there now.
//!
//! Whatever ends this thread, nobody waits for it any more: the last thing it does is to give back what is registered.

use crate::memory::userfault::{Event, Features, Filled, Modes, Next, PageFault, Stop, Userfault, UserfaultError};
use crate::ops::{
    Bed, OperationError,
    wait::{until, visits},
};
use nix::errno::Errno;
use nostale_notifier::{
    Hva, HvaRange,
    addr::{PAGE_SHIFT, PAGE_SIZE},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire},
        },
    },
    thread::JoinHandle,
    time::Duration,
};

/// How long the thread waits before it looks around once more. It is woken by what it waits for; this is in case it is not.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long an operation waits for the first fault: a guest meets hot pages within microseconds, under emulation within milliseconds,
/// if it gets to run at all.
const DEMAND: Duration = Duration::from_millis(250);
/// Visits to other pages after which it waits no longer.
const ELSEWHERE: u64 = 1 << 15;
/// Between two looks at whether a fault was served.
const GLANCE: Duration = Duration::from_micros(20);

/// The answer to faults on a job's pages.
#[derive(Debug)]
pub(super) enum Answer {
    /// These bytes, as many pages as the job has.
    Copy(Vec<u8>),
    /// Zeros.
    Zero,
    /// The page that the file has.
    Continue,
    /// Write access.
    Unprotect,
    /// The page at the same place of this range.
    Move(HvaRange),
}

/// What an operation has in progress.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) range: HvaRange,
    pub(super) answer: Answer,
}

#[derive(Debug)]
struct Shared {
    uffd: Userfault,
    stop: Stop,
    desk: Mutex<Option<Job>>,
    registered: Mutex<Vec<HvaRange>>,
    served: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A userfaultfd and the thread that serves it.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), OperationError>>>,
}

impl Server {
    /// One with these features.
    pub(super) fn start(features: Features) -> Result<Self, OperationError> {
        let shared = Arc::new(Shared {
            uffd: Userfault::open(features)?,
            stop: Stop::new()?,
            desk: Mutex::default(),
            registered: Mutex::default(),
            served: AtomicU64::new(0),
        });
        let own = GiveBack(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("userfault".to_owned()).spawn(move || own.0.serve());
        let thread = thread.map_err(OperationError::io("a thread that serves faults"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The descriptor itself.
    pub(super) fn uffd(&self) -> &Userfault {
        &self.shared.uffd
    }

    /// Registers pages until [`Self::finish`].
    pub(super) fn register(&self, range: HvaRange, modes: Modes) -> Result<(), OperationError> {
        // Noted first: giving back what was never registered does no harm.
        lock(&self.shared.registered).push(range);
        Ok(self.shared.uffd.register(range, modes)?)
    }

    /// The desk. While it is held, faults wait: whoever holds it must not touch pages whose faults come here.
    pub(super) fn desk(&self) -> MutexGuard<'_, Option<Job>> {
        lock(&self.shared.desk)
    }

    /// Faults served since the server was started.
    pub(super) fn served(&self) -> u64 {
        self.shared.served.load(Acquire)
    }

    /// Waits until more than `before` faults were served, or the guest has been to so many other pages that it seems to have no use for these.
    pub(super) fn await_demand(&self, bed: &Bed<'_>, before: u64) {
        let then = visits(bed.system);
        until(DEMAND, GLANCE, || self.served() != before || visits(bed.system).wrapping_sub(then) >= ELSEWHERE);
    }

    /// Resolves all pages of the job, asked for or not. Those that others use at the moment are resolved by `in_use`, while faults wait.
    pub(super) fn resolve_rest(&self, mut in_use: impl FnMut(Hva) -> Result<(), OperationError>) -> Result<(), OperationError> {
        let desk = self.desk();
        let Some(job) = desk.as_ref() else { return Ok(()) };
        let mut first = 0;
        while let Some(rest) = job.range.part(first, job.range.pages() - first) {
            match job.resolve(&self.shared.uffd, rest)? {
                Filled::All => break,
                Filled::Only { pages, errno } => {
                    if errno == Errno::EBUSY {
                        in_use(Hva::new(rest.start().get() + pages * PAGE_SIZE))?;
                    }
                    first += pages + 1;
                }
            }
            if first == job.range.pages() {
                break;
            }
        }
        Ok(())
    }

    /// Ends the job: its pages are the kernel's own business again, and nobody waits for them.
    pub(super) fn finish(&self) -> Result<(), OperationError> {
        *self.desk() = None;
        self.shared.give_back()?;
        self.check()
    }

    /// Says what has ended the thread, if it has ended.
    fn check(&self) -> Result<(), OperationError> {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) { Ok(()) } else { Err(OperationError::HandlerDied) }
    }

    /// The error that the thread has died of, in place of `error` that came of it.
    pub(super) fn cause(&mut self, error: OperationError) -> OperationError {
        let died = self.thread.take_if(|thread| thread.is_finished()).map(JoinHandle::join);
        match died {
            Some(Ok(Err(cause))) => cause,
            Some(_) => OperationError::HandlerDied,
            None => error,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.tell();
        if let Some(thread) = self.thread.take() {
            // It leaves at the first look at `stop`; what it was in the middle of are requests that never wait.
            let _ = thread.join();
        }
    }
}

/// Gives back what is registered, however the thread ends.
struct GiveBack(Arc<Shared>);

impl Drop for GiveBack {
    fn drop(&mut self) {
        // Nobody is left to tell; a range that is no longer mapped cannot be waited for.
        let _ = self.0.give_back();
    }
}

impl Shared {
    fn serve(&self) -> Result<(), OperationError> {
        loop {
            match self.uffd.read_fault(&self.stop, PATIENCE)? {
                Next::Event(Event::Fault(fault)) => self.answer(fault)?,
                // Nobody asked for these.
                Next::Event(_) | Next::Nothing => {}
                Next::Stop => return Ok(()),
            }
        }
    }

    fn answer(&self, fault: PageFault) -> Result<(), OperationError> {
        let Some(page) = HvaRange::new(fault.page, 1) else { return Ok(()) };
        let desk = lock(&self.desk);
        let filled = match desk.as_ref().filter(|job| job.range.overlaps(page)) {
            Some(job) => job.resolve(&self.uffd, page)?,
            None => Filled::Only { pages: 0, errno: Errno::ENOENT },
        };
        match filled {
            Filled::All => {
                self.served.fetch_add(1, AcqRel);
            }
            // In use by others for the moment; the operation brings it home in another way, and wakes everybody.
            Filled::Only { errno: Errno::EBUSY, .. } => {}
            Filled::Only { .. } => self.uffd.wake(page)?,
        }
        Ok(())
    }

    fn give_back(&self) -> Result<(), UserfaultError> {
        let ranges = std::mem::take(&mut *lock(&self.registered));
        let unregister = |range: &HvaRange| match self.uffd.unregister(*range) {
            // Nothing is mapped there any more.
            Err(UserfaultError::Request { errno: Errno::EINVAL, .. }) => Ok(()),
            other => other,
        };
        ranges.iter().map(unregister).fold(Ok(()), Result::and)
    }
}

impl Job {
    /// Resolves the pages at `range`, a part of the job's.
    fn resolve(&self, uffd: &Userfault, range: HvaRange) -> Result<Filled, UserfaultError> {
        let first = (range.start().get() - self.range.start().get()) >> PAGE_SHIFT;
        match &self.answer {
            Answer::Copy(bytes) => {
                let from = (first * PAGE_SIZE) as usize;
                uffd.copy(range.start(), &bytes[from..from + range.bytes() as usize], false)
            }
            Answer::Zero => uffd.zeropage(range),
            Answer::Continue => uffd.continue_(range),
            Answer::Unprotect => uffd.write_protect(range, false).map(|()| Filled::All),
            Answer::Move(from) => match from.part(first, range.pages()) {
                Some(from) => uffd.move_pages(from, range.start()),
                None => Ok(Filled::Only { pages: 0, errno: Errno::ENOENT }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Arena, Backing};
    use std::path::Path;

    fn server() -> Option<Server> {
        Server::start(Features::NONE).ok()
    }

    #[test]
    fn faults_wait_for_the_desk_and_are_counted() {
        let Some(server) = server() else { return };
        let arena = Arena::new(Backing::ANON, 16, Path::new("/")).expect("memory");
        server.register(arena.home(), Modes::MISSING).expect("anonymous memory");
        let mut desk = server.desk();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| arena.primary().load(arena.hva(9)));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!reader.is_finished() && server.served() == 0);
            *desk = Some(Job { range: arena.home(), answer: Answer::Copy(vec![3; 16 * 4096]) });
            drop(desk);
            assert_eq!(reader.join().expect("no panic"), Ok(0x0303_0303_0303_0303));
        });
        // Whoever waited may go on before it is counted; whoever has had the desk since finds it counted.
        server.resolve_rest(|at| panic!("{at} is in use")).expect("registered");
        assert_eq!(server.served(), 1);
        server.finish().expect("alive");
        assert_eq!(arena.primary().load(arena.hva(15)), Ok(0x0303_0303_0303_0303));
    }

    #[test]
    fn nobody_waits_for_a_server_that_is_gone() {
        let Some(server) = server() else { return };
        let arena = Arena::new(Backing::ANON, 16, Path::new("/")).expect("memory");
        server.register(arena.home(), Modes::MISSING).expect("anonymous memory");
        // A job that covers nothing that is asked for would wake in vain for ever, so the desk is held until the end.
        let desk = server.desk();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| arena.primary().load(arena.hva(9)));
            std::thread::sleep(Duration::from_millis(20));
            server.shared.stop.tell();
            drop(desk);
            assert_eq!(reader.join().expect("no panic"), Ok(0));
        });
        let mut server = server;
        while server.check().is_ok() {
            std::thread::sleep(GLANCE);
        }
        assert!(matches!(server.cause(OperationError::Unmade), OperationError::HandlerDied));
    }
}
