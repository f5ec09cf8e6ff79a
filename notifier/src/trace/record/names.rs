//! Names of threads. A thread may be gone when somebody asks who it was, so they are gathered while a recording is made.

use super::host;
use std::{
    collections::BTreeMap,
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
    /// Threads of whichever process that was in the middle of an event when it was switched away from: the kernel keeps the last ones.
    saved: PathBuf,
    next: Instant,
    seen: BTreeMap<i32, String>,
}

impl Names {
    pub(super) fn new(tracefs: &Path, pid: i32) -> Self {
        Self { pid, saved: tracefs.join("saved_cmdlines"), next: Instant::now(), seen: BTreeMap::new() }
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
        self.seen.extend(saved(&fs::read_to_string(&self.saved).unwrap_or_default()));
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        for tid in threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            // also those that are known: a thread gets its name after it has begun
            let name = host::command(tid);
            if !name.is_empty() {
                self.seen.insert(tid, name);
            }
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
    fn threads_of_a_process_are_found() {
        let names = Names::new(Path::new("/nowhere"), std::process::id() as i32).take();
        assert!(names.contains_key(&(std::process::id() as i32)), "{names:?}");
    }
}
