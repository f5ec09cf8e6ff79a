//! *Finality* and *third thread*: a page that an operation replaced or took away lies still.
//!
//! Two signs, of which either is enough. A **stamp**: a vCPU wrote here although it had read, before, that the operation had
//! returned (finality) or that a host thread had seen its successor (third thread); stamps tell the epoch and hold even while
//! the operation is still running. A **movement**: anything at all changed between two looks after the operation had returned.
//! By then the kernel has flushed every TLB and zapped every SPTE, so no write begun earlier can still arrive.

use super::Oracle;
use crate::memory::{Retired, Snapshot};

/// What gives a stale write away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// vCPU `vcpu` wrote here with a promise as new as the operation itself.
    Stamped {
        /// Finality or third thread, according to which promise it had read.
        oracle: Oracle,
        /// The writer.
        vcpu: usize,
        /// The promise.
        promise: u64,
    },
    /// Somebody wrote here after the operation had returned.
    Moved {
        /// Line of the page.
        line: usize,
        /// Word of the line (0 is the counter).
        word: usize,
        /// Before.
        before: u64,
        /// After.
        after: u64,
    },
}

/// Judges what a retired page holds now: every breach, since the two rules fail for different reasons.
pub fn inspect(retired: &Retired, now: &Snapshot) -> impl Iterator<Item = Breach> {
    let [returned, seen] = now.newest_stamps();
    let stamped =
        [(Oracle::Finality, returned), (Oracle::ThirdThread, seen)].into_iter().filter_map(|(oracle, (vcpu, promise))| {
            (retired.generation != 0 && promise >= retired.generation).then_some(Breach::Stamped { oracle, vcpu, promise })
        });
    let moved = retired.snapshot.as_ref().and_then(|before| before.difference(now));
    let moved = moved.map(|(line, word, before, after)| Breach::Moved { line, word, before, after });
    // A stamp says more than a movement, and always is one.
    let stamped: Vec<_> = stamped.collect();
    let moved = moved.filter(|_| stamped.is_empty());
    stamped.into_iter().chain(moved)
}

impl Breach {
    /// The rule that was broken.
    #[must_use]
    pub const fn oracle(&self) -> Oracle {
        match self {
            Self::Stamped { oracle, .. } => *oracle,
            Self::Moved { .. } => Oracle::Finality,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nostale_guest::page::{LINES, stamp_place};

    fn page() -> Snapshot {
        Snapshot { lines: [[0; 8]; LINES] }
    }

    fn with_stamp(vcpu: usize, which: usize, promise: u64) -> Snapshot {
        let mut page = page();
        let (line, slot) = stamp_place(vcpu);
        page.lines[line][2 + 2 * slot + which] = promise;
        page
    }

    fn breaches(generation: u64, before: Option<&Snapshot>, now: &Snapshot) -> Vec<Breach> {
        inspect(&Retired { page: 0, generation, snapshot: before.cloned() }, now).collect()
    }

    #[test]
    fn a_stamp_of_the_operation_or_later_is_a_breach_and_an_earlier_one_is_not() {
        for vcpu in [0, 7, 8, 23] {
            let old = with_stamp(vcpu, 0, 9);
            assert_eq!(breaches(10, Some(&old), &old), []);
            for (which, oracle) in [(0, Oracle::Finality), (1, Oracle::ThirdThread)] {
                let new = with_stamp(vcpu, which, 10);
                assert_eq!(breaches(10, None, &new), [Breach::Stamped { oracle, vcpu, promise: 10 }]);
            }
        }
    }

    #[test]
    fn a_write_without_any_stamp_is_seen_as_movement_but_the_hosts_own_word_may_change() {
        let before = page();
        let mut now = page();
        now.lines[3][1] = 99;
        assert_eq!(breaches(10, Some(&before), &now), []);
        now.lines[3][0] = 1;
        assert_eq!(breaches(10, Some(&before), &now), [Breach::Moved { line: 3, word: 0, before: 0, after: 1 }]);
    }
}
