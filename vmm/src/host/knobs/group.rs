//! A control group of our own as a setting: made, or gone. Whoever is still in it when it goes moves to its parent.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

pub(super) const MADE: &str = "made";
pub(super) const GONE: &str = "gone";
/// The last process leaves a group a moment after it has ended.
const TRIES: u32 = 100;

/// What the group at `path` is now.
pub(super) fn read(path: &Path) -> io::Result<&'static str> {
    Ok(if path.try_exists()? { MADE } else { GONE })
}

/// Makes it what `value` says.
pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    match value {
        MADE => fs::create_dir(path),
        _ => remove(path),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let above = path.parent().unwrap_or(path).join("cgroup.procs");
    for _ in 1..TRIES {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return Err(error),
            Err(_) => {}
            Ok(()) => return Ok(()),
        }
        for process in fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().lines() {
            // It may have ended meanwhile.
            let _ = fs::write(&above, process);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::remove_dir(path)
}
