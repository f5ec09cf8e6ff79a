//! What else a kernel under test finds in its initramfs: a program of this host, and files for it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::places::Places;
use super::program::{Program, ProgramError};

/// Why something cannot come along.
#[derive(Debug, Error)]
pub enum ExtrasError {
    /// There is no such program.
    #[error("there is no program {name:?}{}", if name.as_encoded_bytes().contains(&b'/') { "" } else { " on PATH" })]
    NoProgram {
        /// Its name.
        name: OsString,
    },
    /// The program, or a library of it.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A file.
    #[error("--file {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A place that is none.
    #[error("--file {path}: not an absolute path without `..`, or in {}: say where it is to be, HOST:/PLACE", HIDDEN.join(" or "), path = path.display())]
    Place {
        /// Where it was to be.
        path: PathBuf,
    },
}

/// Directories in which the kernel shows files of its own.
const HIDDEN: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A program and files of this host.
#[derive(Clone, Debug)]
pub struct Extras {
    path: PathBuf,
    program: Program,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Extras {
    /// The program that a shell would start as `name`, and `files`: each with the place where it is to be.
    ///
    /// # Errors
    /// One of them is not there, or cannot be started.
    pub fn new(name: &OsStr, files: &[(PathBuf, PathBuf)]) -> Result<Self, ExtrasError> {
        let path = on_path(name, &std::env::var_os("PATH").unwrap_or_default())
            .ok_or_else(|| ExtrasError::NoProgram { name: name.to_owned() })?;
        let program = Program::at(&path)?;
        let read = |(path, place): &(PathBuf, PathBuf)| {
            let plain = place.is_absolute() && place.components().all(|part| part.as_os_str() != "..");
            if !plain || place.file_name().is_none() || HIDDEN.iter().any(|hidden| place.starts_with(hidden)) {
                return Err(ExtrasError::Place { path: place.clone() });
            }
            let contents = fs::read(path).map_err(|source| ExtrasError::File { path: path.clone(), source })?;
            Ok((place.clone(), contents))
        };
        let files = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { path, program, files })
    }

    /// Where the program is, here and there.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.path
    }

    /// Bytes that all of it takes, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.program.size() + self.files.iter().map(|(_, contents)| contents.len()).sum::<usize>()
    }

    pub(super) fn install(&self, places: &mut Places) {
        self.program.install(&self.path, places);
        for (place, contents) in &self.files {
            places.file(place, contents);
        }
    }
}

/// The file that is meant by `name`, as a shell finds it.
fn on_path(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    let starts = |file: &PathBuf| fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if name.is_empty() {
        return None;
    }
    let found = match name.as_encoded_bytes().contains(&b'/') {
        true => Some(PathBuf::from(name)).filter(starts),
        false => std::env::split_paths(path).map(|directory| directory.join(name)).find(starts),
    };
    found.and_then(|file| std::path::absolute(file).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_by_a_shell() {
        let dir = tempfile::tempdir().expect("a directory");
        let [here, there] = ["here", "there"].map(|name| dir.path().join(name));
        for (place, mode) in [(&here, 0o644), (&there, 0o755)] {
            fs::create_dir(place).expect("made");
            fs::write(place.join("tool"), "").expect("written");
            fs::set_permissions(place.join("tool"), fs::Permissions::from_mode(mode)).expect("ours");
        }
        let path = std::env::join_paths([&here, &there]).expect("no colons");
        assert_eq!(on_path(OsStr::new("tool"), &path), Some(there.join("tool")), "the first that can be started");
        assert_eq!(on_path(there.join("tool").as_os_str(), OsStr::new("")), Some(there.join("tool")));
        for none in ["other", "", "./tool"] {
            assert_eq!(on_path(OsStr::new(none), &path), None, "{none:?}");
        }
    }

    #[test]
    fn a_program_of_this_host_brings_its_libraries_and_files() {
        let this = std::env::current_exe().expect("it runs");
        let file = (PathBuf::from("/proc/self/status"), PathBuf::from("/etc/status"));
        let extras = Extras::new(this.as_os_str(), std::slice::from_ref(&file)).expect("all there");
        let mut places = Places::of(super::super::newc::Archive::default());
        extras.install(&mut places);
        let entries = super::super::newc::read(&places.finish());
        let there = |path: &Path| entries.iter().any(|entry| Path::new("/").join(&entry.path) == path);
        assert!(there(extras.program()) && there(&file.1) && extras.size() > 0);
    }

    #[test]
    fn what_cannot_come_along_is_named() {
        let this = std::env::current_exe().expect("it runs");
        let says = |name: &OsStr, file: &str, place: &str| {
            let files = [(PathBuf::from(file), PathBuf::from(place))];
            Extras::new(name, &files).map(drop).expect_err("refused").to_string()
        };
        assert_eq!(says(OsStr::new("no-such-program"), "", ""), "there is no program \"no-such-program\" on PATH");
        assert!(says(this.as_os_str(), "/missing", "/there").starts_with("--file /missing: No such file"));
        for place in ["there", "/a/../b", "/", "/dev/a"] {
            assert!(says(this.as_os_str(), "/proc/self/status", place).contains("not an absolute path"), "{place}");
        }
    }
}
