//! One worker of the search: takes states of a level, and puts what follows from them into the store.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::levels::{Cursor, Level};
use super::program::{Program, Sink};
use super::store::{Found, Store, hash};

/// Successors that are looked up together, so that the waits for memory overlap.
const BATCH: usize = 64;
/// Indexes that a worker sets aside at once.
const BLOCK: u64 = 256;

/// What the workers of a level share.
pub(super) struct Shared<'a, const W: usize> {
    pub(super) program: &'a Program<W>,
    pub(super) store: &'a Store<W>,
    pub(super) level: &'a Level,
    pub(super) cursor: &'a Cursor,
    pub(super) marks: &'a Marks,
    /// No index from here on may be used: the store would have to grow, or a limit be broken.
    pub(super) end: u64,
    /// The size of a block.
    pub(super) block: u64,
}

/// What outlives a level.
pub(super) struct Marks {
    /// The first index that no worker has set aside.
    pub(super) reserved: AtomicU64,
    /// Somebody needs an index that there is not, or the user has had enough: all stop at once, and may go on later.
    pub(super) pause: AtomicBool,
    /// Which `sometimes` have come true, and how many have not.
    pub(super) seen: Vec<AtomicBool>,
    pub(super) unseen: AtomicUsize,
}

impl Marks {
    pub(super) fn new(sometimes: usize) -> Marks {
        Marks {
            reserved: AtomicU64::new(0),
            pause: AtomicBool::new(false),
            seen: (0..sometimes).map(|_| AtomicBool::new(false)).collect(),
            unseen: AtomicUsize::new(sometimes),
        }
    }

    pub(super) fn see(&self, sometimes: u32) {
        if !self.seen[sometimes as usize].swap(true, Ordering::Relaxed) {
            self.unseen.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How many indexes a worker may set aside at once, so that all of them together waste no more than the store's slack.
pub(super) fn block<const W: usize>(store: &Store<W>, workers: usize) -> u64 {
    (store.slack() / workers as u64).clamp(1, BLOCK)
}

/// What is wrong in a level, or with what follows from it.
#[derive(Default, Debug)]
pub(super) struct Wrong {
    /// States of the next level in which a property does not hold.
    pub(super) bad: Vec<u64>,
    /// Failures of steps (by index).
    pub(super) failed: BTreeSet<u32>,
    /// States of the level in which nothing can run, though not all threads have finished.
    pub(super) dead: Vec<u64>,
}

impl Wrong {
    pub(super) fn is_empty(&self) -> bool {
        self.bad.is_empty() && self.failed.is_empty() && self.dead.is_empty()
    }
}

/// A worker, and where it stands. Apart from the others in memory, lest they take each other's cache lines.
#[repr(align(128))]
pub(super) struct Worker<const W: usize> {
    /// Positions of the level that it still has to do.
    chunk: Range<u64>,
    pending: Pending<W>,
    /// Indexes that it has set aside.
    free: Range<u64>,
    /// What it has found of the next level.
    pub(super) found: Vec<Range<u64>>,
    pub(super) transitions: u64,
    pub(super) wrong: Wrong,
}

/// Successors that were not looked up yet.
struct Pending<const W: usize> {
    entries: Vec<Entry<W>>,
    /// How many of them have been.
    done: usize,
}

#[derive(Clone, Copy)]
struct Entry<const W: usize> {
    state: [u64; W],
    hash: u64,
    slot: usize,
    step: u32,
}

/// Collects what follows from a state.
struct Collect<'a, const W: usize> {
    store: &'a Store<W>,
    entries: &'a mut Vec<Entry<W>>,
    failed: &'a mut BTreeSet<u32>,
}

impl<const W: usize> Sink<W> for Collect<'_, W> {
    #[inline(always)]
    fn next(&mut self, step: u32, state: &[u64; W]) {
        let hash = hash(state);
        self.store.prefetch_slot(hash);
        self.entries.push(Entry { state: *state, hash, slot: 0, step });
    }

    fn fail(&mut self, _: u32, failure: u32) {
        self.failed.insert(failure);
    }
}

impl<const W: usize> Worker<W> {
    pub(super) fn new() -> Worker<W> {
        Worker {
            chunk: 0..0,
            pending: Pending { entries: Vec::with_capacity(2 * BATCH), done: 0 },
            free: 0..0,
            found: Vec::new(),
            transitions: 0,
            wrong: Wrong::default(),
        }
    }

