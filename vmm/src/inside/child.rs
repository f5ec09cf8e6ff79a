//! Work in a process of its own, whose events PID 1 passes on.
//!
//! A fork without an exec: the child starts with everything that PID 1 has gathered before the snapshot was taken, in a process
//! that has one thread and so no lock that another one holds. A crash, an OOM kill, or threads that never come back from a
//! broken kernel are the child's own; PID 1 reports them and goes on.

use super::{
    protocol::{Event, Sender},
    serve::tell,
};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, pipe2, setsid},
};
use std::{
    any::Any,
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// How long a child may take to end once it has said its last word. One that takes longer has threads that are stuck in the
/// kernel, and will not end at all.
const END_BOUND: Duration = Duration::from_secs(2);
/// How often PID 1 looks after its children while there is nothing to pass on.
const LOOK: Duration = Duration::from_millis(50);

/// What starts a line of the pipe: whether more will come.
const MORE: u8 = b'+';
const LAST: u8 = b'=';

/// A child's way to tell something.
#[derive(Debug)]
pub(super) struct Out(File);

impl Out {
    /// Sends an event that is not the last one.
    ///
    /// # Errors
    /// When PID 1 has stopped to listen.
    pub(super) fn send(&mut self, event: &Event) -> io::Result<()> {
        self.line(MORE, event)
    }

    fn line(&mut self, kind: u8, event: &Event) -> io::Result<()> {
        let mut line = vec![kind];
        serde_json::to_writer(&mut line, event)?;
        line.push(b'\n');
        self.0.write_all(&line)
    }
}

/// Does `work` in a child, and passes its events on. Whatever happens, the last event is a final one: that which `work` gives, or
/// how the child ended without one.
pub(super) fn relay(events: &mut Sender<impl Write>, work: impl FnOnce(&mut Out) -> Result<Event, String>) {
    if let Err(error) = start(work).and_then(|child| child.follow(events)) {
        tell(events, &Event::Failed { what: format!("no process for it: {error}") });
    }
}

struct Child {
    pid: Pid,
    pipe: File,
}

fn start(work: impl FnOnce(&mut Out) -> Result<Event, String>) -> io::Result<Child> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread, so the child may do everything that it could.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Child { pid: child, pipe: File::from(read) }),
        ForkResult::Child => {
            drop(read);
            // A group of its own, so that what it leaves behind can be ended with it.
            let _ = setsid();
            let mut out = Out(File::from(write));
            let event = match catch_unwind(AssertUnwindSafe(|| work(&mut out))) {
                Ok(Ok(event)) => event,
                Ok(Err(what)) => Event::Failed { what },
                Err(panic) => Event::Failed { what: panic_text(&*panic) },
            };
            let sent = out.line(LAST, &event);
            // SAFETY: ends this process at once. Nothing of PID 1 that was inherited may be torn down here, and threads that are
            // stuck must not be waited for.
            unsafe { libc::_exit(i32::from(sent.is_err())) }
        }
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a word"))
}

