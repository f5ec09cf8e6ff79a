//! Invalidations, put together from their events: each becomes a row of stages, whose order is its signature and whose distances in time
//! are its latencies.

mod batch;
mod flight;
mod latency;
mod operation;
mod tally;

pub use operation::Operation;
pub use tally::{Shown, Tally};

use super::{
    event::{Gfn, KernelEvent, SlotMap, Tid, What},
    head::Mmu,
    profile::Stage,
    world::{Effects, Entry, World, pages_between},
};
use crate::{HvaRange, addr::PAGE_SHIFT};
use flight::{Flight, Flights, Id};
use rustc_hash::FxHashMap;

/// Entries of an invalidation whose coming back is waited for.
const AWAITED: usize = 8;

/// How long an invalidation that nothing happens to any more is kept, in seconds.
const PATIENCE: f64 = 1.0;

/// Puts them together.
#[derive(Debug)]
pub struct Orders {
    flights: Flights,
    /// Of each thread, those that its system call (or a kernel thread's work) is in the middle of.
    open: FxHashMap<Tid, Open>,
    /// By host page, the invalidation that took its entry away last.
    awaiting: FxHashMap<u64, Id>,
    /// By frame, the same.
    frames: FxHashMap<u64, Id>,
    tally: Tally,
    patience: u64,
    /// Invalidations that met nothing that was installed.
    idle: u64,
}

/// What a thread is in the middle of.
#[derive(Debug, Default)]
struct Open {
    all: Vec<Id>,
    unflushed: Vec<Id>,
    by_page: FxHashMap<u64, Id>,
}

impl Orders {
    /// None yet, on a clock of `hertz` ticks a second.
    #[must_use]
    pub fn new(hertz: f64) -> Self {
        Self {
            flights: Flights::default(),
            open: FxHashMap::default(),
            awaiting: FxHashMap::default(),
            frames: FxHashMap::default(),
            tally: Tally::new(hertz),
            patience: (hertz * PATIENCE) as u64,
            idle: 0,
        }
    }

    /// Takes note of an event, which has had these `effects` on the `world`.
    pub fn event(&mut self, event: &KernelEvent, world: &World, effects: &Effects) {
        let tid = event.at.tid;
        match event.what {
            What::Unmap { start, end } => {
                if let Some(range) = pages_between(start, end) {
                    self.begins(event, range, world);
                    self.met(tid, &effects.killed);
                }
            }
            What::Begin { .. } => {
                self.latest(tid, Stage::Begin, event);
                self.met(tid, &effects.killed);
            }
            What::Changed { .. } if !effects.killed.is_empty() && world.opening(tid).is_some() => {
                self.latest(tid, Stage::Zap, event);
                self.met(tid, &effects.killed);
            }
            What::Flush { .. } if world.opening(tid).is_some() => self.latest(tid, Stage::KvmFlush, event),
            what if what.is_own_flush() => {
                let Some(open) = self.open.get_mut(&tid) else { return };
                let in_call = world.thread(tid).is_some_and(|thread| thread.call.is_some());
                for id in open.unflushed.drain(..) {
                    // Of a kernel thread's earlier work: a page that is free by now needed no flush, or had none that could be seen (its
                    // process runs nowhere), and this one is of what the thread does now.
                    if in_call || !self.flights.get(id).is_some_and(|flight| flight.has(Stage::Free)) {
                        self.flights.stage(id, Stage::Flush, event);
                    }
                }
            }
            What::SetMigration { hva, .. } => self.at_page(tid, hva.get() >> PAGE_SHIFT, Stage::SetMigration, event),
            What::RemoveMigration { hva, .. } => self.at_page(tid, hva.get() >> PAGE_SHIFT, Stage::RemoveMigration, event),
            What::RangeEnd { start, end, .. } => {
                if let Some(range) = pages_between(start, end) {
                    self.ends(tid, range, event);
                }
            }
            What::Free { pfn, .. } => {
                if let Some(id) = self.frames.remove(&pfn.get()) {
                    self.flights.stage(id, Stage::Free, event);
                }
            }
            What::Exit { .. } if effects.returned => self.returns(event),
            What::Fault { address, .. } => {
                // A guest physical address with TDP alone.
                if let Some(hva) = world.slots.hva(Gfn(address >> PAGE_SHIFT))
                    && world.mmu == Mmu::Tdp
                    && let Some(id) = self.awaiting.get(&(hva.get() >> PAGE_SHIFT))
                {
                    self.flights.stage(*id, Stage::Fault, event);
                }
            }
            _ => {}
        }
        if let Some(entry) = effects.installed {
            self.installed(event, &entry);
        }
    }

