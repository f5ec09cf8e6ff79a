//! What happened to a mapping, on one clock: the history that a violation is read against.
//!
//! A live run writes these as it works; other sources (a software MMU, a kernel's tracepoints) can speak the same words.

use crate::HvaRange;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::VecDeque};

/// A point in time: the time stamp counter, the one clock that guest, host threads and kernel events can share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tsc(pub u64);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// A host operation is about to change the primary mapping.
    OperationStart,
    /// The system call that changed it has returned: no translation made before may be in use any more.
    Returned,
    /// That return was published to the guest.
    Published,
    /// A host thread saw the new page through the primary MMU.
    Seen,
    /// The old page was found as it should be, or it was not.
    Witnessed,
    /// The mapping is what it was before the operation.
    Restored,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub tsc: Tsc,
    /// What.
    pub stage: Stage,
    /// By which host operation (or thread).
    pub actor: Cow<'static, str>,
    /// Where.
    pub range: HvaRange,
    /// The generation that the operation gives the range; 0 if it gives none.
    pub generation: u64,
}

/// The last events, oldest first; older ones make room and are counted.
#[derive(Debug)]
pub struct EventLog {
    events: VecDeque<Event>,
    capacity: usize,
    dropped: u64,
}

impl EventLog {
    /// A log of at most `capacity` events (at least 1).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { events: VecDeque::with_capacity(capacity), capacity, dropped: 0 }
    }

    /// Notes an event.
    pub fn push(&mut self, event: Event) {
        if self.events.len() == self.capacity {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(event);
    }

    /// Events that had to make room.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The last `limit` events that touch `range`, oldest first.
    #[must_use]
    pub fn around(&self, range: HvaRange, limit: usize) -> Vec<Event> {
        let mut found: Vec<_> =
            self.events.iter().rev().filter(|event| event.range.overlaps(range)).take(limit).cloned().collect();
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hva;

    fn event(tsc: u64, page: u64) -> Event {
        let range = HvaRange::new(Hva::new(page << 12), 1).expect("aligned");
        Event { tsc: Tsc(tsc), stage: Stage::Returned, actor: "test".into(), range, generation: 0 }
    }

    #[test]
    fn the_log_keeps_the_newest_and_counts_the_rest() {
        let mut log = EventLog::new(3);
        (0..5).for_each(|n| log.push(event(n, n % 2)));
        assert_eq!(log.dropped(), 2);
        let times: Vec<_> = log.around(event(0, 0).range, 8).iter().map(|event| event.tsc.0).collect();
        assert_eq!(times, [2, 4], "oldest first, only those that touch the page");
    }
}
