//! The destination as the source sees it: a process, and what it says.

use super::{
    MigrationError, SILENCE,
    destination::ENTRY,
    precopy::through,
    stream::{Finding, Message, Outgoing, pair},
};
use crate::{machine::GuestFinding, memory::System};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use nostale_guest::abi::Check;
use nostale_notifier::event::Tsc;
use std::{
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Messages that wait to be handled: a few megabytes at most.
const WAITING: usize = 8;
/// How long a destination may take to end.
const END: Duration = Duration::from_secs(5);

/// A destination.
pub(super) struct Destination<'a> {
    child: Child,
    out: Mutex<Outgoing>,
    incoming: Receiver<Result<Message, MigrationError>>,
    reader: Option<JoinHandle<()>>,
    system: &'a System,
    finding: &'a dyn Fn(GuestFinding),
    ended: Option<ExitStatus>,
}

impl<'a> Destination<'a> {
    /// Starts one: this program, under another name.
    pub(super) fn start(system: &'a System, finding: &'a dyn Fn(GuestFinding)) -> Result<Self, MigrationError> {
        let failed = |what| move |source| MigrationError::Spawn { what, source };
        let (ours, theirs) = UnixStream::pair().map_err(failed("a socket"))?;
        // Not its path, which may have another program by now.
        let mut command = Command::new("/proc/self/exe");
        command.arg(ENTRY).stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        let child = command.spawn().map_err(failed("/proc/self/exe"))?;
        drop(command);
        let (mut incoming, out) = pair(ours)?;
        let (tell, told) = sync_channel(WAITING);
        let reader = std::thread::spawn(move || {
            while let Some(next) = incoming.next().transpose() {
                let last = next.is_err();
                if tell.send(next).is_err() || last {
                    return;
                }
            }
        });
        Ok(Self { child, out: Mutex::new(out), incoming: told, reader: Some(reader), system, finding, ended: None })
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub(super) fn out(&self) -> &Mutex<Outgoing> {
        &self.out
    }

    pub(super) fn send(&self, message: &Message) -> Result<(), MigrationError> {
        through(&self.out)(message).map(drop)
    }

    /// Handles what has come without being waited for.
    pub(super) fn poll(&self) -> Result<Option<Message>, MigrationError> {
        loop {
            match self.incoming.try_recv() {
                Ok(message) => {
                    if let Some(message) = self.handle(message?)? {
                        return Ok(Some(message));
                    }
                }
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(gone()),
            }
        }
    }

    /// The next message beside signs of life and findings; `None` where none came within `bound`.
    pub(super) fn next(&self, bound: Duration) -> Result<Option<Message>, MigrationError> {
        let deadline = Instant::now() + bound;
        loop {
            match self.incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(message) => {
                    if let Some(message) = self.handle(message?)? {
                        return Ok(Some(message));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }

    /// Waits for one message, and takes no other.
    pub(super) fn wait<T>(&self, wanted: &'static str, pick: impl Fn(&Message) -> Option<T>) -> Result<T, MigrationError> {
        let message = self.next(SILENCE)?.ok_or(MigrationError::Silent { wanted, bound: SILENCE })?;
        pick(&message).ok_or_else(|| MigrationError::Unexpected { got: format!("{:?}", message.kind()), wanted })
    }

    fn handle(&self, message: Message) -> Result<Option<Message>, MigrationError> {
        match message {
            Message::Pulse(visits) => {
                // Signs of life, for whoever watches the guest here; its own blocks come back with it.
                for (block, visits) in self.system.all_vcpus().zip(visits) {
                    block.counts.visits.store(visits, Relaxed);
                }
                Ok(None)
            }
            Message::Finding(Finding { words: [vcpu, check, page, published, found, tsc] }) => {
                if let Some(check) = Check::from_u64(check) {
                    (self.finding)(GuestFinding { vcpu: vcpu as usize, check, page, published, found, tsc: Tsc(tsc) });
                }
                Ok(None)
            }
            Message::Failed(why) => Err(MigrationError::Said(why)),
            Message::Lost(why) => Err(MigrationError::Lost(why)),
            other => Ok(Some(other)),
        }
    }

    /// Kills it.
    pub(super) fn kill(&self) {
        // Nobody has waited for it yet, so the number is still its own.
        let _ = kill(self.pid(), Signal::SIGKILL);
    }

    /// Waits for its end, and sees to it if it does not come. Whether it was killed.
    pub(super) fn end(mut self) -> bool {
        let deadline = Instant::now() + END;
        while self.ended.is_none() {
            match self.child.try_wait() {
                Ok(None) if Instant::now() > deadline => break,
                Ok(None) => std::thread::sleep(Duration::from_micros(200)),
                Ok(Some(status)) => self.ended = Some(status),
                Err(_) => break,
            }
        }
        self.ended.is_some_and(|status| status.signal() == Some(libc::SIGKILL))
    }
}

fn gone() -> MigrationError {
    MigrationError::Said("it ended without a word".to_owned())
}

impl Drop for Destination<'_> {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.kill();
            let _ = self.child.wait();
        }
        self.out.get_mut().unwrap_or_else(PoisonError::into_inner).close();
        // The reader may be waiting for us to take what it has read.
        let (_, nothing) = sync_channel(1);
        drop(std::mem::replace(&mut self.incoming, nothing));
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
