//! The search itself: level by level, until nothing new is found, something is wrong, or a limit is reached.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::levels::{Cursor, Level, MAX_WORKERS, on_each, worth};
use super::program::Program;
use super::store::Store;
use super::worker::{Marks, Shared, Worker, Wrong, block};
use super::{Bound, Limits, Progress};

/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);
/// States that one worker enters into a new table at a time.
const REFILL: u64 = 1 << 14;

/// How a search ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nothing new was left.
    Exhausted,
    /// Something is wrong.
    Wrong(Wrong),
    /// A limit was reached.
    Bound(Bound),
}

/// A search, while it goes on and afterwards.
pub(super) struct Search<'a, const W: usize> {
    pub(super) program: &'a Program<W>,
    pub(super) store: Store<W>,
    /// The levels that are complete.
    pub(super) levels: Vec<Level>,
    /// The one that was expanded last.
    pub(super) expanded: usize,
    pub(super) marks: Marks,
    workers: Vec<Worker<W>>,
    /// Of the levels that were completed.
    pub(super) states: u64,
    pub(super) transitions: u64,
    max_states: u64,
    bound: Bound,
    forbid_deadlock: bool,
}

/// Tells the progress, from this thread.
pub(super) struct Teller<'a> {
    tell: &'a dyn Fn(Progress) -> ControlFlow<()>,
    last: Cell<Instant>,
    stopped: Cell<bool>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(tell: &'a dyn Fn(Progress) -> ControlFlow<()>) -> Teller<'a> {
        Teller { tell, last: Cell::new(Instant::now()), stopped: Cell::new(false) }
    }

    /// Tells it, if it is time to. False: the user has had enough.
    pub(super) fn tick(&self, progress: impl FnOnce() -> Progress) -> bool {
        if self.last.get().elapsed() >= TELL {
            self.last.set(Instant::now());
            if (self.tell)(progress()).is_break() {
                self.stopped.set(true);
            }
        }
        !self.stopped.get()
    }
}

