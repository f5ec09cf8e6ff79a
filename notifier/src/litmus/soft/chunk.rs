//! Instances of a test, side by side, and the passes that carry a thread through them.

use std::{
    cell::UnsafeCell,
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::{
    cells::{BUSY, Cell, Cells, DEAD},
    shape::{Pace, WHOLE},
    tally::{Ended, Eye},
    thread::{Context, Left, Thread},
};

/// The size of a cache line, and of what the processors' prefetchers fetch together.
#[repr(align(128))]
struct Line(#[expect(dead_code, reason = "it is used by its address")] [u8; LINE]);
const LINE: usize = 128;
/// Own cells of an instance begin at multiples of this, so that a program counter is aligned.
const OWN_ALIGN: usize = 8;

/// Memory that machine code and Rust both use.
struct Memory {
    lines: Box<[UnsafeCell<Line>]>,
}

impl Memory {
    fn new(bytes: usize) -> Self {
        Self { lines: (0..bytes.div_ceil(LINE).max(1)).map(|_| UnsafeCell::new(Line([0; LINE]))).collect() }
    }

    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.lines.len() * LINE, "inside");
        UnsafeCell::raw_get(self.lines.as_ptr()).cast::<u8>().wrapping_add(offset)
    }
}

/// A thread of the test in this chunk. On lines of its own.
#[repr(align(128))]
struct Carried {
    /// Some processor carries it.
    taken: AtomicBool,
    /// Instances in which it has not finished.
    left: AtomicU32,
    /// Passes since any thread has finished in any instance.
    passes: AtomicU32,
    own: Memory,
    stride: usize,
}

impl Carried {
    /// The thread's own cells in an instance; a program counter is at their beginning. Whoever has taken the thread may use them.
    fn cells(&self, instance: usize) -> *mut u8 {
        self.own.at(instance * self.stride)
    }

    /// Where the thread stands in an instance.
    ///
    /// # Safety
    /// The caller has taken the thread.
    unsafe fn pc(&self, instance: usize) -> u16 {
        // SAFETY: the cells are inside the memory, and the caller uses them alone.
        u16::from_ne_bytes(unsafe { self.cells(instance).cast::<[u8; 2]>().read() })
    }

    /// Puts the thread somewhere else.
    ///
    /// # Safety
    /// The caller has taken the thread.
    unsafe fn set_pc(&self, instance: usize, pc: u16) {
        // SAFETY: as above.
        unsafe { self.cells(instance).cast::<[u8; 2]>().write(pc.to_ne_bytes()) };
    }
}

/// Instances of a test.
pub(super) struct Chunk {
    instances: usize,
    shared: Memory,
    stride: usize,
    threads: Vec<Carried>,
    /// The last round in which it was done.
    done: AtomicU64,
    /// What all instances begin with: shared memory, and each thread's own.
    images: Vec<Vec<u8>>,
    /// Failure of each instance, from 1; 0 for none.
    failures: Vec<AtomicU32>,
}

// SAFETY: the own cells of a thread are used by whoever has `taken` it, and nobody else; shared cells are used by machine code, which
// accesses them atomically, and otherwise only by who has taken all threads.
unsafe impl Sync for Chunk {}
// SAFETY: it is memory that belongs to no thread.
unsafe impl Send for Chunk {}

/// Random numbers for choices that are made at every visit: fast, and good enough for that. Weyl's sequence, mixed as in splitmix64.
#[derive(Debug)]
pub(super) struct Quick(u64);

impl Quick {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below another one, which is small.
    #[inline(always)]
    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (((mixed >> 32) * u64::from(end)) >> 32) as u32
    }
}

/// What came of a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Pass {
    /// Steps taken.
    pub(super) steps: u64,
    /// Instances in which the thread has finished in the course of it.
    pub(super) finished: u32,
}

/// How a pass is made.
pub(super) struct Way<'r> {
    pub(super) pace: Pace,
    /// No other processor is in this chunk.
    pub(super) alone: bool,
    /// The first instance.
    pub(super) from: usize,
    pub(super) random: &'r mut Quick,
}

