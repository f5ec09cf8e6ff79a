//! What moves the memory of a VM that does not ask for it, from outside: without that, a VM that runs has few translations replaced.

use super::super::protocol::Disturbance;
use crate::ops::syscall;
use nix::errno::Errno;
use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const KNOB: &str = "/proc/sys/vm/compact_memory";
/// Between two times: the guest is to install again what was taken from it.
const REST: Duration = Duration::from_millis(50);

/// What a disturbance has come to.
struct Done {
    times: u64,
    error: Option<String>,
}

/// Disturbances under way, each in a thread.
pub(super) struct Disturbing {
    stop: Arc<AtomicBool>,
    threads: Vec<(Disturbance, io::Result<JoinHandle<Done>>)>,
    notes: Vec<String>,
}

impl Disturbing {
    /// Disturbs process `pid` in these ways, as far as that is possible on a machine with these `nodes`.
    pub(super) fn start(pid: i32, ways: &[Disturbance], nodes: &[i32]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut threads, mut notes) = (Vec::new(), Vec::new());
        for way in ways {
            let mut once: Box<dyn FnMut() -> Result<(), String> + Send> = match way {
                Disturbance::Compact => Box::new(|| fs::write(KNOB, "1").map_err(|error| format!("{KNOB}: {error}"))),
                Disturbance::Migrate if nodes.len() < 2 => {
                    notes.push("pages were not moved between NUMA nodes: there is one only (--nodes)".to_owned());
                    continue;
                }
                Disturbance::Migrate => between(pid, nodes),
            };
            let stop = Arc::clone(&stop);
            let thread = thread::Builder::new().name("nostale-disturb".to_owned()).spawn(move || {
                let mut done = Done { times: 0, error: None };
                while !stop.load(Relaxed) && done.error.is_none() {
                    done.error = once().err();
                    done.times += u64::from(done.error.is_none());
                    thread::park_timeout(REST);
                }
                done
            });
            threads.push((*way, thread));
        }
        Self { stop, threads, notes }
    }

    /// Ends them; gives what should be known.
    pub(super) fn stop(mut self) -> Vec<String> {
        self.stop.store(true, Relaxed);
        for (way, thread) in self.threads {
            let what = match way {
                Disturbance::Compact => "memory was compacted",
                Disturbance::Migrate => "pages were moved to another NUMA node (migrate_pages)",
            };
            if let Ok(thread) = &thread {
                thread.thread().unpark();
            }
            let done = match thread.map(JoinHandle::join) {
                Ok(Ok(done)) => done,
                Ok(Err(_)) => Done { times: 0, error: Some("a panic".to_owned()) },
                Err(error) => Done { times: 0, error: Some(error.to_string()) },
            };
            let error = done.error.map_or_else(String::new, |error| format!(", and then: {error}"));
            self.notes.push(format!("{what} {} times{error}", done.times));
        }
        self.notes
    }
}

/// All pages of a process to one node, then all to the next.
fn between(pid: i32, nodes: &[i32]) -> Box<dyn FnMut() -> Result<(), String> + Send> {
    let nodes: Vec<u64> = nodes.iter().filter_map(|node| 1u64.checked_shl(*node as u32)).collect();
    let all: u64 = nodes.iter().fold(0, |all, node| all | node);
    let mut turns = nodes.into_iter().cycle();
    Box::new(move || {
        let Some(to) = turns.next() else { return Ok(()) };
        match syscall::migrate_pages(pid, all & !to, to) {
            // Some that somebody held stay; one that has ended is noticed by whoever records it.
            Ok(_) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(format!("migrate_pages: {error}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_is_too_few_and_said_so() {
        let notes = Disturbing::start(1, &[Disturbance::Migrate], &[0]).stop();
        assert!(matches!(notes.as_slice(), [note] if note.contains("there is one only")), "{notes:?}");
        assert!(Disturbing::start(1, &[], &[0, 1]).stop().is_empty());
    }

    #[test]
    fn a_process_that_is_gone_is_no_error_of_a_disturbance() {
        // Node 0 is everywhere; that there are more is not asked for where there is nobody to move.
        let mut once = between(i32::MAX, &[0, 0]);
        assert_eq!((once(), once()), (Ok(()), Ok(())));
    }
}
