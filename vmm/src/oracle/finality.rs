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

/// Judges what a retired page holds now.
#[must_use]
pub fn inspect(retired: &Retired, now: &Snapshot) -> Option<Breach> {
    stamped(retired.generation, now).or_else(|| {
        let (line, word, before, after) = retired.snapshot.difference(now)?;
        Some(Breach::Moved { line, word, before, after })
    })
}

/// Judges a page that was retired by the operation with `generation` by its stamps alone.
#[must_use]
pub fn stamped(generation: u64, now: &Snapshot) -> Option<Breach> {
    let oracles = [Oracle::Finality, Oracle::ThirdThread];
    now.newest_stamps().into_iter().zip(oracles).find_map(|((vcpu, promise), oracle)| {
        (generation != 0 && promise >= generation).then_some(Breach::Stamped { oracle, vcpu, promise })
    })
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

    #[test]
    fn a_stamp_of_the_operation_or_later_is_a_breach_and_an_earlier_one_is_not() {
        let retired = |snapshot: &Snapshot| Retired { page: 0, generation: 10, snapshot: snapshot.clone() };
        for vcpu in [0, 7, 8, 23] {
            let old = with_stamp(vcpu, 0, 9);
            assert_eq!(inspect(&retired(&old), &old), None);
            for (which, oracle) in [(0, Oracle::Finality), (1, Oracle::ThirdThread)] {
                let new = with_stamp(vcpu, which, 10);
                assert_eq!(inspect(&retired(&new), &new), Some(Breach::Stamped { oracle, vcpu, promise: 10 }));
            }
        }
    }

    #[test]
    fn a_write_without_any_stamp_is_seen_as_movement_but_the_hosts_own_word_may_change() {
        let retired = Retired { page: 0, generation: 10, snapshot: page() };
        let mut now = page();
        now.lines[3][1] = 99;
        assert_eq!(inspect(&retired, &now), None);
        now.lines[3][0] = 1;
        assert_eq!(inspect(&retired, &now), Some(Breach::Moved { line: 3, word: 0, before: 0, after: 1 }));
    }
}
