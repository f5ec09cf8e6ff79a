//! A machine that runs.

use super::{
    Accel, Channel, Debugger, Installed, MachineSpec, QemuError,
    process::Process,
    qmp::{Qmp, QmpError},
    socket::{Socket, SocketError},
    spec::{Shape, Start, arguments},
    workdir::{Plumbing, WorkDir, anonymous},
};
use serde_json::{Value, json};
use std::{
    fmt,
    fs::File,
    io::Read,
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// QEMU answers at once, unless the host is very busy.
pub(super) const ANSWER: Duration = Duration::from_secs(20);

/// Why a machine no longer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The guest powered off.
    PoweredOff,
    /// The guest reset itself: with the command line of [`MachineSpec`], a kernel panic or a triple fault. The console says more.
    Reset,
    /// It was told to quit, or killed, by us.
    Stopped,
    /// QEMU died of a signal that we did not send.
    Signal(i32),
    /// QEMU gave up.
    Failed(i32),
}

/// The end of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub cause: Cause,
    /// How the process ended.
    pub status: ExitStatus,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::PoweredOff => f.write_str("the guest powered off"),
            Cause::Reset => f.write_str("the guest reset itself"),
            Cause::Stopped => f.write_str("stopped by us"),
            Cause::Signal(signal) => write!(f, "killed by signal {signal}"),
            Cause::Failed(code) => write!(f, "exit status {code}"),
        }
    }
}

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Running,
    /// It does not any more.
    Ended(Ending),
}

/// A running machine. Dropped, it is gone.
#[derive(Debug)]
pub struct Machine {
    // First, so that the process is gone before anything it uses.
    process: Process,
    qmp: Qmp,
    channel: Channel,
    pub(super) dir: WorkDir,
    pub(super) shape: Shape,
    pub(super) memory: Vec<File>,
    pub(super) version: String,
    /// Set when the end is of our making.
    stopped: bool,
    ending: Option<Ending>,
}

impl Machine {
    /// Boots a kernel. Returns as soon as QEMU runs: the guest says by itself when it is ready, on the channel.
    ///
    /// # Errors
    /// When the machine cannot exist, or QEMU does not start.
    pub fn boot(installed: &Installed, spec: &MachineSpec) -> Result<Self, QemuError> {
        let shape = spec.shape()?;
        for path in [&spec.image, &spec.initramfs] {
            File::open(path).map_err(QemuError::file("read", path))?;
        }
        let memory = shape.nodes.iter().map(|node| anonymous(node.memory_bytes)).collect::<Result<_, _>>()?;
        let dir = WorkDir::take(&spec.dir)?;
        Ok(Self::start(installed, shape, Start::Kernel(spec), memory, dir)?.0)
    }

    /// Starts QEMU and opens its monitor. With the machine comes what is needed to feed it a saved state.
    pub(super) fn start(
        installed: &Installed,
        shape: Shape,
        start: Start<'_>,
        memory: Vec<File>,
        dir: WorkDir,
    ) -> Result<(Self, (i32, Socket)), QemuError> {
        let plumbing = Plumbing::new(&dir, &memory)?;
        let mut command = Command::new(&installed.program);
        command.args(arguments(&shape, &plumbing.numbers, start));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(plumbing.stderr);
        let mut process = Process::start(command, &plumbing.inherited)?;
        // Ours would keep the sockets open after QEMU's end.
        drop(plumbing.inherited);
        let socket = |stream| Socket::new(stream).map_err(QemuError::system("set up a socket"));
        let qmp = match Qmp::greet(socket(plumbing.qmp)?, ANSWER) {
            Ok(qmp) => qmp,
            Err(error) => return Err(explain(&mut process, &dir, "starting", error)),
        };
        let channel = Channel::new(socket(plumbing.channel)?);
        let incoming = (plumbing.incoming.0, socket(plumbing.incoming.1)?);
        let version = installed.version.clone();
        Ok((Self { process, qmp, channel, dir, shape, memory, version, stopped: false, ending: None }, incoming))
    }

    /// The lines between host and guest: the guest's second serial line, `/dev/ttyS1`.
    pub fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    /// Everything that the kernel printed so far.
    #[must_use]
    pub fn console(&self) -> String {
        self.dir.console()
    }

    /// The directory with the console (`console.log`) and QEMU's messages (`qemu.log`).
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How it is run.
    #[must_use]
    pub fn accel(&self) -> Accel {
        self.shape.accel
    }

    /// The process id of QEMU.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Whether it runs.
    pub fn state(&mut self) -> State {
        match self.process.ended() {
            None => State::Running,
            Some(status) => State::Ended(self.ending(status)),
        }
    }

