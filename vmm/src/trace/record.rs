//! A recording of somebody else's VM, into a file.

use crate::host::clock;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use nostale_notifier::trace::{
    head::Tail,
    record::{RecordError, Recorder, TracefsError, Wanted, find_tracefs},
};
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use thiserror::Error;

/// Whose VM is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// That of a process that runs.
    Process(i32),
    /// That of a command, from its first instruction.
    Command(Vec<OsString>),
}

/// Why nothing was recorded.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// No tracefs.
    #[error(transparent)]
    Tracefs(#[from] TracefsError),
    /// The recorder.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A file could not be made.
    #[error("{}: {error}; choose another directory with --out", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The command does not start.
    #[error("cannot start {command}: {error}")]
    Command {
        /// Which.
        command: String,
        /// Why.
        error: io::Error,
    },
}

/// How a recording ended.
#[derive(Debug)]
pub struct Ended {
    /// What it says at its end.
    pub tail: Tail,
    /// How the command ended, if it did.
    pub status: Option<ExitStatus>,
    /// Whether the process was gone before the time was over.
    pub gone: bool,
}

/// Who is told how a recording goes.
pub trait Watch {
    /// From now on everything is recorded.
    fn attached(&mut self) {}

    /// It has gone on for so long.
    fn progress(&mut self, elapsed: Duration) {
        let _ = elapsed;
    }

    /// It is about to end.
    fn detaching(&mut self) {}
}

impl<F: FnMut(Duration)> Watch for F {
    fn progress(&mut self, elapsed: Duration) {
        self(elapsed);
    }
}

/// How often it is looked at whether the process is still there.
const TICK: Duration = Duration::from_millis(50);

/// A command between its fork and its first instruction.
struct Held {
    pid: i32,
    go: io::PipeWriter,
    spawned: JoinHandle<io::Result<Child>>,
}

impl Held {
    fn new(command: &[OsString]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (mut who, mut told) = io::pipe()?;
        let (mut wait, go) = io::pipe()?;
        let mut command = Command::new(program);
        command.args(arguments);
        let own = go.as_raw_fd();
        // SAFETY: between fork and exec it closes, writes to and reads from descriptors that are open, the first of them a copy that
        // nothing in the child owns; nothing there allocates or takes a lock.
        unsafe {
            command.pre_exec(move || {
                // Whoever holds the writing end, if only a copy, never sees the end of the pipe.
                libc::close(own);
                told.write_all(&libc::getpid().to_ne_bytes())?;
                // The end of the pipe is the word to go, too: then whoever started this is gone.
                wait.read(&mut [0]).map(|_| ())
            });
        }
        // `spawn` comes back when the command is executed, or cannot be: until then somebody must wait for it.
        let spawned = thread::Builder::new().name("nostale-spawn".to_owned()).spawn(move || command.spawn())?;
        let mut pid = [0; 4];
        match who.read_exact(&mut pid) {
            Ok(()) => Ok(Self { pid: i32::from_ne_bytes(pid), go, spawned }),
            // There was no fork.
            Err(error) => Err(spawned.join().ok().and_then(Result::err).unwrap_or(error)),
        }
    }

    /// Lets it go.
    fn release(self) -> io::Result<Child> {
        drop(self.go);
        self.spawned.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts it is gone")))
    }
}

/// Records the VM of `target` into the file `path` for `time`, or until it ends or `interrupted`. A command gets until its end if there is no
/// `time`.
///
/// # Errors
/// Nothing was recorded, or it could not be written; then there is no file.
pub fn record(
    target: &Target,
    path: &Path,
    title: &str,
    time: Option<Duration>,
    interrupted: &AtomicBool,
    watch: &mut dyn Watch,
) -> Result<Ended, RecordingError> {
    let tracefs = find_tracefs()?;
    let file = File::create(path).map_err(|error| RecordingError::File { path: path.to_owned(), error })?;
    let wanted = |pid| Wanted { title: title.to_owned(), frees: true, ..Wanted::new(tracefs.clone(), pid, clock::hertz()) };
    let remove = |error| {
        // What is left of it is of no use to anybody.
        let _ = fs::remove_file(path);
        error
    };
    let sink = BufWriter::with_capacity(1 << 18, file);
    match target {
        Target::Process(pid) => {
            let recorder = Recorder::start(wanted(*pid), sink).map_err(RecordingError::from).map_err(remove)?;
            let there = || fs::exists(format!("/proc/{pid}")).unwrap_or(false);
            let gone = wait(&recorder, time, interrupted, watch, there);
            let tail = recorder.stop().map_err(RecordingError::from).map_err(remove)?;
            Ok(Ended { tail, status: None, gone })
        }
        Target::Command(command) => {
            let failed = |error| RecordingError::Command {
                command: command.first().map_or_else(String::new, |program| program.display().to_string()),
                error,
            };
            let held = Held::new(command).map_err(failed).map_err(remove)?;
            let recorder = match Recorder::start(wanted(held.pid), sink) {
                Ok(recorder) => recorder,
                Err(error) => {
                    if let Ok(mut child) = held.release() {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                    return Err(remove(error.into()));
                }
            };
            let mut child = held.release().map_err(failed).map_err(remove)?;
            let mut status = None;
            let gone = wait(&recorder, time, interrupted, watch, || {
                status = child.try_wait().ok().flatten();
                status.is_none()
            });
            let stopped = recorder.stop();
            if status.is_none() {
                // It ends with its recording, as it would at a terminal.
                let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
                status = child.wait().ok();
            }
            let tail = stopped.map_err(RecordingError::from).map_err(remove)?;
            Ok(Ended { tail, status, gone })
        }
    }
}

/// Waits; tells whether the process was gone first.
fn wait(
    recorder: &Recorder,
    time: Option<Duration>,
    interrupted: &AtomicBool,
    watch: &mut dyn Watch,
    mut there: impl FnMut() -> bool,
) -> bool {
    let began = Instant::now();
    watch.attached();
    let mut gone = false;
    while time.is_none_or(|time| began.elapsed() < time) && !interrupted.load(Relaxed) && !recorder.is_over() {
        gone = !there();
        if gone {
            break;
        }
        watch.progress(began.elapsed());
        let left = time.map_or(TICK, |time| time.saturating_sub(began.elapsed()));
        thread::sleep(TICK.min(left));
    }
    watch.detaching();
    gone
}