    /// Whether it has nothing left to do of what it took.
    pub(super) fn idle(&self) -> bool {
        self.chunk.is_empty() && self.pending.entries.is_empty()
    }

    /// The ranges that it has found since the last time.
    pub(super) fn take_found(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.found)
    }

    /// Works on the level until nothing is left of it, or a pause. `tick` is called now and then.
    pub(super) fn work<const ALONE: bool>(&mut self, shared: &Shared<'_, W>, tick: &dyn Fn()) {
        loop {
            if self.chunk.is_empty() {
                tick();
                if shared.marks.pause.load(Ordering::Relaxed) {
                    return;
                }
                match shared.cursor.take() {
                    Some(chunk) => self.chunk = chunk,
                    None => break,
                }
            }
            let run = shared.level.run(&self.chunk);
            for index in run {
                if self.pending.entries.len() >= BATCH && !self.flush::<ALONE>(shared) {
                    return;
                }
                self.expand(shared, index);
                self.chunk.start += 1;
            }
        }
        self.flush::<ALONE>(shared);
    }

    #[inline(always)]
    fn expand(&mut self, shared: &Shared<'_, W>, index: u64) {
        let state = shared.store.get(index);
        let mut sink = Collect { store: shared.store, entries: &mut self.pending.entries, failed: &mut self.wrong.failed };
        let enabled = shared.program.expand(&state, &mut sink);
        self.transitions += u64::from(enabled);
        if enabled == 0 && !shared.program.finished(&state) {
            self.wrong.dead.push(index);
        }
    }

    /// Looks up what is pending. False: there is no index left.
    #[inline(always)]
    fn flush<const ALONE: bool>(&mut self, shared: &Shared<'_, W>) -> bool {
        let pending = &mut self.pending;
        for entry in &mut pending.entries[pending.done..] {
            entry.slot = shared.store.approach(entry.hash);
        }
        for entry in &pending.entries[pending.done..] {
            if self.free.is_empty() {
                match reserve(shared) {
                    Some(block) => {
                        self.free = block;
                        self.found.push(self.free.start..self.free.start);
                    }
                    None => return false,
                }
            }
            let index = self.free.start;
            if shared.store.insert::<ALONE>(entry.slot, entry.hash, &entry.state, index) == Found::New {
                self.free.start += 1;
                match self.found.last_mut() {
                    Some(last) if last.end == index => last.end += 1,
                    _ => self.found.push(index..index + 1),
                }
                if !shared.program.holds_after(entry.step, &entry.state) {
                    self.wrong.bad.push(index);
                }
                if shared.marks.unseen.load(Ordering::Relaxed) > 0 {
                    shared.program.seen_after(entry.step, &entry.state, |sometimes| shared.marks.see(sometimes));
                }
            }
            pending.done += 1;
        }
        pending.entries.clear();
        pending.done = 0;
        true
    }

    /// Sets aside the index of the first state.
    pub(super) fn first(&mut self, store: &Store<W>, marks: &Marks, state: &[u64; W]) {
        marks.reserved.store(1, Ordering::Relaxed);
        let hash = hash(state);
        store.insert::<true>(store.home(hash), hash, state, 0);
        self.found.push(0..1);
    }
}

/// A block of indexes, if there still is one.
#[cold]
fn reserve<const W: usize>(shared: &Shared<'_, W>) -> Option<Range<u64>> {
    let start = shared.marks.reserved.fetch_add(shared.block, Ordering::Relaxed);
    if start + shared.block <= shared.end {
        return Some(start..start + shared.block);
    }
    shared.marks.reserved.fetch_sub(shared.block, Ordering::Relaxed);
    shared.marks.pause.store(true, Ordering::Relaxed);
    None
}
