//! The states of one distance from the first, and how workers share them.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// More workers than this are not used.
pub(super) const MAX_WORKERS: usize = 64;
/// Fewer states than this are not worth starting a thread for.
const WORTH_SHARING: u64 = 4096;

/// Indexes of states, in a few ranges: those in which the workers found them.
#[derive(Clone, Default, Debug)]
pub(super) struct Level {
    ranges: Vec<Range<u64>>,
    /// How many states come before each range.
    before: Vec<u64>,
    pub(super) states: u64,
}

impl Level {
    /// A level of these ranges, of which some may be empty.
    pub(super) fn new(ranges: impl IntoIterator<Item = Range<u64>>) -> Level {
        let mut level = Level::default();
        for range in ranges {
            if !range.is_empty() {
                level.before.push(level.states);
                level.states += range.end - range.start;
                level.ranges.push(range);
            }
        }
        level
    }

    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The indexes from one position on, at most to another, that are side by side.
    pub(super) fn run(&self, positions: &Range<u64>) -> Range<u64> {
        let at = self.before.partition_point(|&before| before <= positions.start) - 1;
        let start = self.ranges[at].start + (positions.start - self.before[at]);
        start..self.ranges[at].end.min(start + (positions.end - positions.start))
    }
}

/// Hands out positions, to whoever comes first.
pub(super) struct Cursor {
    next: AtomicU64,
    end: u64,
    chunk: u64,
}

impl Cursor {
    pub(super) fn new(end: u64, workers: usize) -> Cursor {
        Cursor { next: AtomicU64::new(0), end, chunk: (end / (workers as u64 * 8)).clamp(16, 512) }
    }

    /// The next positions, if there are any left.
    pub(super) fn take(&self) -> Option<Range<u64>> {
        let start = self.next.fetch_add(self.chunk, Ordering::Relaxed);
        (start < self.end).then(|| start..self.end.min(start + self.chunk))
    }
}

/// How many of the workers are worth having for so many states.
pub(super) fn worth(states: u64, workers: usize) -> usize {
    if states < WORTH_SHARING { 1 } else { workers }
}

/// Does the same on each of these, the first on this thread and with what only this thread may use.
pub(super) fn on_each<T: Send, L: ?Sized>(
    parts: &mut [T],
    here: &L,
    elsewhere: &(dyn Fn(&mut T) + Sync),
    work: impl Fn(&mut T, &L),
) {
    std::thread::scope(|scope| {
        let Some((first, rest)) = parts.split_first_mut() else { return };
        for part in rest {
            scope.spawn(move || elsewhere(part));
        }
        work(first, here);
    });
}
