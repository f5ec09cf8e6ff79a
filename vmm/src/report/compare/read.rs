//! A recording to compare, in whatever form it was kept.

use crate::{
    report::json,
    trace::{ReadTraceError, profile_of},
};
use nostale_notifier::trace::{
    compare::{BadProfile, check},
    profile::Profile,
};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// What `nostale trace --out` calls the profile in its directory.
const PROFILE: &str = "trace.json";
/// So much of a file shows what it is.
const BEGINNING: u64 = 64;

/// Why there is no profile to be had from a path.
#[derive(Debug, Error)]
pub enum NoProfile {
    /// No file, or no right to it.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the kernel answered.
        error: io::Error,
    },
    /// A pipe or a device, which might keep us waiting for ever.
    #[error("{}: not a file; give a profile, a recording, or the directory that `nostale trace --out` made", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// A directory of something else.
    #[error("{}: there is no {PROFILE} in this directory; `nostale trace --out DIR` makes one that has it", path.display())]
    NoTrace {
        /// Which.
        path: PathBuf,
    },
    /// An empty file.
    #[error("{}: the file is empty; was the disk full?", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// It ends in the middle.
    #[error("{}: not whole: {error}; was it copied while it was written, or is the disk full?", path.display())]
    Cut {
        /// Which.
        path: PathBuf,
        /// Where it ends.
        error: serde_json::Error,
    },
    /// Something else in JSON.
    #[error("{}: not the profile of a recording: {error}; `nostale trace --format json` writes one", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// Numbers that cannot come from a recording, or from the future.
    #[error("{}: {error}", path.display())]
    Profile {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: BadProfile,
    },
    /// Neither JSON nor a recording that could be read.
    #[error(transparent)]
    Recording(#[from] ReadTraceError),
}

/// The profile in a file, in a directory that `nostale trace --out` made, or of a recording.
///
/// # Errors
/// Which file, what is wrong, and what to do.
pub fn read(path: &Path) -> Result<Profile, NoProfile> {
    let failed = |error| NoProfile::Io { path: path.to_owned(), error };
    let found = fs::metadata(path).map_err(failed)?;
    if found.is_dir() {
        let inside = path.join(PROFILE);
        return if inside.exists() { file(&inside) } else { Err(NoProfile::NoTrace { path: path.to_owned() }) };
    }
    if found.is_file() { file(path) } else { Err(NoProfile::NotAFile { path: path.to_owned() }) }
}

fn file(path: &Path) -> Result<Profile, NoProfile> {
    let failed = |error| NoProfile::Io { path: path.to_owned(), error };
    let mut beginning = Vec::new();
    File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning)).map_err(failed)?;
    match beginning.trim_ascii_start().first() {
        None => Err(NoProfile::Empty { path: path.to_owned() }),
        // Every document of ours is an object, and no recording begins so.
        Some(b'{') => parse(path, &fs::read_to_string(path).map_err(failed)?),
        Some(_) => checked(path, profile_of(path)?),
    }
}

fn parse(path: &Path, text: &str) -> Result<Profile, NoProfile> {
    let path_of = || path.to_owned();
    // The end may be in the middle of a number, too.
    let is_cut = !text.trim_end().ends_with('}');
    let bad = |error: serde_json::Error| {
        if error.is_eof() || is_cut {
            NoProfile::Cut { path: path_of(), error }
        } else {
            NoProfile::Json { path: path_of(), error }
        }
    };
    let version = json::version(text).map_err(bad)?;
    if version != nostale_notifier::trace::profile::VERSION {
        return Err(NoProfile::Profile { path: path_of(), error: BadProfile::Version(version) });
    }
    checked(path, serde_json::from_str(text).map_err(bad)?)
}

fn checked(path: &Path, profile: Profile) -> Result<Profile, NoProfile> {
    match check(&profile) {
        Ok(()) => Ok(profile),
        Err(error) => Err(NoProfile::Profile { path: path.to_owned(), error }),
    }
}