impl Chunk {
    pub(super) fn new(cells: &Cells, instances: usize) -> Self {
        let stride = cells.shared.len().next_multiple_of(LINE / 2);
        let carried = |own: &Vec<u8>| {
            let stride = own.len().next_multiple_of(OWN_ALIGN);
            let own = Memory::new(stride * instances);
            Carried { taken: AtomicBool::new(false), left: AtomicU32::new(0), passes: AtomicU32::new(0), own, stride }
        };
        let padded = |cells: &Vec<u8>, stride: usize| {
            let mut cells = cells.clone();
            cells.resize(stride, 0);
            cells.repeat(instances)
        };
        let own = cells.own.iter().map(|own| padded(own, own.len().next_multiple_of(OWN_ALIGN)));
        let this = Self {
            images: [padded(&cells.shared, stride)].into_iter().chain(own).collect(),
            instances,
            shared: Memory::new(stride * instances),
            stride,
            threads: cells.own.iter().map(carried).collect(),
            done: AtomicU64::new(0),
            failures: (0..instances).map(|_| AtomicU32::new(0)).collect(),
        };
        this.write_first(cells);
        this
    }

    /// Whether it has been done in a round.
    pub(super) fn is_done(&self, round: u64) -> bool {
        self.done.load(Acquire) == round
    }

    /// Whether a thread has finished in all instances.
    pub(super) fn has_finished(&self, thread: usize) -> bool {
        self.threads[thread].left.load(Relaxed) == 0
    }

    /// Whether all threads have.
    pub(super) fn all_finished(&self) -> bool {
        self.threads.iter().all(|thread| thread.left.load(Acquire) == 0)
    }

    /// How often every thread that has not finished everywhere was carried through all instances since one has last finished in some
    /// instance.
    pub(super) fn idle(&self) -> u32 {
        let unfinished = self.threads.iter().filter(|thread| thread.left.load(Relaxed) > 0);
        unfinished.map(|thread| thread.passes.load(Relaxed)).min().unwrap_or(0)
    }

    fn not_idle(&self) {
        self.threads.iter().for_each(|thread| thread.passes.store(0, Relaxed));
    }

    /// Whether others carry everybody who has not finished: they will see to it that this chunk comes to its end.
    pub(super) fn is_in_good_hands(&self) -> bool {
        self.threads.iter().all(|thread| thread.left.load(Relaxed) == 0 || thread.taken.load(Relaxed))
    }