impl<'a, const W: usize> Search<'a, W> {
    pub(super) fn new(program: &'a Program<W>, forbid_deadlock: bool, limits: &Limits) -> Search<'a, W> {
        let by_memory = Store::<W>::states_in(limits.max_bytes);
        let (max_states, bound) =
            if by_memory < limits.max_states { (by_memory, Bound::Bytes) } else { (limits.max_states, Bound::States) };
        let workers = limits.workers.clamp(1, MAX_WORKERS);
        Search {
            program,
            store: Store::new(),
            levels: Vec::new(),
            expanded: 0,
            marks: Marks::new(program.sometimes.len()),
            workers: (0..workers).map(|_| Worker::new()).collect(),
            states: 0,
            transitions: 0,
            max_states,
            bound,
            forbid_deadlock,
        }
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The length of the longest shortest path to a state of a complete level.
    pub(super) fn depth(&self) -> u32 {
        self.levels.iter().rposition(|level| level.states > 0).unwrap_or(0) as u32
    }

    /// Explores everything there is to explore.
    pub(super) fn run(&mut self, teller: &Teller<'_>) -> End {
        let first = self.program.first;
        self.workers[0].first(&self.store, &self.marks, &first);
        for (index, property) in self.program.sometimes.iter().enumerate() {
            if self.program.is_true(*property, &first) {
                self.marks.see(index as u32);
            }
        }
        self.complete();
        if !self.program.holds(&first) {
            return End::Wrong(Wrong { bad: vec![0], ..Wrong::default() });
        }
        loop {
            let reached = self.expand(teller);
            let wrong = self.wrong();
            let ended = match reached {
                Some(bound) => Some(bound),
                None => {
                    let transitions = self.workers.iter().map(|worker| worker.transitions).sum();
                    let found: u64 = self.workers.iter().flat_map(|w| &w.found).map(|range| range.end - range.start).sum();
                    if self.states + found > self.max_states {
                        Some(self.bound)
                    } else {
                        self.transitions = transitions;
                        self.complete();
                        None
                    }
                }
            };
            // Which part of a level was seen before a limit is a matter of chance: what was found there is not told, so that the
            // same limit always gives the same answer. Whoever breaks off by hand is told everything.
            if let Some(bound) = ended
                && (bound != Bound::Interrupted || wrong.is_empty())
            {
                return End::Bound(bound);
            }
            if !wrong.is_empty() {
                return End::Wrong(wrong);
            }
            if self.levels.last().is_none_or(|level| level.states == 0) {
                return End::Exhausted;
            }
        }
    }

    /// What the workers have found becomes the next level.
    fn complete(&mut self) {
        let level = Level::new(self.workers.iter_mut().flat_map(Worker::take_found));
        self.states += level.states;
        self.levels.push(level);
    }

    fn wrong(&mut self) -> Wrong {
        let mut all = Wrong::default();
        for worker in &mut self.workers {
            all.bad.append(&mut worker.wrong.bad);
            if self.forbid_deadlock {
                all.dead.append(&mut worker.wrong.dead);
            }
            worker.wrong.dead.clear();
            all.failed.append(&mut worker.wrong.failed);
        }
        all
    }

    /// Takes all steps from the states of the last level.
    fn expand(&mut self, teller: &Teller<'_>) -> Option<Bound> {
        let depth = self.levels.len() - 1;
        self.expanded = depth;
        let states = self.levels[depth].states;
        let workers = worth(states, self.workers.len());
        let cursor = Cursor::new(states, workers);
        loop {
            self.marks.pause.store(false, Ordering::Relaxed);
            // Where more than this is reserved, more than the limit is used.
            let limit = self.max_states.saturating_add(1 + self.workers.len() as u64 * block(&self.store, self.workers.len()));
            let shared = Shared {
                program: self.program,
                store: &self.store,
                level: &self.levels[depth],
                cursor: &cursor,
                marks: &self.marks,
                end: self.store.end().min(limit),
                block: block(&self.store, self.workers.len()),
            };
            let tick = || {
                let progress = || Progress { states: self.marks.reserved.load(Ordering::Relaxed), depth: depth as u32 };
                if !teller.tick(progress) {
                    self.marks.pause.store(true, Ordering::Relaxed);
                }
            };
            if workers == 1 {
                self.workers[0].work::<true>(&shared, &tick);
            } else {
                let quietly = |worker: &mut Worker<W>| worker.work::<false>(&shared, &|| {});
                on_each(&mut self.workers, &tick, &quietly, |worker, tick| worker.work::<false>(&shared, tick));
            }
            if teller.stopped.get() {
                return Some(Bound::Interrupted);
            }
            if !self.marks.pause.load(Ordering::Relaxed) {
                debug_assert!(self.workers.iter().all(Worker::idle), "a level is done when nothing of it is left");
                return None;
            }
            if limit <= self.store.end() {
                return Some(self.bound);
            }
            self.grow();
        }
    }

    /// Doubles the store, and enters all states again, all workers together.
    fn grow(&mut self) {
        self.store.grow();
        let found = self.workers.iter().flat_map(|worker| &worker.found).cloned();
        let all = Level::new(self.levels.iter().flat_map(Level::ranges).cloned().chain(found));
        let workers = worth(all.states, self.workers.len());
        let pieces: Vec<_> = all.ranges().iter().flat_map(|range| pieces(range.clone())).collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let store = &self.store;
        if workers == 1 {
            return pieces.into_iter().for_each(|piece| store.refill::<true>(piece));
        }
        let refill = |_: &mut ()| {
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                store.refill::<false>(piece.clone());
            }
        };
        on_each(&mut vec![(); workers], &(), &refill, |part, ()| refill(part));
    }
}

/// Cuts a range.
fn pieces(range: std::ops::Range<u64>) -> impl Iterator<Item = std::ops::Range<u64>> {
    let end = range.end;
    range.step_by(REFILL as usize).map(move |start| start..end.min(start + REFILL))
}
