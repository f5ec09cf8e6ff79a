//! The private directory of a machine, and what QEMU inherits from us.

use super::{QemuError, spec::Descriptors};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::memfd::{MFdFlags, memfd_create},
};
use std::{
    fs::{self, File, Permissions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

/// The kernel's messages.
const CONSOLE: &str = "console.log";
/// QEMU's own messages.
const STDERR: &str = "qemu.log";
/// Where QEMU's gdb stub listens.
const GDB: &str = "gdb";
/// Enough of QEMU's messages for an error.
const TAIL: usize = 2000;

/// A directory that one machine uses.
#[derive(Debug)]
pub(super) struct WorkDir {
    path: PathBuf,
    /// Open and locked: two machines in one directory would overwrite each other's console.
    held: Flock<File>,
}

impl WorkDir {
    /// Makes it if it is missing, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, QemuError> {
        fs::create_dir_all(path).map_err(QemuError::file("make the directory", path))?;
        let path = path.canonicalize().map_err(QemuError::file("find", path))?;
        let open = File::open(&path).map_err(QemuError::file("open", &path))?;
        let held = Flock::lock(open, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            nix::errno::Errno::EWOULDBLOCK => {
                QemuError::Spec { why: format!("{} is the directory of another machine that runs", path.display()) }
            }
            error => QemuError::File { what: "lock", path: path.clone(), source: error.into() },
        })?;
        // Whoever can connect to the stub can read and write the guest.
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(QemuError::file("make private", &path))?;
        Ok(Self { path, held })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A name for a socket in the directory, short whatever the directory is called: an address has room for 107 bytes.
    pub(super) fn short(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.held.as_raw_fd()))
    }

    /// A connection to the gdb stub.
    pub(super) fn connect_gdb(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.short(GDB))
    }

    /// What the kernel printed so far.
    pub(super) fn console(&self) -> String {
        fs::read(self.path.join(CONSOLE)).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last of what QEMU printed.
    pub(super) fn stderr(&self) -> String {
        let bytes = fs::read(self.path.join(STDERR)).unwrap_or_default();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).into_owned()
    }

    /// A new file in it.
    fn create(&self, name: &str) -> Result<File, QemuError> {
        let path = self.path.join(name);
        File::create(&path).map_err(QemuError::file("create", path))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        _ = fs::remove_file(self.path.join(GDB));
    }
}

/// What is open for one machine: QEMU's ends, to be passed on, and ours.
#[derive(Debug)]
pub(super) struct Plumbing {
    pub(super) numbers: Descriptors,
    pub(super) inherited: Vec<OwnedFd>,
    pub(super) stderr: File,
    pub(super) qmp: UnixStream,
    pub(super) channel: UnixStream,
    /// The incoming machine, for one that is restored.
    pub(super) incoming: (i32, UnixStream),
}

impl Plumbing {
    /// Sockets and files for a machine with `memory`.
    pub(super) fn new(dir: &WorkDir, memory: &[File]) -> Result<Self, QemuError> {
        let mut inherited = Vec::new();
        let mut pass = |fd: OwnedFd| {
            inherited.push(fd);
            inherited.last().map_or(-1, AsRawFd::as_raw_fd)
        };
        let pair = || UnixStream::pair().map_err(QemuError::system("make a pair of sockets"));
        let (qmp, qmp_theirs) = pair()?;
        let (channel, channel_theirs) = pair()?;
        let (incoming, incoming_theirs) = pair()?;
        // Left behind by a process that was killed; the lock says that nobody uses it.
        match fs::remove_file(dir.path.join(GDB)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(QemuError::File { what: "remove", path: dir.path.join(GDB), source: error });
            }
            _ => {}
        }
        let gdb = UnixListener::bind(dir.short(GDB)).map_err(QemuError::file("listen on", dir.path.join(GDB)))?;
        let mut numbers = Descriptors {
            qmp: pass(qmp_theirs.into()),
            channel: pass(channel_theirs.into()),
            gdb: pass(gdb.into()),
            console: pass(dir.create(CONSOLE)?.into()),
            memory: Vec::new(),
        };
        let incoming = (pass(incoming_theirs.into()), incoming);
        for file in memory {
            let copy = file.try_clone().map_err(QemuError::system("duplicate a descriptor"))?;
            numbers.memory.push(pass(copy.into()));
        }
        Ok(Self { numbers, inherited, stderr: dir.create(STDERR)?, qmp, channel, incoming })
    }
}

/// Memory of a machine that is booted: nothing on any disk, and gone with the last who has it open.
pub(super) fn anonymous(bytes: u64) -> Result<File, QemuError> {
    let file =
        File::from(memfd_create(c"nostale-ram", MFdFlags::MFD_CLOEXEC).map_err(QemuError::system("make the guest's memory"))?);
    file.set_len(bytes).map_err(QemuError::system("size the guest's memory"))?;
    Ok(file)
}
