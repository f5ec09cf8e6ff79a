//! Which processors carry the threads of a test.

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// Which processors carry the threads of a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cpus {
    /// The kernel says.
    Any,
    /// Each thread has one of its own, as long as there are enough.
    Apart,
    /// All have the same: whoever runs has been let in where another one was held up.
    One,
}

/// The processors that this process may use.
#[derive(Debug)]
pub(super) struct Allowed {
    all: CpuSet,
    each: Vec<usize>,
}

impl Allowed {
    /// Those of the calling thread. Where the kernel does not say, there is no choice.
    pub(super) fn here() -> Self {
        let all = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
        let each = (0..CpuSet::count()).filter(|&cpu| all.is_set(cpu).unwrap_or(false)).collect();
        Self { all, each }
    }

    /// Whether there is more than one.
    pub(super) fn several(&self) -> bool {
        self.each.len() > 1
    }

    /// Puts `threads` where `cpus` says; `turn` says which CPU is the first. A thread that has ended, or that may not be moved, stays
    /// where it is: that is a round like others.
    pub(super) fn place(&self, threads: &[Pid], cpus: Cpus, turn: usize) {
        for (number, thread) in threads.iter().enumerate() {
            let mut set = CpuSet::new();
            let one = match cpus {
                Cpus::Any => None,
                Cpus::Apart => self.each.get((turn + number) % self.each.len().max(1)),
                Cpus::One => self.each.get(turn % self.each.len().max(1)),
            };
            let set = match one.map(|cpu| set.set(*cpu)) {
                Some(Ok(())) => &set,
                _ => &self.all,
            };
            let _ = sched_setaffinity(*thread, set);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::gettid;

    #[test]
    fn a_thread_is_put_where_it_should_be_and_back() {
        std::thread::spawn(|| {
            let allowed = Allowed::here();
            let count = || Allowed::here().each.len();
            let before = count();
            allowed.place(&[gettid()], Cpus::One, 1);
            assert_eq!(count(), 1);
            allowed.place(&[gettid()], Cpus::Any, 0);
            assert_eq!((count(), allowed.several()), (before, before > 1));
        })
        .join()
        .expect("no panic");
    }
}