    /// Events were lost: what is in the middle would come out wrong.
    pub fn forget(&mut self) {
        self.open.clear();
        self.awaiting.clear();
        self.frames.clear();
        self.flights.clear();
    }

    /// The tally of all, when there is no more to come; and how many met nothing.
    #[must_use]
    pub fn finish(mut self) -> (Tally, u64) {
        while let Some(flight) = self.flights.pop_oldest() {
            self.land(flight);
        }
        (self.tally, self.idle)
    }

    fn begins(&mut self, event: &KernelEvent, range: HvaRange, world: &World) {
        let tid = event.at.tid;
        let meets = |slot: &SlotMap| HvaRange::new(slot.hva, slot.pages).is_some_and(|own| own.overlaps(range));
        // Without an opening it is another process's memory.
        if world.opening(tid).is_none() || !world.slots.all().is_empty() && !world.slots.all().iter().any(meets) {
            return;
        }
        while let Some(flight) = self.flights.pop_older_than(event.at.tsc.0.saturating_sub(self.patience)) {
            self.land(flight);
        }
        let call = world.thread(tid).and_then(|thread| thread.call);
        let operation = Operation::of(tid, call.as_ref(), world);
        let open = self.open.entry(tid).or_default();
        if call.is_none() {
            // Nobody says when the work of a kernel thread is done.
            open.unflushed.retain(|id| self.flights.has(*id));
            open.by_page.retain(|_, id| self.flights.has(*id));
            open.all.clear();
        }
        let id = self.flights.push(Flight::new(operation, range, call.map(|call| call.event), event));
        open.all.push(id);
        open.unflushed.push(id);
        open.by_page.insert(range.start().get() >> PAGE_SHIFT, id);
    }

    /// The latest invalidation of a thread took entries away.
    fn met(&mut self, tid: Tid, killed: &[Entry]) {
        let Some(id) = self.open.get(&tid).and_then(|open| open.all.last().copied()) else { return };
        let Some(flight) = self.flights.get_mut(id) else { return };
        let first = flight.met == 0;
        flight.met += killed.len() as u64;
        if !first && flight.awaits >= AWAITED {
            return;
        }
        let room = AWAITED - flight.awaits.min(AWAITED);
        flight.awaits += killed.len().min(room);
        for entry in killed.iter().take(room) {
            let Some(hva) = entry.hva else { continue };
            self.frames.insert(entry.pfn.get(), id);
            let before = self.awaiting.insert(hva.get() >> PAGE_SHIFT, id);
            // Nothing that comes from now on is of the one before.
            if let Some(flight) = before.filter(|before| *before != id).and_then(|before| self.flights.take_if_over(before)) {
                self.land(flight);
            }
        }
    }

    fn latest(&mut self, tid: Tid, stage: Stage, event: &KernelEvent) {
        if let Some(id) = self.open.get(&tid).and_then(|open| open.all.last()) {
            self.flights.stage(*id, stage, event);
        }
    }

    fn at_page(&mut self, tid: Tid, page: u64, stage: Stage, event: &KernelEvent) {
        if let Some(id) = self.open.get(&tid).and_then(|open| open.by_page.get(&page)) {
            self.flights.stage(*id, stage, event);
        }
    }

    fn ends(&mut self, tid: Tid, range: HvaRange, event: &KernelEvent) {
        let Some(open) = self.open.get(&tid) else { return };
        let of = |id: &&Id| self.flights.get(**id).is_some_and(|flight| flight.range == range && !flight.has(Stage::End));
        let Some(id) = open.all.iter().rev().take(8).find(of).copied() else { return };
        self.flights.stage(id, Stage::End, event);
    }

    fn returns(&mut self, event: &KernelEvent) {
        let Some(open) = self.open.get_mut(&event.at.tid) else { return };
        let all = std::mem::take(&mut open.all);
        open.unflushed.clear();
        open.by_page.clear();
        for id in all {
            self.flights.stage(id, Stage::Return, event);
            if let Some(flight) = self.flights.get_mut(id) {
                flight.returned = true;
                let over = flight.met == 0 || flight.has(Stage::Install);
                if over && let Some(flight) = self.flights.take(id) {
                    self.land(flight);
                }
            }
        }
    }

    fn installed(&mut self, event: &KernelEvent, entry: &Entry) {
        let Some(hva) = entry.hva else { return };
        let Some(id) = self.awaiting.remove(&(hva.get() >> PAGE_SHIFT)) else { return };
        self.flights.stage(id, Stage::Install, event);
        if let Some(flight) = self.flights.take_if_over(id) {
            self.land(flight);
        }
    }

    fn land(&mut self, flight: Flight) {
        if flight.met == 0 {
            self.idle += 1;
        } else {
            self.tally.add(&flight);
        }
    }
}
