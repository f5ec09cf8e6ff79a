//! The directory of `--out DIR`: there with everything in it, or not there at all.
//!
//! Files are collected in a hidden directory beside DIR, which gets its name when the last of them is on disk. Nothing that
//! exists is ever replaced, and a run that fails, in whatever way it can notice, leaves nothing behind.

mod check;
mod compare;
mod generated;
mod litmus;
mod matrix;
mod mutate;
mod rename;
mod run;
mod trace;

use super::Format;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
    process,
};
use thiserror::Error;

/// Why results cannot be kept.
#[derive(Debug, Error)]
pub enum OutDirError {
    /// There is something with this name.
    #[error("{path} already exists; choose another directory or remove it first")]
    Exists {
        /// The directory asked for.
        path: PathBuf,
    },
    /// The path ends in no name (`/`, `..`, nothing).
    #[error("'{path}' does not name a directory that could be created; give a name that does not exist yet")]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// The directory above cannot take a new one.
    #[error("cannot create {path} in {parent}: {source}; choose a directory below one that exists and is writable")]
    Parent {
        /// The directory asked for.
        path: PathBuf,
        /// The one above.
        parent: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The name of a file leads out of the directory.
    #[error("'{name}' is no name of a file inside the results")]
    FileName {
        /// The name.
        name: String,
    },
    /// A file could not be written, so there will be no directory.
    #[error("cannot write {name} for {path}: {source}; nothing was kept (is the disk full?)")]
    Write {
        /// The directory asked for.
        path: PathBuf,
        /// The file.
        name: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// All was written, but the directory could not get its name.
    #[error("cannot give the finished results the name {path}: {source}; nothing was kept")]
    Commit {
        /// The directory asked for.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// Results on their way into a directory. Dropped without a [`commit`](Self::commit), they are gone.
#[derive(Debug)]
#[must_use = "what was written is removed unless it is committed"]
pub struct OutDir {
    /// As the user wrote it, for messages.
    shown: PathBuf,
    path: PathBuf,
    parent: PathBuf,
    partial: PathBuf,
    /// A forked child inherits the value but not the directory.
    owner: u32,
}

impl OutDir {
    /// Writes a result in every form that it has.
    fn write_forms(&self, render: impl Fn(Format) -> String) -> Result<(), OutDirError> {
        let forms = [
            ("report.json", Format::Json),
            ("table.txt", Format::Human),
            ("junit.xml", Format::Junit),
            ("ktap.txt", Format::Ktap),
        ];
        forms.into_iter().try_for_each(|(name, format)| self.write(name, render(format).as_bytes()))
    }

    /// Makes sure, before a long run, that `path` does not exist and can be created.
    ///
    /// # Errors
    /// It exists, or the directory above it is missing or not writable.
    pub fn prepare(path: &Path) -> Result<Self, OutDirError> {
        let shown = path.to_owned();
        let no_name = |_| OutDirError::NoName { path: shown.clone() };
        // Absolute, so that a change of the working directory during the run does no harm.
        let path = std::path::absolute(path).map_err(no_name)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(OutDirError::NoName { path: shown });
        };
        let parent = parent.to_owned();
        // A dangling symbolic link is something, too.
        if path.symlink_metadata().is_ok() {
            return Err(OutDirError::Exists { path: shown });
        }
        match create_partial(&parent, name.as_bytes()) {
            Ok(partial) => Ok(Self { shown, path, parent, partial, owner: process::id() }),
            Err(source) => Err(OutDirError::Parent { path: shown, parent, source }),
        }
    }

    /// Where the results will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, once and whole. A name may lie in a directory below (`violations/01.json`).
    ///
    /// # Errors
    /// The name leads elsewhere or was used before, or the disk cannot take it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), OutDirError> {
        let inside = Path::new(name).components().all(|component| matches!(component, Component::Normal(_)));
        if name.is_empty() || name.ends_with('/') || !inside {
            return Err(OutDirError::FileName { name: name.to_owned() });
        }
        self.write_file(&self.partial.join(name), bytes).map_err(|source| self.failed(name, source))
    }

    /// Where a file of this name is made by somebody else, before the directory gets its own name: one that is too large to be held.
    #[must_use]
    pub fn place(&self, name: &str) -> PathBuf {
        self.partial.join(name)
    }

    fn write_file(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Some(above) = file.parent() {
            fs::create_dir_all(above)?;
        }
        let mut open = OpenOptions::new().write(true).create_new(true).open(file)?;
        // Some file systems only notice at the sync that there is no room.
        let written = open.write_all(bytes).and_then(|()| open.sync_all());
        // Half a file must not be kept, not even by a caller who commits in spite of the error.
        written.inspect_err(|_| drop(fs::remove_file(file)))
    }

    fn failed(&self, name: &str, source: io::Error) -> OutDirError {
        OutDirError::Write { path: self.shown.clone(), name: name.to_owned(), source }
    }

    /// Gives the directory its name.
    ///
    /// # Errors
    /// Somebody took the name in the meantime, or the kernel refuses it. Nothing is left behind then.
    pub fn commit(self) -> Result<PathBuf, OutDirError> {
        sync(&self.partial);
        match rename::without_replacing(&self.partial, &self.path) {
            Ok(()) => {
                sync(&self.parent);
                Ok(self.path.clone())
            }
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Err(OutDirError::Exists { path: self.shown.clone() }),
            Err(source) => Err(OutDirError::Commit { path: self.shown.clone(), source }),
        }
        // Dropped here: after a failure that removes everything, after success there is nothing under the old name.
    }
}

impl Drop for OutDir {
    fn drop(&mut self) {
        if self.owner == process::id() {
            // Nobody could be told of a failure in a better way than by what is left.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// Makes entries of a directory durable. Not every file system can; the files themselves are on disk by then.
fn sync(directory: &Path) {
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}

/// How many names to try: others are taken by runs of this process, or by a killed one that had the same number.
const ATTEMPTS: u32 = 1000;
/// So much of the name is repeated in the hidden one, which may not get longer than 255 bytes.
const NAME_BYTES: usize = 200;

/// Creates `.NAME.partial-PID` in `parent`.
fn create_partial(parent: &Path, name: &[u8]) -> io::Result<PathBuf> {
    // The final name may be too long as well; then it is better to know before the run. `lstat` tells.
    if let Err(error) = parent.join(OsString::from_vec(name.to_owned())).symlink_metadata()
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut hidden = b".".to_vec();
    hidden.extend_from_slice(&name[..name.len().min(NAME_BYTES)]);
    hidden.extend_from_slice(format!(".partial-{}", process::id()).as_bytes());
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for attempt in 0..ATTEMPTS {
        let mut name = hidden.clone();
        if attempt > 0 {
            name.extend_from_slice(format!("-{attempt}").as_bytes());
        }
        let partial = parent.join(OsString::from_vec(name));
        match fs::create_dir(&partial) {
            Ok(()) => return Ok(partial),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Columns of a table in a file: all of them, and still fit for a mail.
const WIDTH: usize = 110;

/// A name that is safe in a file name, in any shell, and not too long for either.
pub(crate) fn slug(name: &str) -> String {
    name.chars().take(80).map(|c| if c.is_ascii_alphanumeric() || "+-_".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests;