impl Child {
    fn follow(mut self, events: &mut Sender<impl Write>) -> io::Result<()> {
        let mut lines = Lines::default();
        let mut ended = None;
        loop {
            let came = self.read(&mut lines)?;
            while let Some((kind, json)) = lines.next() {
                if let Err(error) = events.send_json(&json) {
                    eprintln!("nostale: an event could not be sent: {error}");
                }
                if kind == LAST {
                    self.end(events, ended);
                    return Ok(());
                }
            }
            // It has ended, and everything that it wrote is read. (Its own children may keep the pipe open.)
            if let Some(status) = ended.filter(|_| came != Came::Something) {
                let cut = lines.rest().map_or(String::new(), |rest| format!(", in the middle of {rest:?}"));
                tell(events, &Event::Failed { what: format!("its process {}{cut}", describe(status)) });
                let _ = killpg(self.pid, Signal::SIGKILL);
                return Ok(());
            }
            ended = ended.or_else(|| reap(self.pid));
            if came == Came::End && ended.is_none() {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Reads what there is, or waits for a moment.
    fn read(&mut self, lines: &mut Lines) -> io::Result<Came> {
        let timeout = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(Came::Nothing),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [0; 64 << 10];
        let length = self.pipe.read(&mut buffer)?;
        lines.0.extend_from_slice(&buffer[..length]);
        Ok(if length == 0 { Came::End } else { Came::Something })
    }

    /// Waits for the child's end, for a while, and says if it does not come.
    fn end(&self, events: &mut Sender<impl Write>, mut ended: Option<WaitStatus>) {
        let from = Instant::now();
        let mut killed = false;
        while ended.is_none() && from.elapsed() < 2 * END_BOUND {
            ended = reap(self.pid);
            if !killed && from.elapsed() > END_BOUND {
                killed = true;
                let _ = killpg(self.pid, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = killpg(self.pid, Signal::SIGKILL);
        if ended.is_none() {
            // After the last event of its request, because there is a verdict already: this is for whoever wonders.
            eprintln!("nostale: process {} does not end: its threads are stuck in the kernel", self.pid);
            tell(events, &Event::Note(format!("process {} does not end: its threads are stuck in the kernel", self.pid)));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Something,
    Nothing,
    End,
}

/// What came through the pipe and is not passed on yet.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn next(&mut self) -> Option<(u8, String)> {
        let end = self.0.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some((line[0], String::from_utf8_lossy(&line[1..end.max(1)]).into_owned()))
    }

    /// The beginning of a line without an end.
    fn rest(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| String::from_utf8_lossy(&self.0[..self.0.len().min(80)]).into_owned())
    }
}

/// Reaps everything that has ended, as PID 1 must, and gives how `wanted` ended.
fn reap(wanted: Pid) -> Option<WaitStatus> {
    let mut found = None;
    // Only PID 1 has children that it never knew.
    let whom = if std::process::id() == 1 { None } else { Some(wanted) };
    loop {
        match waitpid(whom, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(_) => return found,
            Ok(status) if status.pid() == Some(wanted) => found = Some(status),
            Ok(_) => {}
        }
    }
}

fn describe(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("ended with status {code} and without a result"),
        WaitStatus::Signaled(_, signal, _) => format!("was killed by {signal}"),
        other => format!("ended ({other:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inside::protocol::{Decoded, Decoder};

    /// Forks of a test program have one thread of many, so they must not allocate much or lock: what they do here is little.
    fn relayed(work: impl FnOnce(&mut Out) -> Result<Event, String>) -> Vec<Event> {
        let mut sent = Vec::new();
        relay(&mut Sender::new(&mut sent), work);
        let mut decoder = Decoder::<Event>::default();
        decoder.push(&sent);
        std::iter::from_fn(|| decoder.next()).map(|line| line.map(|Decoded { message, .. }| message).expect("whole")).collect()
    }

    #[test]
    fn events_are_passed_on_to_the_last() {
        let events = relayed(|out| {
            out.send(&Event::Note("one".to_owned())).map_err(|error| error.to_string())?;
            Ok(Event::Pong)
        });
        assert!(matches!(events.as_slice(), [Event::Note(note), Event::Pong] if note == "one"), "{events:?}");
    }

    #[test]
    fn however_it_ends_somebody_says_so() {
        let last = |work: fn(&mut Out) -> Result<Event, String>| match relayed(work).pop() {
            Some(Event::Failed { what }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(last(|_| Err("no reason".to_owned())), "no reason");
        let killed = last(|out| {
            out.0.write_all(b"+{\"event\":\"no").expect("written");
            // SAFETY: ends this process.
            unsafe { libc::raise(libc::SIGKILL) };
            Ok(Event::Pong)
        });
        assert!(killed.contains("SIGKILL") && killed.contains("in the middle of \"+{"), "{killed}");
        // SAFETY: ends this process.
        let silent = last(|_| unsafe { libc::_exit(7) });
        assert_eq!(silent, "its process ended with status 7 and without a result");
    }
}
