//! A run: rounds of chunks, until there is enough.

use std::{
    sync::{
        Barrier, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{
    Unsuited,
    cells::Cells,
    chunk::Chunk,
    plan::Plan,
    shape::{self, SHAPES, Shape},
    tally::{Counts, Ended, Eye, Tally},
    thread::{Failures, Thread},
    worker::{Ground, Worker},
};
use crate::{
    litmus::{
        Until,
        batches::{self, Batch},
    },
    model::{Model, ThreadId},
};

/// Instances of a round, at the most.
const ROUND: usize = 8192;
/// Rounds of each shape before those that bring up what is rare come more often.
const FIRST_ROUNDS: u64 = 4 * SHAPES.len() as u64;

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When it has seen enough.
    pub until: Until,
    /// Where all choices come from. What the processors do to each other is theirs, so that the same seed may show other counts.
    pub seed: u64,
    /// Processors to use; each is kept busy.
    pub workers: usize,
}

/// What a run has seen.
#[derive(Clone, Debug)]
pub struct Run {
    /// How often each outcome came up.
    pub tally: Tally,
    /// All instances.
    pub instances: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// What came of each shape of rounds.
    pub shapes: Vec<Rounds>,
    /// The same in slices.
    pub batches: Vec<Batch>,
}

/// The rounds of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// How the threads came together.
    pub shape: Shape,
    /// Instances.
    pub instances: u64,
    /// How long they took.
    pub elapsed: Duration,
}

/// A model as real threads run it.
#[derive(Debug)]
pub struct Soft<'m> {
    model: &'m Model,
    cells: Cells,
    eye: Eye,
    threads: Vec<Thread>,
    failures: Failures,
}

/// What the workers agree upon before each round.
struct Agreed {
    stop: AtomicBool,
    round: AtomicU64,
    shape: AtomicUsize,
    /// Instances until the end of the round.
    instances: AtomicU64,
    /// Chunks of the round.
    chunks: AtomicUsize,
}

impl<'m> Soft<'m> {
    /// Compiles a model.
    ///
    /// # Errors
    /// Why it cannot be run so.
    pub fn new(model: &'m Model) -> Result<Self, Unsuited> {
        let cells = Cells::of(model)?;
        let eye = Eye::of(model, &cells)?;
        let plan = Plan::of(model, &cells);
        let mut failures = Failures::default();
        let threads = (0u32..).zip(&model.threads).map(|(id, _)| Thread::new(model, ThreadId(id), &cells, &plan, &mut failures));
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Self { model, cells, eye, threads, failures })
    }

    /// Runs it until there is enough, or `stop` is set.
    #[must_use]
    pub fn run(&self, options: &Options, stop: &AtomicBool) -> Run {
        let begin = Instant::now();
        let workers = options.workers.max(1);
        let sizes: std::collections::BTreeSet<usize> = SHAPES.iter().map(|shape| shape.chunk).collect();
        let chunks: Vec<(usize, Vec<Chunk>)> =
            sizes.iter().map(|&size| (size, (0..ROUND / size).map(|_| Chunk::new(&self.cells, size)).collect())).collect();
        let ground = Ground { cells: &self.cells, eye: &self.eye, threads: &self.threads, begin };
        let agreed = Agreed {
            stop: AtomicBool::new(false),
            round: AtomicU64::new(0),
            shape: AtomicUsize::new(0),
            instances: AtomicU64::new(0),
            chunks: AtomicUsize::new(0),
        };
        let barrier = Barrier::new(workers);
        let counts: Vec<Mutex<Vec<Counts>>> = (0..workers).map(|_| Mutex::default()).collect();
        let work = |number: usize, mut lead: Option<&mut Lead>| {
            let seed = options.seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut worker = Worker::new(&ground, seed, ROUND as u64);
            loop {
                if let Some(lead) = lead.as_deref_mut() {
                    lead.next(&agreed, stop, &counts);
                }
                barrier.wait();
                if agreed.stop.load(SeqCst) {
                    return worker;
                }
                let (round, shape) = (agreed.round.load(SeqCst), agreed.shape.load(SeqCst));
                let fitting = chunks.iter().find(|(size, _)| *size == SHAPES[shape].chunk).map_or(&[][..], |(_, chunks)| chunks);
                for (at, chunk) in fitting.iter().take(agreed.chunks.load(SeqCst)).enumerate() {
                    if SHAPES[shape].together || at % workers == number {
                        worker.work(chunk, round, shape);
                    }
                }
                worker.reach(agreed.instances.load(SeqCst));
                if round.is_multiple_of(16) {
                    let mut told = counts[number].lock().unwrap_or_else(PoisonError::into_inner);
                    *told = worker.counter.counts().copied().collect();
                }
                barrier.wait();
            }
        };
        let mut lead = Lead {
            random: Xoshiro256PlusPlus::seed_from_u64(options.seed),
            until: options.until,
            begin,
            instances: Counts::default(),
            times: [Duration::ZERO; SHAPES.len()],
            running: None,
            rounds: 0,
        };
        let workers = std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|number| scope.spawn(move || work(number, None))).collect();
            let first = work(0, Some(&mut lead));
            std::iter::once(first).chain(others.into_iter().filter_map(|other| other.join().ok())).collect::<Vec<_>>()
        });
        let elapsed = begin.elapsed();
        let instances = lead.instances.iter().sum();
        let mut tally = Tally::new();
        let parts = (self.model, &self.cells, &self.eye, &self.failures);
        workers.iter().for_each(|worker| worker.counter.add_to(&mut tally, parts));
        let outcome = |ended: &Ended| self.eye.outcome(self.model, &self.cells, &self.failures, *ended);
        let slices = workers.into_iter().map(|worker| worker.marks.finish(instances, worker.counter.totals(), outcome));
        Run {
            tally,
            instances,
            elapsed,
            batches: batches::joined(slices),
            shapes: (SHAPES.into_iter().zip(lead.instances).zip(lead.times))
                .map(|((shape, instances), elapsed)| Rounds { shape, instances, elapsed })
                .collect(),
        }
    }
}

