//! What the kernel tells of a thread of ours or of a child: where it is, and whether it gets anything done.

use super::stat::Stat;
use std::{
    fs,
    time::{Duration, Instant},
};

/// Between two looks at a task that is waited for.
const LOOK: Duration = Duration::from_millis(100);
/// Who gets something done may take so many times as long as who does not. Whoever waits for the whole run waits longer than that
/// (`l1::deadline`).
const BUSY: u32 = 3;

/// A thread of this process, or a child.
#[derive(Clone, Debug)]
pub(crate) struct Task(String);

impl Task {
    /// Thread `tid` of this process.
    pub(crate) fn thread(tid: i32) -> Self {
        Self(format!("/proc/self/task/{tid}"))
    }

    /// Process `pid`.
    pub(crate) fn process(pid: i32) -> Self {
        Self(format!("/proc/{pid}"))
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(format!("{}/{file}", self.0)).ok()
    }

    /// Where in the kernel it is: its stack, where we may see it, or the function that it waits in.
    pub(crate) fn whereabouts(&self) -> Option<String> {
        let stack: String = self.read("stack").unwrap_or_default();
        // "[<0>] folio_wait_bit_common+0x136/0x330"
        let frames: Vec<_> = stack.lines().filter_map(|line| line.split_once("] ")?.1.split('+').next()).collect();
        match frames.as_slice() {
            [] => self.read("wchan").filter(|name| !name.is_empty() && name != "0").map(|name| format!("in {name}")),
            frames => Some(format!("in {}", frames.join(" < "))),
        }
    }
}

/// Waits for a task: for so long as it gets nothing done, and for some times as long in all. What is slow on a busy host is not stuck.
#[derive(Debug)]
pub(crate) struct Patience {
    task: Task,
    silence: Duration,
    begin: Instant,
    /// When it was last seen at work, and what it had done by then.
    heard: Instant,
    ticks: u64,
    look: Instant,
}

impl Patience {
    /// For `task`, as long as it is not silent for `silence`.
    pub(crate) fn new(task: Task, silence: Duration) -> Self {
        let now = Instant::now();
        // Most are done before anybody has to look.
        Self { task, silence, begin: now, heard: now, ticks: 0, look: now + LOOK }
    }

    /// Whether it is at an end.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.look {
            self.look = now + LOOK;
            // Running, waiting for a CPU, or further than at the last look.
            if let Some(stat) = self.task.read("stat").and_then(|text| Stat::parse(&text))
                && (stat.state == 'R' || stat.ticks != self.ticks)
            {
                (self.heard, self.ticks) = (now, stat.ticks);
            }
        }
        now.duration_since(self.heard) > self.silence || now.duration_since(self.begin) > self.silence * BUSY
    }

    /// How it ended, for people.
    pub(crate) fn told(&self) -> String {
        let place = self.task.whereabouts().map_or(String::new(), |place| format!(", {place}"));
        let [waited, idle] = [self.begin, self.heard].map(|since| since.elapsed().as_secs_f64());
        format!("waited for {waited:.1} s, of which it did nothing in the last {idle:.1} s{place}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    };

    fn thread(body: impl FnOnce() + Send + 'static) -> (Task, std::thread::JoinHandle<()>) {
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _ = tell.send(nix::unistd::gettid().as_raw());
            body();
        });
        (Task::thread(told.recv().expect("it starts")), thread)
    }

    #[test]
    fn a_thread_that_sleeps_is_found_in_the_kernel() {
        let (sleeper, thread) = thread(|| std::thread::sleep(Duration::from_secs(1)));
        std::thread::sleep(Duration::from_millis(100));
        // Where neither file may be read there is nothing to say, and that is no error.
        if let Some(place) = sleeper.whereabouts() {
            assert!(place.contains("sleep"), "{place}");
        }
        thread.join().expect("no panic");
        assert_eq!(Task::thread(-1).whereabouts(), None);
    }

    #[test]
    fn who_works_is_waited_for_longer_than_who_sleeps() {
        let end = Arc::new(AtomicBool::new(false));
        let silence = Duration::from_millis(300);
        let ended = |task| {
            let mut patience = Patience::new(task, silence);
            while !patience.is_over() {
                std::thread::sleep(Duration::from_millis(1));
            }
            (patience.begin.elapsed(), patience.told())
        };
        let (sleeper, asleep) = thread({
            let end = Arc::clone(&end);
            move || {
                while !end.load(Relaxed) {
                    std::thread::park();
                }
            }
        });
        let (waited, told) = ended(sleeper);
        assert!(waited > silence && told.contains("did nothing"), "{told}");
        let (worker, at_work) = thread({
            let end = Arc::clone(&end);
            move || while !end.load(Relaxed) {}
        });
        assert!(ended(worker).0 > silence * BUSY);
        end.store(true, Relaxed);
        asleep.thread().unpark();
        asleep.join().expect("no panic");
        at_work.join().expect("no panic");
    }
}
