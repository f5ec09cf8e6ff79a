//! A machine put aside, and any number of machines from it.
//!
//! The guest's memory is not part of what QEMU writes: it is a file already (`x-ignore-shared`), copied once when the machine
//! is saved, and mapped privately (copy on write) by every machine that is restored from it. What is left is the state of the
//! devices, some hundred kilobytes, so that a restored machine runs as soon as QEMU does.

use super::{
    Installed, Machine, QemuError, QmpError,
    machine::ANSWER,
    spec::{Shape, Start},
    workdir::WorkDir,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::AsRawFd,
        unix::{
            fs::FileExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Which form the files have.
const FORM: u32 = 1;
/// Written last: with it, the directory is complete.
const INDEX: &str = "machine.json";
/// The state of the devices.
const DEVICES: &str = "devices";
/// Saving and restoring move a few hundred megabytes at most.
const MOVING: Duration = Duration::from_secs(60);

/// What [`INDEX`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    form: u32,
    qemu: String,
    shape: Shape,
    devices_bytes: u64,
}

/// A saved machine. It stays usable by later processes, with the same QEMU; its files must not change while machines that were
/// restored from it run.
#[derive(Clone, Debug)]
pub struct Saved {
    dir: PathBuf,
    index: Index,
}

impl Saved {
    /// Looks at one that was saved before.
    ///
    /// # Errors
    /// When it is incomplete or broken.
    pub fn open(dir: &Path) -> Result<Self, QemuError> {
        let broken = |why: String| QemuError::Saved { dir: dir.to_owned(), why };
        let path = dir.join(INDEX);
        let text = fs::read_to_string(&path).map_err(QemuError::file("read", &path))?;
        let index: Index = serde_json::from_str(&text).map_err(|error| broken(format!("{INDEX}: {error}")))?;
        if index.form != FORM {
            return Err(broken(format!("it has form {}, not {FORM}", index.form)));
        }
        let mut sizes = vec![(DEVICES.to_owned(), index.devices_bytes)];
        sizes.extend(index.shape.nodes.iter().enumerate().map(|(node, shape)| (memory_name(node), shape.memory_bytes)));
        for (name, expected) in sizes {
            let path = dir.join(&name);
            let length = fs::metadata(&path).map_err(QemuError::file("read", path))?.len();
            if length != expected {
                return Err(broken(format!("{name} has {length} bytes, not {expected}")));
            }
        }
        Ok(Self { dir: dir.to_owned(), index })
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The file of a node's memory.
fn memory_name(node: usize) -> String {
    format!("memory{node}")
}

impl Machine {
    /// Saves this machine as the directory `dir`, which is replaced if it is there, and lets it go on.
    ///
    /// The guest should wait for a line on the channel: what was sent and not yet read is not part of it.
    ///
    /// # Errors
    /// When it cannot be written, or the machine has ended.
    pub fn save(&mut self, dir: &Path) -> Result<Saved, QemuError> {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(QemuError::file("make the directory", parent))?;
        let new = tempfile::Builder::new()
            .prefix(".saving-")
            .tempdir_in(parent)
            .map_err(QemuError::file("make a directory in", parent))?;

        self.command("saving", "stop", json!({}))?;
        let written = self.write(new.path());
        // Also after a failure: the machine is what it was.
        let resumed = self.command("going on after saving", "cont", json!({}));
        let index = written?;
        resumed?;

        let text =
            serde_json::to_vec_pretty(&index).map_err(|error| QemuError::system("write the index")(io::Error::from(error)))?;
        let path = new.path().join(INDEX);
        fs::write(&path, text).map_err(QemuError::file("write", path))?;
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(QemuError::file("replace", dir))?;
        }
        fs::rename(new.path(), dir).map_err(QemuError::file("make", dir))?;
        // It has its name now, so there is nothing to clean up.
        _ = new.keep();
        Saved::open(dir)
    }

    /// Writes the files of a machine that stands still.
    fn write(&mut self, dir: &Path) -> Result<Index, QemuError> {
        let devices = self.devices()?;
        let path = dir.join(DEVICES);
        fs::write(&path, &devices).map_err(QemuError::file("write", path))?;
        for (node, memory) in self.memory.iter().enumerate() {
            let path = dir.join(memory_name(node));
            copy_memory(memory, &path).map_err(QemuError::file("write", path))?;
        }
        Ok(Index { form: FORM, qemu: self.version.clone(), shape: self.shape.clone(), devices_bytes: devices.len() as u64 })
    }

    /// The state of everything but the memory, as QEMU would send it to another host.
    fn devices(&mut self) -> Result<Vec<u8>, QemuError> {
        const DOING: &str = "saving the devices";
        self.ignore_memory()?;
        let name = "migrate";
        let socket = self.dir.path().join(name);
        _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(self.dir.short(name)).map_err(QemuError::file("listen on", &socket))?;
        // Seen from QEMU, the same short name is that of another process.
        let short = self.dir.short(name).to_string_lossy().replace("self", &std::process::id().to_string());
        let started = self.command(DOING, "migrate", json!({"uri": format!("unix:{short}")}));
        let accepted = started.and_then(|_| self.accept(DOING, &listener));
        _ = fs::remove_file(&socket);
        let mut stream = accepted?;
        let reader = thread::spawn(move || {
            stream.set_read_timeout(Some(MOVING))?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).map(|_| bytes)
        });
        let moved = self.moved(DOING);
        let bytes = reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader panicked")));
        moved?;
        bytes.map_err(QemuError::system("read the devices"))
    }

    /// The connection that QEMU makes after its answer, if it makes it.
    fn accept(&mut self, doing: &'static str, listener: &UnixListener) -> Result<UnixStream, QemuError> {
        listener.set_nonblocking(true).map_err(QemuError::system("set up a socket"))?;
        let start = Instant::now();
        while start.elapsed() < ANSWER {
            match listener.accept() {
                Ok((stream, _)) => return Ok(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(QemuError::system("accept the devices")(error)),
            }
        }
        Err(self.late(doing, ANSWER))
    }

    /// Leaves the memory to its files.
    fn ignore_memory(&mut self) -> Result<(), QemuError> {
        let capabilities = json!({"capabilities": [{"capability": "x-ignore-shared", "state": true}]});
        self.command("setting up the move", "migrate-set-capabilities", capabilities).map(drop)
    }

    /// Waits until the state has been sent or received.
    fn moved(&mut self, doing: &'static str) -> Result<(), QemuError> {
        let start = Instant::now();
        while start.elapsed() < MOVING {
            let info = self.command(doing, "query-migrate", json!({}))?;
            match info["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    let why = info["error-desc"].as_str().unwrap_or("QEMU does not say why").to_owned();
                    let (command, class) = ("migrate".to_owned(), "failed".to_owned());
                    return Err(self.failed(doing, QmpError::Refused { command, class, description: why }));
                }
                _ => thread::sleep(Duration::from_millis(2)),
            }
        }
        Err(self.late(doing, MOVING))
    }

    /// A new machine that goes on where `saved` was, with `dir` for itself.
    ///
    /// # Errors
    /// When the saved machine is broken or of another QEMU.
    pub fn restore(installed: &Installed, saved: &Saved, dir: &Path) -> Result<Self, QemuError> {
        const DOING: &str = "restoring the devices";
        let broken = |why: String| QemuError::Saved { dir: saved.dir.clone(), why };
        let Index { qemu, shape, .. } = &saved.index;
        if *qemu != installed.version {
            return Err(broken(format!("QEMU {qemu} saved it, and this is {}", installed.version)));
        }
        let path = saved.dir.join(DEVICES);
        let devices = fs::read(&path).map_err(QemuError::file("read", path))?;
        let open = |node| {
            let path = saved.dir.join(memory_name(node));
            File::options().read(true).write(true).open(&path).map_err(QemuError::file("open", path))
        };
        let memory = (0..shape.nodes.len()).map(open).collect::<Result<_, _>>()?;
        let (mut machine, (theirs, mut ours)) = Self::start(installed, shape.clone(), Start::Saved, memory, WorkDir::take(dir)?)?;
        machine.ignore_memory()?;
        machine.command(DOING, "migrate-incoming", json!({"uri": format!("fd:{theirs}")}))?;
        ours.send(&devices, MOVING).map_err(|error| machine.failed(DOING, error.into()))?;
        drop(ours);
        machine.moved(DOING)?;
        // It was saved standing still, and so it arrives.
        machine.command("starting the vCPUs", "cont", json!({}))?;
        Ok(machine)
    }
}

/// Copies what is there of a sparse file.
fn copy_memory(from: &File, path: &Path) -> io::Result<()> {
    let to = File::create(path)?;
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let seek = |offset: u64, whence| -> io::Result<Option<u64>> {
        let offset = i64::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: lseek has no memory to spoil.
        match unsafe { libc::lseek(from.as_raw_fd(), offset, whence) } {
            -1 => match io::Error::last_os_error() {
                // Nothing but holes from there on.
                error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
                error => Err(error),
            },
            found => Ok(Some(found as u64)),
        }
    };
    let mut chunk = vec![0; 1 << 20];
    let mut at = 0;
    while let Some(start) = seek(at, libc::SEEK_DATA)? {
        let end = seek(start, libc::SEEK_HOLE)?.unwrap_or(length);
        at = start;
        while at < end {
            let part = &mut chunk[..(end - at).min(1 << 20) as usize];
            from.read_exact_at(part, at)?;
            to.write_all_at(part, at)?;
            at += part.len() as u64;
        }
    }
    Ok(())
}
