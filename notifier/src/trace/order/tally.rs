//! All invalidations that are over, by what caused them and by their order.

use super::{
    Operation,
    batch::{Cut, Parts},
    flight::Flight,
    latency::{Distances, MEASURED},
};
use crate::{
    HvaRange,
    event::Tsc,
    trace::{
        event::KernelEvent,
        profile::{BATCHES, OperationProfile, Signature, Stage},
    },
};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Orders of one operation whose timelines are kept.
const SHOWN: usize = 8;

/// An invalidation that is shown event by event.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What caused it.
    pub operation: Operation,
    /// Why it is shown: `first` or `longest`.
    pub chosen: &'static str,
    /// Its order.
    pub order: Vec<Stage>,
    /// Where.
    pub range: HvaRange,
    /// Its events.
    pub events: Vec<(Stage, KernelEvent)>,
}

#[derive(Debug, Default)]
struct Order {
    count: u64,
    batches: Parts<u64>,
    first: Option<Flight>,
    longest: Option<(u64, Flight)>,
}

#[derive(Debug, Default)]
struct Of {
    orders: FxHashMap<Vec<Stage>, Order>,
    distances: BTreeMap<usize, Distances>,
}

/// All operations of a name.
#[derive(Debug, Default)]
struct Named {
    invalidations: u64,
    orders: BTreeMap<Vec<Stage>, (u64, Vec<u64>)>,
    distances: BTreeMap<usize, Distances>,
}

/// The tally.
#[derive(Debug)]
pub struct Tally {
    ns_per_tick: f64,
    cut: Cut,
    /// The latest announcement.
    latest: u64,
    operations: FxHashMap<Operation, Of>,
    order: Vec<Stage>,
}

impl Tally {
    pub(super) fn new(hertz: f64) -> Self {
        let ns_per_tick = if hertz > 0.0 { 1e9 / hertz } else { 1.0 };
        Self { ns_per_tick, cut: Cut::default(), latest: 0, operations: FxHashMap::default(), order: Vec::new() }
    }

    pub(super) fn add(&mut self, flight: &Flight) {
        let Some(start) = flight.start() else { return };
        let part = self.cut.part(start.at.tsc.0);
        // Invalidations are over in another order than they began in.
        self.latest = self.latest.max(start.at.tsc.0);
        self.order.clear();
        self.order.extend(flight.stages.iter().map(|(stage, _)| *stage));
        self.order.dedup();
        let of = self.operations.entry(flight.operation).or_default();
        for (n, (from, to)) in MEASURED.iter().enumerate() {
            if let Some(ticks) = distance(flight, *from, *to) {
                let ns = (ticks as f64 * self.ns_per_tick) as u64;
                of.distances.entry(n).or_default().add(ns, part, self.cut);
            }
        }
        let orders = of.orders.len();
        let is_new = !of.orders.contains_key(&self.order);
        if is_new {
            of.orders.insert(self.order.clone(), Order::default());
        }
        let Some(order) = of.orders.get_mut(&self.order) else { return };
        order.count += 1;
        *order.batches.at(part, self.cut) += 1;
        if is_new && orders < SHOWN {
            order.first = Some(flight.clone());
        }
        let took = duration(flight);
        if order.first.is_some() && order.longest.as_ref().is_none_or(|(longest, _)| *longest < took) {
            order.longest = Some((took, flight.clone()));
        }
    }

    /// Everything, most frequent first: operations of the same name are one.
    #[must_use]
    pub fn finish(mut self, threads: &BTreeMap<i32, String>) -> (Vec<OperationProfile>, Vec<Shown>) {
        self.cut.part(self.latest);
        // Whatever time is left of the last parts is empty: a reader need not know how many were filled.
        let (cut, last) = (self.cut, BATCHES - 1);
        let mut named: BTreeMap<String, Named> = BTreeMap::new();
        let mut shown = Vec::new();
        let mut operations: Vec<_> = self.operations.into_iter().collect();
        operations.sort_by_key(|(operation, _)| *operation);
        for (operation, of) in operations {
            let Named { invalidations, orders, distances } = named.entry(operation.name(threads)).or_default();
            for (stages, order) in of.orders {
                *invalidations += order.count;
                let batches = order.batches.all(last, cut);
                let (sum, sums) = orders.entry(stages.clone()).or_insert_with(|| (0, vec![0; last + 1]));
                *sum += order.count;
                sums.iter_mut().zip(batches).for_each(|(sum, count)| *sum += count);
                let chosen = [("first", order.first), ("longest", order.longest.map(|(_, flight)| flight))];
                for (chosen, flight) in chosen {
                    let Some(flight) = flight else { continue };
                    let (range, events) = (flight.range, flight.stages);
                    shown.push(Shown { operation, chosen, order: stages.clone(), range, events });
                }
            }
            for (n, own) in of.distances {
                distances.entry(n).or_default().take_in(own, last, cut);
            }
        }
        let mut profiles: Vec<_> = named
            .into_iter()
            .map(|(name, Named { invalidations, orders, distances })| {
                let mut signatures: Vec<_> =
                    orders.into_iter().map(|(order, (count, batches))| Signature { order, count, batches }).collect();
                signatures.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.order.cmp(&b.order)));
                let latencies = distances
                    .into_iter()
                    .map(|(n, distances)| distances.finish(MEASURED[n].0, MEASURED[n].1, last, cut))
                    .collect();
                OperationProfile { name, invalidations, signatures, latencies }
            })
            .collect();
        profiles.sort_by(|a, b| b.invalidations.cmp(&a.invalidations).then_with(|| a.name.cmp(&b.name)));
        shown.sort_by_key(|shown| shown.events.first().map_or(Tsc::default(), |(_, event)| event.at.tsc));
        (profiles, shown)
    }
}

/// From the first of one stage to the first of another behind it.
fn distance(flight: &Flight, from: Stage, to: Stage) -> Option<u64> {
    if !flight.has(from) || !flight.has(to) {
        return None;
    }
    let from = flight.stages.iter().find(|(stage, _)| *stage == from)?.1.at.tsc.0;
    let to = flight.stages.iter().find(|(stage, event)| *stage == to && event.at.tsc.0 >= from)?.1.at.tsc.0;
    Some(to - from)
}

/// From its first event to its last.
fn duration(flight: &Flight) -> u64 {
    let first = flight.stages.first().map_or(0, |(_, event)| event.at.tsc.0);
    flight.stages.last().map_or(0, |(_, event)| event.at.tsc.0.saturating_sub(first))
}
