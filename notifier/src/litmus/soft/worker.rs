//! A processor's part of a run: it carries the threads of the test through chunks of instances, in an order that is left to chance.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{
    cells::Cells,
    chunk::{Chunk, Quick, Way},
    shape::{Pace, SHAPES, Shape},
    tally::{Counter, Ended, Eye},
    thread::{Context, Thread},
};
use crate::litmus::batches::Marks;

/// Passes of every thread in which none finishes anywhere, after which none is expected to. (Of every thread: a processor that is taken
/// away in the middle of a pass holds its thread up, and others may have to wait for what that would do.)
const IDLE: u32 = 1000;
/// Passes in which nobody took a step, after which it is looked at whether anybody can.
const FRUITLESS: u32 = 16;

/// Outcomes that are counted before they are looked for in the table of all.
const FEW: usize = 64;

/// What all workers use.
pub(super) struct Ground<'a> {
    pub(super) cells: &'a Cells,
    pub(super) eye: &'a Eye,
    pub(super) threads: &'a [Thread],
    pub(super) begin: Instant,
}

/// A processor's part.
pub(super) struct Worker<'a> {
    ground: &'a Ground<'a>,
    random: Xoshiro256PlusPlus,
    quick: Quick,
    context: Context,
    pub(super) counter: Counter,
    pub(super) marks: Marks<Ended>,
}

impl<'a> Worker<'a> {
    /// `width` is how many instances of all workers a slice of the run has at the least.
    pub(super) fn new(ground: &'a Ground<'a>, seed: u64, width: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (context, quick) = (Context::new(random.random()), Quick::new(random.random()));
        Self { ground, random, quick, context, counter: Counter::default(), marks: Marks::new(width) }
    }

    /// A round has ended, and all workers have done so many instances until now.
    pub(super) fn reach(&mut self, instances: u64) {
        self.marks.reach(instances, || self.counter.totals());
    }

    /// Does a chunk, alone or with others who are at it as well, until it is done in this round, or will be without this worker.
    pub(super) fn work(&mut self, chunk: &Chunk, round: u64, shape: usize) {
        let threads = self.ground.threads.len();
        let Shape { pace, skewed, together, .. } = SHAPES[shape];
        let mut fruitless = 0;
        while !chunk.is_done(round) {
            let number = self.random.random_range(0..threads.max(1));
            if threads == 0 || chunk.all_finished() || fruitless > FRUITLESS || chunk.idle() > IDLE {
                fruitless = 0;
                chunk.take_all();
                if !chunk.is_done(round) && (chunk.all_finished() || self.has_stopped(chunk)) {
                    self.settle(chunk, round, shape);
                }
                chunk.release_all();
                continue;
            }
            if chunk.has_finished(number) || !chunk.take(number) {
                if chunk.is_in_good_hands() && !chunk.all_finished() {
                    return;
                }
                std::hint::spin_loop();
                continue;
            }
            // It may have been done, and made ready for the next round, until it was taken.
            if !chunk.is_done(round) {
                let from = if skewed { self.random.random_range(0..chunk.instances()) } else { 0 };
                let way = Way { pace, alone: !together, from, random: &mut self.quick };
                let pass = chunk.pass(number, &self.ground.threads[number], &mut self.context, way);
                fruitless = if pass.steps == 0 { fruitless + 1 } else { 0 };
            }
            chunk.release(number);
        }
    }

    /// Whether nobody can take a step any more, or nobody comes to an end; the caller has taken all threads.
    fn has_stopped(&mut self, chunk: &Chunk) -> bool {
        if chunk.idle() > IDLE {
            return true;
        }
        let mut steps = 0;
        for (number, thread) in self.ground.threads.iter().enumerate() {
            let way = Way { pace: Pace::Even(1), alone: true, from: 0, random: &mut self.quick };
            steps += chunk.pass(number, thread, &mut self.context, way).steps;
        }
        steps == 0
    }

    fn settle(&mut self, chunk: &Chunk, round: u64, shape: usize) {
        let Ground { cells, eye, threads, begin } = self.ground;
        // Whoever has not ended is stuck, unless somebody can still take a step there.
        let mut stopped = vec![Ended::Stuck; chunk.instances()];
        if !chunk.all_finished() {
            for (instance, stopped) in stopped.iter_mut().enumerate() {
                if !chunk.has_ended(instance, cells) {
                    let steps: u32 =
                        (0..).zip(*threads).map(|(n, thread)| chunk.poke(n, instance, thread, &mut self.context)).sum();
                    *stopped = if steps > 0 { Ended::Endless } else { Ended::Stuck };
                }
            }
        }
        let now = || -> Duration { begin.elapsed() };
        let counter = &mut self.counter;
        // A few outcomes are most of what comes.
        let mut few: [Option<(Ended, u64)>; FEW] = [None; FEW];
        chunk.settle(round, cells, eye, &|instance| stopped[instance], |ended| {
            let slot = &mut few[ended.hint() % FEW];
            match slot {
                Some((same, times)) if *same == ended => *times += 1,
                _ => {
                    if let Some((before, times)) = slot.replace((ended, 1)) {
                        counter.count(before, shape, times, now);
                    }
                }
            }
        });
        for (ended, times) in few.into_iter().flatten() {
            counter.count(ended, shape, times, now);
        }
    }
}
