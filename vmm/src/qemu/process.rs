//! A QEMU process that does not outlive us: not a panic, not a `kill -9`, not a forgotten value.

use super::QemuError;
use nix::{
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{Pid, getppid},
};
use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command, ExitStatus},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

/// A killed process is gone at once, unless it hangs in the kernel.
const DYING: Duration = Duration::from_secs(5);
/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(2);

/// A running or ended QEMU. Dropped, it is killed and reaped.
#[derive(Debug)]
pub(super) struct Process {
    /// `None` once somebody else waits for it.
    child: Option<Child>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`, which keeps `inherited` open under the same numbers.
    pub(super) fn start(mut command: Command, inherited: &[OwnedFd]) -> Result<Self, QemuError> {
        let numbers: Vec<i32> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
        let us = Pid::this();
        let prepare = move || {
            set_pdeathsig(Signal::SIGKILL)?;
            // We may have died before that call.
            if getppid() != us {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            for &number in &numbers {
                // SAFETY: fcntl on a number has no memory to spoil; the numbers are open, because the caller holds them.
                if unsafe { libc::fcntl(number, libc::F_SETFD, 0) } == -1 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        };
        // A Ctrl-C at the terminal is ours to act on, not QEMU's.
        command.process_group(0);
        // SAFETY: between fork and exec only system calls are made; nothing is allocated and no lock is taken.
        unsafe { command.pre_exec(prepare) };
        let child = spawn(command).map_err(QemuError::system("start QEMU"))?;
        Ok(Self { child: Some(child), status: None })
    }

    /// Its process id.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        }
        self.status
    }

    /// Waits for its end for at most `timeout`.
    pub(super) fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            let left = timeout.checked_sub(start.elapsed())?;
            thread::sleep(LOOK.min(left));
        }
    }

    /// Ends it at once, and reaps it.
    pub(super) fn kill(&mut self) -> ExitStatus {
        if let Some(status) = self.ended() {
            return status;
        }
        if let Some(child) = self.child.as_mut() {
            _ = child.kill();
        }
        if let Some(status) = self.wait(DYING) {
            return status;
        }
        // Stuck in the kernel. Whenever it gets out of there, somebody reaps it.
        if let Some(mut child) = self.child.take() {
            thread::spawn(move || child.wait());
        }
        *self.status.insert(ExitStatus::from_raw(libc::SIGKILL))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command to start, and where its child goes.
type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts a command from a thread that lives as long as this process: the signal for the parent's death is sent when the
/// *thread* that forked ends, so a machine that a worker thread started would die with the worker.
fn spawn(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                // Nobody waits any more: the child is dropped, and dies of its missing monitor.
                _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    let (reply, child) = mpsc::sync_channel(1);
    keeper.send((command, reply)).map_err(|_| gone(mpsc::RecvError))?;
    child.recv().map_err(gone)?
}
