//! Names of threads. A thread may be gone when somebody asks who it was, so they are gathered while a recording is made.

use super::host;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How often.
const EVERY: Duration = Duration::from_millis(250);

/// Names that have been seen.
#[derive(Debug)]
pub(super) struct Names {
    pid: i32,
    /// The kernel keeps the names of the last threads, of whichever process, that were switched away from while something was traced.
    saved: PathBuf,
    next: Instant,
    seen: BTreeMap<i32, String>,
    /// Threads that have events, but no name yet: most have ended before anybody could ask.
    nameless: BTreeSet<i32>,
}

impl Names {
    pub(super) fn new(tracefs: &Path, pid: i32) -> Self {
        let (seen, nameless) = (BTreeMap::new(), BTreeSet::new());
        Self { pid, saved: tracefs.join("saved_cmdlines"), next: Instant::now(), seen, nameless }
    }

    /// These have events. Asks at once who they are.
    pub(super) fn note(&mut self, threads: impl Iterator<Item = i32>) {
        for tid in threads {
            if self.seen.contains_key(&tid) {
                continue;
            }
            if !self.ask(tid) {
                self.nameless.insert(tid);
            }
        }
    }

    fn ask(&mut self, tid: i32) -> bool {
        let name = host::command(tid);
        let known = !name.is_empty();
        if known {
            self.seen.insert(tid, name);
        }
        known
    }

    /// Looks, if it is time.
    pub(super) fn poll(&mut self) {
        let now = Instant::now();
        if now >= self.next {
            self.look();
            self.next = now + EVERY;
        }
    }

    fn look(&mut self) {
        if !self.nameless.is_empty() {
            let text = fs::read_to_string(&self.saved).unwrap_or_default();
            let ours = saved(&text).filter(|(tid, _)| self.nameless.contains(tid));
            self.seen.extend(ours);
            self.nameless.retain(|tid| !self.seen.contains_key(tid));
        }
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        for tid in threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            // also those that are known: a thread gets its name after it has begun
            self.ask(tid);
        }
    }

    /// All of them.
    pub(super) fn take(mut self) -> BTreeMap<i32, String> {
        self.look();
        self.seen
    }
}

/// `saved_cmdlines`: a number and a name in each line. A name of dots in angle brackets is none.
fn saved(text: &str) -> impl Iterator<Item = (i32, String)> {
    text.lines().filter_map(|line| {
        let (tid, name) = line.trim_start().split_once(' ')?;
        (name != "<...>").then(|| Some((tid.parse().ok()?, name.to_owned())))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_names_may_have_blanks() {
        let found: Vec<_> = saved("44 kworker/1:1H\n  7 a b\n9 <...>\nx y\n\n").collect();
        assert_eq!(found, [(44, "kworker/1:1H".to_owned()), (7, "a b".to_owned())]);
    }

    #[test]
    fn threads_of_a_process_are_found_and_others_that_have_events() {
        let this = std::process::id() as i32;
        let mut names = Names::new(Path::new("/nowhere"), this);
        names.note([1, i32::MAX].into_iter());
        let names = names.take();
        assert!(names.contains_key(&this) && names.contains_key(&1), "{names:?}");
        assert!(!names.contains_key(&i32::MAX));
    }
}