    /// Waits for its end for at most `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> State {
        self.process.wait(timeout);
        self.state()
    }

    /// Waits for the guest's end, once it has been told on the channel to power off; kills it after `grace`.
    #[must_use]
    pub fn quit(mut self, grace: Duration) -> Ending {
        if let State::Ended(ending) = self.wait(grace) {
            return ending;
        }
        self.kill()
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> Ending {
        self.stopped |= self.process.ended().is_none();
        let status = self.process.kill();
        self.ending(status)
    }

    /// A session with the gdb stub. The machine stands still until the session is dropped.
    ///
    /// # Errors
    /// When the machine has ended, or the stub does not answer.
    pub fn debug(&mut self) -> Result<Debugger<'_>, QemuError> {
        let stream = match self.dir.connect_gdb() {
            Ok(stream) => stream,
            Err(error) => return Err(self.failed("connecting to the gdb stub", SocketError::from(error).into())),
        };
        let socket = Socket::new(stream).map_err(QemuError::system("set up a socket"))?;
        Debugger::attach(socket).map_err(|source| QemuError::Debug { doing: "attaching", source })
    }

    /// Copies `length` bytes at the kernel's virtual address `address`: in one go, for much. The machine goes on meanwhile.
    ///
    /// # Errors
    /// When some of it is not mapped.
    pub fn read_memory(&mut self, address: u64, length: usize) -> Result<Vec<u8>, QemuError> {
        let mut file = anonymous(0)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        // QEMU takes a signed number, and the kernel lives in what is negative then.
        let arguments = json!({"val": address.cast_signed(), "size": length, "filename": path, "cpu-index": 0});
        self.command("reading memory", "memsave", arguments)?;
        let mut bytes = Vec::with_capacity(length);
        file.read_to_end(&mut bytes).map_err(QemuError::system("read the copy of the memory"))?;
        if bytes.len() != length {
            let error = QmpError::Refused {
                command: "memsave".to_owned(),
                class: "incomplete".to_owned(),
                description: format!("{} of {length} bytes at {address:#x} were copied", bytes.len()),
            };
            return Err(self.failed("reading memory", error));
        }
        Ok(bytes)
    }

    /// One command to the monitor.
    pub(super) fn command(&mut self, doing: &'static str, command: &str, arguments: Value) -> Result<Value, QemuError> {
        self.qmp.execute(command, arguments, ANSWER).map_err(|error| self.failed(doing, error))
    }

    /// What is known about a failure of the monitor or its relatives.
    pub(super) fn failed(&mut self, doing: &'static str, error: QmpError) -> QemuError {
        explain(&mut self.process, &self.dir, doing, error)
    }

    /// Something takes too long.
    pub(super) fn late(&self, doing: &'static str, limit: Duration) -> QemuError {
        QemuError::Late { doing, limit, stderr: self.dir.stderr() }
    }

    /// Why it ended. The monitor's last words are in its socket still.
    fn ending(&mut self, status: ExitStatus) -> Ending {
        if let Some(ending) = self.ending {
            return ending;
        }
        let mut cause = match (status.code(), status.signal()) {
            (_, Some(libc::SIGKILL)) if self.stopped => Cause::Stopped,
            (_, Some(signal)) => Cause::Signal(signal),
            (code, None) => Cause::Failed(code.unwrap_or(-1)),
        };
        let deadline = Instant::now() + ANSWER;
        while status.success() && Instant::now() < deadline {
            let Ok(Some(event)) = self.qmp.event(Duration::ZERO) else { break };
            if event.name == "SHUTDOWN" {
                cause = match event.data["reason"].as_str() {
                    Some("guest-shutdown") => Cause::PoweredOff,
                    Some("guest-reset" | "guest-panic") => Cause::Reset,
                    Some("host-signal") => Cause::Signal(libc::SIGTERM),
                    _ => Cause::Stopped,
                };
            }
        }
        *self.ending.insert(Ending { cause, status })
    }
}

/// A monitor that is gone is a QEMU that ended: says how, and with which words.
fn explain(process: &mut Process, dir: &WorkDir, doing: &'static str, error: QmpError) -> QemuError {
    let source = match error {
        QmpError::Socket(SocketError::Closed | SocketError::Io(_)) => match process.wait(Duration::from_secs(2)) {
            Some(status) => return QemuError::Ended { doing, ending: status.to_string(), stderr: dir.stderr() },
            None => error,
        },
        QmpError::Late { limit, .. } => return QemuError::Late { doing, limit, stderr: dir.stderr() },
        error => error,
    };
    QemuError::Monitor { doing, source }
}
