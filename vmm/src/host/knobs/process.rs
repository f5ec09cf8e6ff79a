//! Which process holds a knob, told apart from a later one with the same pid.

use std::io;

use serde::{Deserialize, Serialize};

/// A process of this boot. A pid alone is reused; with its start time it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks after boot.
    pub(super) start: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    threads: u64,
    start: u64,
}

impl Process {
    /// The calling process. Asked anew each time, because a `fork` changes the answer.
    pub(super) fn current() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/self/stat")?;
        let stat = parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat is malformed"))?;
        Ok(Self { pid: std::process::id(), start: stat.start })
    }

    /// Whether the process still runs. In doubt it does: a knob held too long is better than one pulled from under a run.
    pub(super) fn is_alive(self) -> bool {
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(text) => parse_stat(&text).is_none_or(|stat| stat.is_alive() && stat.start == self.start),
            // ESRCH: it went away between open and read.
            Err(error) => error.kind() != io::ErrorKind::NotFound && error.raw_os_error() != Some(libc::ESRCH),
        }
    }
}

impl Stat {
    fn is_alive(&self) -> bool {
        // A killed process stays a zombie until its parent asks. One with threads left has only lost its first thread.
        !matches!(self.state, 'Z' | 'X') || self.threads > 1
    }
}

fn parse_stat(text: &str) -> Option<Stat> {
    // Field 2, the command's name, may hold spaces and parentheses, so count from the last parenthesis.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let threads = fields.nth(16)?.parse().ok()?;
    let start = fields.nth(1)?.parse().ok()?;
    Some(Stat { state, threads, start })
}

/// The identity of this boot: what a reboot resets needs no putting back.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "3932 (a) b (c)) R 3920 3920 3261 0 -1 4194304 102 0 0 0 0 0 0 0 20 0 4 0 119912 3133440 416 18446744073709551615";

    #[test]
    fn stat_survives_a_hostile_command_name() {
        assert_eq!(parse_stat(LINE), Some(Stat { state: 'R', threads: 4, start: 119912 }));
        assert_eq!(parse_stat("3932 (cat"), None);
        assert_eq!(parse_stat("3932 (cat) R 1 2"), None);
        assert_eq!(parse_stat(""), None);
    }

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
        assert!(!Stat { state: 'Z', threads: 1, start: 0 }.is_alive());
        assert!(Stat { state: 'Z', threads: 3, start: 0 }.is_alive());
    }
}
