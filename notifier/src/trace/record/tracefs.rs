//! tracefs: where it is, instances of it, and what dead recorders left in it.

use super::owner::Owner;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use thiserror::Error;

/// What tracefs refuses.
#[derive(Debug, Error)]
pub enum TracefsError {
    /// It is nowhere, and cannot be mounted.
    #[error(
        "tracefs is not mounted, and mounting it at {MOUNT_POINT} failed: {error} (root may do that, on a kernel with CONFIG_TRACING)"
    )]
    Mount {
        /// Why.
        error: io::Error,
    },
    /// A file of it.
    #[error("{}: {error}{}", path.display(), hint(error))]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => " (recording a kernel's events needs root)",
        io::ErrorKind::OutOfMemory => " (smaller buffers may fit)",
        _ => "",
    }
}

const MOUNT_POINT: &str = "/sys/kernel/tracing";

/// Where tracefs is; mounts it if it is nowhere. A mount stays: others may have begun to use it, and it changes nothing.
pub fn find() -> Result<PathBuf, TracefsError> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if let Some(found) = mounted(&mounts) {
        return Ok(found);
    }
    let (what, place) = (c"tracefs", c"/sys/kernel/tracing");
    // SAFETY: the names are C strings, and tracefs takes no options.
    let done = unsafe { libc::mount(what.as_ptr(), place.as_ptr(), what.as_ptr(), 0, std::ptr::null()) };
    match done {
        0 => Ok(PathBuf::from(MOUNT_POINT)),
        _ => Err(TracefsError::Mount { error: io::Error::last_os_error() }),
    }
}

/// Blanks in a name are octal, as `mangle` in `fs/seq_file.c` writes them. Mounted twice, the usual place is better: the other one is
/// often the old one below debugfs.
fn mounted(mounts: &str) -> Option<PathBuf> {
    let points = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let point = words.next()?;
        (words.next()? == "tracefs").then(|| point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
    });
    points.max_by_key(|point| point == MOUNT_POINT).map(PathBuf::from)
}

/// Appends to a file of tracefs: opened in any other way, some of them forget what they held.
pub(super) fn append(path: &Path, text: &str) -> Result<(), TracefsError> {
    let written = OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| TracefsError::File { path: path.to_owned(), error })
}

/// What a file of tracefs says. The first read must be large enough for all of it: `header_page` gives nothing to a second one
/// (`show_header_page_file` in `kernel/trace/trace_events.c`), and `fs::read_to_string` begins with a small one.
pub(super) fn read(path: &Path) -> Result<String, TracefsError> {
    let whole = || {
        let (mut file, mut bytes, mut have) = (File::open(path)?, vec![0; 1 << 16], 0);
        loop {
            match file.read(&mut bytes[have..])? {
                0 => break,
                read => have += read,
            }
            bytes.resize(bytes.len().max(have + (1 << 16)), 0);
        }
        bytes.truncate(have);
        String::from_utf8(bytes).map_err(io::Error::other)
    };
    whole().map_err(|error| TracefsError::File { path: path.to_owned(), error })
}

/// A set of buffers of one's own. Dropped, it is gone, with all that is enabled in it.
#[derive(Debug)]
pub(super) struct Instance {
    path: PathBuf,
}

impl Instance {
    /// Makes one, which records nothing yet.
    pub(super) fn create(tracefs: &Path, name: &str) -> Result<Self, TracefsError> {
        let path = tracefs.join("instances").join(name);
        fs::create_dir(&path).map_err(|error| TracefsError::File { path: path.clone(), error })?;
        let instance = Self { path };
        instance.write("tracing_on", "0")?;
        Ok(instance)
    }

    /// A file of it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes to a file of it, in place of what is there.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), TracefsError> {
        let path = self.file(name);
        fs::write(&path, text).map_err(|error| TracefsError::File { path, error })
    }

    /// The same, if this kernel has that file.
    pub(super) fn write_if_there(&self, name: &str, text: &str) -> Result<(), TracefsError> {
        match self.file(name).exists() {
            true => self.write(name, text),
            false => Ok(()),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // What stays is found by the next recorder.
        let _ = self.write("tracing_on", "0");
        for _ in 0..20 {
            match fs::remove_dir(&self.path) {
                // whoever looks at it with `cat` keeps it for so long
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
    }
}

/// Removes what recorders left behind that are no more: their instances, which go on recording for nobody, and their probes.
pub(super) fn remove_leftovers(tracefs: &Path) {
    let dead = |name: &str| Owner::of(name).is_some_and(|owner| !owner.is_alive());
    for entry in fs::read_dir(tracefs.join("instances")).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(dead) {
            // If one is in use after all, this is EBUSY.
            let _ = fs::remove_dir(entry.path());
        }
    }
    let path = tracefs.join("kprobe_events");
    for line in fs::read_to_string(&path).unwrap_or_default().lines() {
        if let Some(name) = probe_name(line).filter(|name| name.split('/').next().is_some_and(dead)) {
            let _ = append(&path, &format!("-:{name}\n"));
        }
    }
}

/// `p:GROUP/EVENT PLACE ARGUMENTS`, `r8:...` for returns.
fn probe_name(line: &str) -> Option<&str> {
    line.split_whitespace().next()?.split_once(':').map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tracefs_is_mounted() {
        let twice = "tracefs /sys/kernel/tracing tracefs rw 0 0\nnone /sys/kernel/debug/tracing tracefs rw 0 0\nbad\n";
        assert_eq!(mounted(twice), Some(PathBuf::from("/sys/kernel/tracing")));
        assert_eq!(mounted("t /my\\040trace tracefs rw 0 0\n"), Some(PathBuf::from("/my trace")));
        assert_eq!(mounted("t /tracefs tmpfs rw 0 0\n"), None);
    }

    #[test]
    fn names_of_probes() {
        assert_eq!(
            probe_name("p:nostale_trace_1_2_3/flush kvm:kvm_flush_remote_tlbs kvm=%di:x64"),
            Some("nostale_trace_1_2_3/flush")
        );
        assert_eq!(probe_name("r16:g/e x"), Some("g/e"));
        assert_eq!(probe_name(""), None);
    }
}