/// Who says what comes next.
struct Lead {
    random: Xoshiro256PlusPlus,
    until: Until,
    begin: Instant,
    instances: Counts,
    times: [Duration; SHAPES.len()],
    /// The shape of the round that is running, and since when.
    running: Option<(usize, Instant)>,
    rounds: u64,
}

impl Lead {
    fn next(&mut self, agreed: &Agreed, stop: &AtomicBool, counts: &[Mutex<Vec<Counts>>]) {
        if let Some((shape, since)) = self.running.take() {
            self.times[shape] += since.elapsed();
        }
        let done: u64 = self.instances.iter().sum();
        let wanted = match self.until {
            Until::Instances(wanted) => wanted.saturating_sub(done),
            Until::For(_) => u64::MAX,
        };
        if self.until.is_enough(done, self.begin.elapsed()) || stop.load(Relaxed) {
            return agreed.stop.store(true, SeqCst);
        }
        let shape = if self.rounds < FIRST_ROUNDS {
            (self.rounds % SHAPES.len() as u64) as usize
        } else {
            let known: Vec<Counts> =
                counts.iter().flat_map(|counts| counts.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect();
            let weights = shape::weights(&known, &self.instances, &self.times);
            let mut at = self.random.random_range(0.0..weights.iter().sum::<f64>());
            let found = weights.iter().position(|weight| {
                at -= weight;
                at < 0.0
            });
            found.unwrap_or(0)
        };
        let size = SHAPES[shape].chunk;
        let chunks = (ROUND / size).min(wanted.div_ceil(size as u64).try_into().unwrap_or(usize::MAX));
        self.instances[shape] += (chunks * size) as u64;
        self.running = Some((shape, Instant::now()));
        self.rounds += 1;
        agreed.instances.store(self.instances.iter().sum(), SeqCst);
        agreed.chunks.store(chunks, SeqCst);
        agreed.shape.store(shape, SeqCst);
        agreed.round.store(self.rounds, SeqCst);
    }
}
