//! Invalidations that are not over.

use super::Operation;
use crate::{
    HvaRange,
    trace::{event::KernelEvent, profile::Stage},
};
use std::collections::VecDeque;

/// Events of one stage in a row that are kept.
const MOST: usize = 8;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u64);

/// An invalidation under way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) operation: Operation,
    pub(super) range: HvaRange,
    /// Its stages in order of time; of several of a kind in a row, the first few.
    pub(super) stages: Vec<(Stage, KernelEvent)>,
    /// Bits of the stages that it has had.
    seen: u16,
    /// Entries that it took away.
    pub(super) met: u64,
    /// Those of them whose coming back is waited for.
    pub(super) awaits: usize,
    /// Whether its thread has nothing more to say of it.
    pub(super) returned: bool,
}

impl Flight {
    pub(super) fn new(operation: Operation, range: HvaRange, enter: Option<KernelEvent>, start: &KernelEvent) -> Self {
        let returned = enter.is_none();
        let mut flight = Self { operation, range, stages: Vec::with_capacity(8), seen: 0, met: 0, awaits: 0, returned };
        if let Some(enter) = enter {
            flight.push(Stage::Enter, &enter);
        }
        flight.push(Stage::Start, start);
        flight
    }

    fn push(&mut self, stage: Stage, event: &KernelEvent) {
        // What others do is of interest once.
        let once = matches!(stage, Stage::Install | Stage::Fault);
        if once && self.has(stage) {
            return;
        }
        self.seen |= 1 << stage as u16;
        // Never the first of several: the order is made of those.
        let in_a_row = self.stages.iter().rev().take_while(|(last, _)| *last == stage).count();
        if in_a_row < MOST {
            self.stages.push((stage, *event));
        }
    }

    pub(super) const fn has(&self, stage: Stage) -> bool {
        self.seen & 1 << stage as u16 != 0
    }

    /// The announcement.
    pub(super) fn start(&self) -> Option<&KernelEvent> {
        self.stages.iter().find(|(stage, _)| *stage == Stage::Start).map(|(_, event)| event)
    }
}

/// All of them, oldest first.
#[derive(Debug, Default)]
pub(super) struct Flights {
    all: VecDeque<Option<Flight>>,
    first: u64,
}

impl Flights {
    pub(super) fn push(&mut self, flight: Flight) -> Id {
        self.all.push_back(Some(flight));
        Id(self.first + self.all.len() as u64 - 1)
    }

    fn at(&self, id: Id) -> Option<usize> {
        id.0.checked_sub(self.first).map(|at| at as usize).filter(|at| *at < self.all.len())
    }

    pub(super) fn get(&self, id: Id) -> Option<&Flight> {
        self.all.get(self.at(id)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Flight> {
        let at = self.at(id)?;
        self.all.get_mut(at)?.as_mut()
    }

    pub(super) fn has(&self, id: Id) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn stage(&mut self, id: Id, stage: Stage, event: &KernelEvent) {
        if let Some(flight) = self.get_mut(id) {
            flight.push(stage, event);
        }
    }

    pub(super) fn take(&mut self, id: Id) -> Option<Flight> {
        let at = self.at(id)?;
        let taken = self.all.get_mut(at)?.take();
        while self.all.front().is_some_and(Option::is_none) {
            self.all.pop_front();
            self.first += 1;
        }
        taken
    }

    /// Takes one whose thread has nothing more to say of it.
    pub(super) fn take_if_over(&mut self, id: Id) -> Option<Flight> {
        self.get(id).filter(|flight| flight.returned)?;
        self.take(id)
    }

    /// Takes the oldest, if it began before `tsc`.
    pub(super) fn pop_older_than(&mut self, tsc: u64) -> Option<Flight> {
        let oldest = self.all.front()?.as_ref()?;
        oldest.start().filter(|start| start.at.tsc.0 < tsc)?;
        self.pop_oldest()
    }

    pub(super) fn pop_oldest(&mut self) -> Option<Flight> {
        self.take(Id(self.first))
    }

    pub(super) fn clear(&mut self) {
        self.first += self.all.len() as u64;
        self.all.clear();
    }
}
