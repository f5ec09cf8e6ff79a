//! Which process holds a knob, told apart from a later one with the same pid.

use crate::host::stat::Stat;
use std::io;

use serde::{Deserialize, Serialize};

/// A process of this boot. A pid alone is reused; with its start time it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks after boot.
    pub(super) start: u64,
}

impl Process {
    /// The calling process. Asked anew each time, because a `fork` changes the answer.
    pub(super) fn current() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/self/stat")?;
        let stat =
            Stat::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat is malformed"))?;
        Ok(Self { pid: std::process::id(), start: stat.start })
    }

    /// Whether the process still runs. In doubt it does: a knob held too long is better than one pulled from under a run.
    pub(super) fn is_alive(self) -> bool {
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(text) => Stat::parse(&text).is_none_or(|stat| is_alive(&stat) && stat.start == self.start),
            // ESRCH: it went away between open and read.
            Err(error) => error.kind() != io::ErrorKind::NotFound && error.raw_os_error() != Some(libc::ESRCH),
        }
    }
}

fn is_alive(stat: &Stat) -> bool {
    // A killed process stays a zombie until its parent asks. One with threads left has only lost its first thread.
    !matches!(stat.state, 'Z' | 'X') || stat.threads > 1
}

/// The identity of this boot: what a reboot resets needs no putting back.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_start_time_is_the_same_process() {
        let me = Process::current().expect("read /proc/self/stat");
        assert!(me.is_alive());
        assert!(!Process { start: me.start + 1, ..me }.is_alive());
        // Above PID_MAX_LIMIT, so never in use.
        assert!(!Process { pid: 1 << 23, start: 1 }.is_alive());
    }

    #[test]
    fn a_zombie_is_dead_unless_only_its_first_thread_is() {
        let stat = |threads| Stat { state: 'Z', ticks: 0, threads, start: 0 };
        assert!(!is_alive(&stat(1)));
        assert!(is_alive(&stat(3)));
    }
}
