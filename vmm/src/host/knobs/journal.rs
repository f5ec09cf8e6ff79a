//! What was changed on the host and by whom, on disk before the change is made.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::knob::{Kind, Knob};
use super::process::{Process, boot_id};

const VERSION: u32 = 1;
const JOURNAL: &str = "knobs.json";
const TEMPORARY: &str = "knobs.json.tmp";
const LOCK: &str = "knobs.lock";

/// The lock covers a few small writes, though one that makes the kernel gather huge pages or unmerge KSM takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the journal of changed settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory could not be made or looked at.
    #[error("cannot use {path} for the journal of host settings: {source}; name another directory or make it writable")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Others could have written the journal, and it says what to write as root.
    #[error("{path} must be a directory of uid {uid} that nobody else can write (chown it, chmod 700 it, or name another)")]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Who must own it.
        uid: u32,
    },
    /// The lock file could not be opened or locked.
    #[error("cannot lock {path}: {source}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Somebody kept the lock for a minute.
    #[error("{path} stayed locked for {} s by another process (is a run stopped or hung? see `fuser {path}`)", PATIENCE.as_secs())]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// The journal could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The journal.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The journal is no journal.
    #[error(
        "{path} is damaged ({why}); it names settings to put back as `original`: do that by hand where it can still be read, \
         then delete the file"
    )]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// Where and how it is damaged.
        why: String,
    },
    /// The journal could not be written, so nothing was changed.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The journal.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// `/proc` does not tell who we are.
    #[error("cannot tell this process and boot from others: {source} (is /proc mounted?)")]
    Identity {
        /// What the kernel answered.
        source: io::Error,
    },
}

/// One guard that keeps a knob at its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    #[serde(flatten)]
    pub(super) process: Process,
    /// Tells the guards of one process apart.
    pub(super) token: u64,
}

/// One changed knob. Without holders it is an orphan that waits to be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) original: String,
    pub(super) wanted: String,
    /// What the kernel made of `wanted`. For a counter it is absent until the write has come back.
    pub(super) got: Option<String>,
    pub(super) holders: Vec<Holder>,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    boot_id: String,
    knobs: Vec<Entry>,
}

/// The journal, locked against every other process and thread until it is dropped.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    boot_id: String,
    pub(super) me: Process,
    /// Oldest first.
    pub(super) knobs: Vec<Entry>,
    /// Entries of an earlier boot, which that boot's end has reset. Gone from the file with the next `save`.
    pub(super) rebooted: Vec<Entry>,
    // flock belongs to the open file, so threads exclude each other too. `Flock` unlocks explicitly when it is dropped: a copy
    // of the descriptor in a forked child does not keep the lock.
    _lock: Flock<File>,
}

impl Entry {
    pub(super) fn knob(&self) -> Knob {
        Knob { path: self.path.clone(), kind: self.kind }
    }
}

/// Makes the directory, or checks that an existing one is safe to trust.
pub(super) fn prepare(dir: &Path) -> Result<(), JournalError> {
    let failed = |source| JournalError::Directory { path: dir.to_owned(), source };
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // In a shared temporary directory somebody may have been there first. Not following a symbolic link is part of that.
    let found = dir.symlink_metadata().map_err(failed)?;
    let uid = nix::unistd::geteuid().as_raw();
    if !found.is_dir() || found.uid() != uid || found.mode() & 0o022 != 0 {
        return Err(JournalError::NotPrivate { path: dir.to_owned(), uid });
    }
    Ok(())
}

impl Journal {
    /// Locks and reads the journal and takes dead holders out of it.
    pub(super) fn open(dir: &Path) -> Result<Self, JournalError> {
        let lock = lock(&dir.join(LOCK))?;
        let identity = |source| JournalError::Identity { source };
        let (me, boot_id) = (Process::current().map_err(identity)?, boot_id().map_err(identity)?);
        let mut journal = Self { dir: dir.to_owned(), boot_id, me, knobs: Vec::new(), rebooted: Vec::new(), _lock: lock };
        if let Some(contents) = read(&dir.join(JOURNAL))? {
            if contents.boot_id == journal.boot_id {
                journal.knobs = contents.knobs;
                for entry in &mut journal.knobs {
                    entry.holders.retain(|holder| holder.process.is_alive());
                }
            } else {
                journal.rebooted = contents.knobs;
            }
        }
        Ok(journal)
    }

    /// Puts the journal on disk whole, or leaves the old one whole.
    pub(super) fn save(&self) -> Result<(), JournalError> {
        let path = self.dir.join(JOURNAL);
        self.replace(&path).map_err(|source| JournalError::Write { path, source })
    }

    fn replace(&self, path: &Path) -> io::Result<()> {
        if self.knobs.is_empty() {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => return File::open(&self.dir)?.sync_all(),
            }
        }
        let contents = Contents { version: VERSION, boot_id: self.boot_id.clone(), knobs: self.knobs.clone() };
        let temporary = self.dir.join(TEMPORARY);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(&contents)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(&self.dir)?.sync_all()
    }
}

fn lock(path: &Path) -> Result<Flock<File>, JournalError> {
    let failed = |source| JournalError::Lock { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
    let start = Instant::now();
    // Polled, because a blocking flock cannot be given up when the holder was stopped.
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) if start.elapsed() > PATIENCE => {
                return Err(JournalError::Busy { path: path.to_owned() });
            }
            Err((same, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => file = same,
            Err((_, error)) => return Err(failed(error.into())),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn read(path: &Path) -> Result<Option<Contents>, JournalError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(JournalError::Read { path: path.to_owned(), source }),
    };
    let corrupt = |why: String| JournalError::Corrupt { path: path.to_owned(), why };
    // The version first: another one may have other fields.
    let header: Header = serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
    if header.version != VERSION {
        return Err(corrupt(format!("version {}, this program writes {VERSION}", header.version)));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| corrupt(error.to_string()))
}
