//! Whose an instance of tracefs or a group of probes is, by its name: so that what a recorder leaves behind that was killed can be told
//! from what one is using.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
};

const PREFIX: &str = "nostale_trace";

/// A recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its process
    pid: u32,
    /// and when that began, in the kernel's ticks: numbers of processes come again.
    started: u64,
    /// There can be several in one process.
    number: u32,
}

/// Field 22 of `/proc/PID/stat`, after a name in parentheses that may itself hold blanks and parentheses.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

impl Owner {
    /// A new one, in this process.
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or(0), number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }

    /// Its group of probes. Letters, digits and underscores are all that the kernel takes there, and 64 of them.
    pub(super) fn group(self) -> String {
        format!("{PREFIX}_{}_{}_{}", self.pid, self.started, self.number)
    }

    /// One of its instances.
    pub(super) fn instance(self, kind: &str) -> String {
        format!("{}_{kind}", self.group())
    }

    /// Whose that is.
    pub(super) fn of(name: &str) -> Option<Self> {
        let mut numbers = name.strip_prefix(PREFIX)?.strip_prefix('_')?.split('_');
        let (pid, started, number) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()?, number: number.parse().ok()? })
    }

    /// Whether its process is there. (One that is seen from another PID namespace seems not to be; that its instances are in use, the
    /// kernel knows.)
    pub(super) fn is_alive(self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_whose_they_are() {
        let (first, second) = (Owner::new(), Owner::new());
        assert_ne!(first, second);
        assert_eq!(Owner::of(&first.group()), Some(first));
        assert_eq!(Owner::of(&second.instance("memory")), Some(second));
        assert!(first.group().len() + "_memory".len() < 64);
        for other in ["", "nostale_reach", "nostale_trace", "nostale_trace_1_2", "nostale_trace_1_x_2", "nostale_tracer_1_2_3"] {
            assert_eq!(Owner::of(other), None, "{other}");
        }
    }

    #[test]
    fn the_living_are_told_from_the_dead_and_from_those_who_took_their_number() {
        let owner = Owner::new();
        assert!(owner.is_alive());
        assert!(!Owner { started: owner.started + 1, ..owner }.is_alive());
        assert!(!Owner { pid: u32::MAX, ..owner }.is_alive());
    }
}