    /// Takes a thread, if nobody carries it.
    pub(super) fn take(&self, thread: usize) -> bool {
        let taken = &self.threads[thread].taken;
        !taken.load(Relaxed) && taken.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    /// Lets go of a thread.
    pub(super) fn release(&self, thread: usize) {
        self.threads[thread].taken.store(false, Release);
    }

    /// Takes all threads, in their order; waits for whoever carries one.
    pub(super) fn take_all(&self) {
        for thread in 0..self.threads.len() {
            while !self.take(thread) {
                std::thread::yield_now();
            }
        }
    }

    /// Lets go of all threads.
    pub(super) fn release_all(&self) {
        (0..self.threads.len()).for_each(|thread| self.release(thread));
    }

    /// Carries a thread, which the caller has taken, once through all instances.
    pub(super) fn pass(&self, number: usize, thread: &Thread, context: &mut Context, way: Way<'_>) -> Pass {
        let carried = &self.threads[number];
        let mut pass = Pass::default();
        let Way { pace, alone, from, random } = way;
        let even = match pace {
            Pace::Whole => WHOLE,
            Pace::Even(most) | Pace::Uneven(most) => 1 + random.below(most),
        };
        for instance in (from..self.instances).chain(0..from) {
            // SAFETY: the caller has taken the thread.
            if unsafe { carried.pc(instance) } == thread.end {
                continue;
            }
            let steps = if let Pace::Uneven(most) = pace { 1 + random.below(most) } else { even };
            let shared = self.shared.at(instance * self.stride);
            // SAFETY: both belong to an instance of this model's cells, the caller has taken the thread, and knows whether it is alone.
            let (left, taken) = unsafe { thread.visit(alone, (shared, carried.cells(instance)), context, steps) };
            pass.steps += u64::from(taken);
            match left {
                Left::Tired => {}
                Left::Finished => pass.finished += 1,
                Left::Failed => {
                    self.failures[instance].store(context.failure + 1, Relaxed);
                    pass.finished += 1;
                }
                Left::Blocked => {
                    // What it waits for will not come, if the thread that would have done it has failed.
                    // SAFETY: that byte is only accessed atomically, by machine code as well.
                    if unsafe { &*shared.wrapping_add(DEAD).cast::<std::sync::atomic::AtomicU8>() }.load(Acquire) != 0 {
                        // SAFETY: the caller has taken the thread.
                        unsafe { carried.set_pc(instance, thread.end) };
                        pass.finished += 1;
                        pass.steps += 1;
                    }
                }
            }
        }
        if pass.finished > 0 {
            carried.left.fetch_sub(pass.finished, Release);
            self.not_idle();
        } else {
            carried.passes.fetch_add(1, Relaxed);
        }
        pass
    }

    /// Counts how every instance ended, and makes all ready for the next time. The caller has taken all threads. `stopped` says of
    /// an instance that has not finished why it will not.
    pub(super) fn settle(
        &self,
        round: u64,
        cells: &Cells,
        eye: &Eye,
        stopped: &dyn Fn(usize) -> Ended,
        mut count: impl FnMut(Ended),
    ) {
        for instance in 0..self.instances {
            let byte = |cell| {
                let at = match cell {
                    Cell::Shared(at) => self.shared.at(instance * self.stride + at),
                    Cell::Own(thread, at) => self.threads[thread].cells(instance).wrapping_add(at),
                    Cell::Pc(_) => return 0,
                };
                // SAFETY: the cell is inside, and whoever has taken all threads uses it alone.
                let byte = unsafe { at.read() };
                if matches!(cell, Cell::Shared(_)) { byte & !BUSY } else { byte }
            };
            let failure = self.failures[instance].load(Relaxed);
            count(if failure > 0 {
                Ended::Failed(failure - 1)
            } else if self.has_ended(instance, cells) {
                eye.look(byte)
            } else {
                stopped(instance)
            });
        }
        self.write_first(cells);
        self.done.store(round, Release);
    }

    /// Whether all threads have finished in an instance; the caller has taken them.
    pub(super) fn has_ended(&self, instance: usize, cells: &Cells) -> bool {
        self.threads.iter().zip(&cells.ends).all(|(carried, end)| {
            // SAFETY: the caller has taken all threads.
            unsafe { carried.pc(instance) == *end }
        })
    }

    /// How many instances there are.
    pub(super) fn instances(&self) -> usize {
        self.instances
    }

    /// Carries a thread one step further in one instance; the caller has taken all threads. Returns how many it took.
    pub(super) fn poke(&self, number: usize, instance: usize, thread: &Thread, context: &mut Context) -> u32 {
        let carried = &self.threads[number];
        // SAFETY: the caller has taken the thread.
        if unsafe { carried.pc(instance) } == thread.end {
            return 0;
        }
        // SAFETY: as in `pass`; the caller has taken all threads.
        let (left, steps) =
            unsafe { thread.visit(true, (self.shared.at(instance * self.stride), carried.cells(instance)), context, 1) };
        match left {
            Left::Failed => self.failures[instance].store(context.failure + 1, Relaxed),
            Left::Finished | Left::Tired | Left::Blocked => {}
        }
        steps
    }

    /// Puts every instance into its first state; the caller has it to itself.
    fn write_first(&self, cells: &Cells) {
        self.failures.iter().for_each(|failure| failure.store(0, Relaxed));
        let own = self.threads.iter().map(|carried| &carried.own);
        for (memory, image) in [&self.shared].into_iter().chain(own).zip(&self.images) {
            // SAFETY: the image is as long as all instances together, and whoever has taken all threads uses them alone.
            unsafe { std::ptr::copy_nonoverlapping(image.as_ptr(), memory.at(0), image.len()) };
        }
        for (carried, (own, end)) in self.threads.iter().zip(cells.own.iter().zip(&cells.ends)) {
            // A thread without steps has finished before it begins.
            let begun = u16::from_ne_bytes([own[0], own[1]]) != *end;
            carried.left.store(if begun { self.instances as u32 } else { 0 }, Release);
        }
        self.not_idle();
    }
}
