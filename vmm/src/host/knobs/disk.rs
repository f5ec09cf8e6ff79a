//! A zram device as a disk, for files that must be written back to something. Its size is its value, 0 where there is none.
//!
//! A size says whose it is: a run takes as much as its memory needs, and takes down no disk of another size.

use super::zram::Zram;
use std::{io, path::Path};

/// What there is where nobody has made one.
pub(super) const NONE: &str = "0";

fn device(path: &Path) -> io::Result<Zram> {
    Zram::at(path).ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "it is no zram device"))
}

/// The size of the disk at `path`.
pub(super) fn read(path: &Path) -> io::Result<String> {
    device(path)?.bytes().map(|bytes| bytes.to_string())
}

/// Makes it so large.
pub(super) fn write(path: &Path, bytes: &str) -> io::Result<()> {
    match bytes.parse() {
        Ok(0) => device(path)?.reset(),
        Ok(bytes) => device(path)?.set_up(bytes),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
    }
}
