//! Whether a finished state stays reachable from every state.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::model::{Model, State, StepId, targets::targets};

use super::levels::{Cursor, Level, on_each, worth};
use super::mem::zeroed;
use super::program::Look;
use super::search::{Search, Teller};
use super::store::{Key, KeyMap};
use super::{Bound, Progress};

/// Steps, the states that they lead to, and where among them the round begins.
pub(super) type Round = (usize, Vec<(StepId, State)>);

/// Whether every way through the model ends by itself: no program has a loop, and nothing happens beside them. Then whatever cannot
/// finish is a deadlock.
pub(super) fn always_ends(model: &Model) -> bool {
    model.steps.iter().all(|step| step.from.is_some())
        && model.threads.iter().enumerate().all(|(id, thread)| {
            let steps = || model.steps.iter().filter(move |step| step.thread.0 as usize == id);
            // The program counters that are on no loop, found from the ends on: those all of whose steps lead to such.
            let mut open: Vec<(i32, Vec<Option<i32>>)> = Vec::new();
            for step in steps() {
                let mut to = Vec::new();
                let certain = targets(&step.actions, thread.pc, &mut to);
                if !certain {
                    to.push(step.from);
                }
                open.extend(step.from.map(|from| (from, to)));
            }
            loop {
                let before = open.len();
                let left: std::collections::BTreeSet<i32> = open.iter().map(|(from, _)| *from).collect();
                open.retain(|(_, to)| to.iter().any(|to| to.is_none_or(|to| left.contains(&to))));
                if open.len() == before {
                    return open.is_empty();
                }
            }
        })
}

/// The states that can finish, a bit for each index.
pub(super) struct Hopeful {
    bits: Box<[AtomicU64]>,
}

impl Hopeful {
    fn has(&self, index: u64) -> bool {
        self.bits[(index / 64) as usize].load(Ordering::Relaxed) >> (index % 64) & 1 != 0
    }

    fn add(&self, index: u64) {
        self.bits[(index / 64) as usize].fetch_or(1 << (index % 64), Ordering::Relaxed);
    }

    /// What it takes for so many states. Bytes.
    pub(super) fn bytes(states: u64) -> u64 {
        states.div_ceil(64) * 8
    }

    /// Finds out: a state can finish if it is finished, or a step leads from it to one that can. States found late are looked at
    /// first, so that one pass settles nearly all.
    pub(super) fn find<const W: usize>(search: &Search<'_, W>, teller: &Teller<'_>) -> Result<Hopeful, Bound> {
        let indexes = search.marks.reserved.load(Ordering::Relaxed);
        let hopeful = Hopeful { bits: zeroed(indexes.div_ceil(64) as usize) };
        let all = Level::new(search.levels.iter().flat_map(Level::ranges).cloned());
        let workers = worth(all.states, search.workers());
        let depth = search.depth();
        loop {
            let cursor = Cursor::new(all.states, workers);
            let (changed, enough) = (AtomicBool::new(false), AtomicBool::new(false));
            let tick = || {
                if !teller.tick(|| Progress { states: search.states, depth }) {
                    enough.store(true, Ordering::Relaxed);
                }
            };
            let work = |tick: &dyn Fn()| {
                let mut order = Vec::new();
                while let (Some(behind), false) = (cursor.take(), enough.load(Ordering::Relaxed)) {
                    tick();
                    let mut positions = all.states - behind.end..all.states - behind.start;
                    while !positions.is_empty() {
                        let run = all.run(&positions);
                        positions.start += run.end - run.start;
                        order.extend(run);
                    }
                    for index in order.drain(..).rev() {
                        if !hopeful.has(index) && hopeful.settle(search, index) {
                            hopeful.add(index);
                            changed.store(true, Ordering::Relaxed);
                        }
                    }
                }
            };
            let parts = &mut vec![(); workers];
            on_each(parts, &tick as &dyn Fn(), &|()| work(&|| {}), |(), tick| work(tick));
            if enough.into_inner() {
                return Err(Bound::Interrupted);
            }
            if !changed.into_inner() {
                return Ok(hopeful);
            }
        }
    }

    /// Whether a state is finished or leads to one of which it is known that it can finish. Where nothing can run, which is only so
    /// here if the model allows it, that is an end as well.
    fn settle<const W: usize>(&self, search: &Search<'_, W>, index: u64) -> bool {
        let state = search.store.get(index);
        if search.program.finished(&state) {
            return true;
        }
        let mut can = false;
        let next = |_, next: &[u64; W]| can = can || search.store.find(next).is_some_and(|next| self.has(next));
        search.program.expand(&state, &mut Look { next, fail: |_, _| {} }) == 0 || can
    }

    /// The first level that has states which cannot finish, and these.
    pub(super) fn hopeless<const W: usize>(&self, search: &Search<'_, W>) -> Option<(usize, Vec<[u64; W]>)> {
        search.levels.iter().enumerate().find_map(|(depth, level)| {
            let indexes = level.ranges().iter().cloned().flatten();
            let states: Vec<_> = indexes.filter(|&index| !self.has(index)).map(|index| search.store.get(index)).collect();
            (!states.is_empty()).then_some((depth, states))
        })
    }
}

/// Steps from a state that cannot finish into a round, and once around it.
pub(super) fn round<const W: usize>(search: &Search<'_, W>, from: &[u64; W]) -> Option<Round> {
    let on_round = some_round(search, from)?;
    let mut way = path(search, from, &on_round, true)?;
    let begins = way.len();
    way.extend(path(search, &on_round, &on_round, false)?);
    Some((begins, way))
}

/// What follows from a state, in the order of the steps.
fn ordered<const W: usize>(search: &Search<'_, W>, state: &[u64; W]) -> Vec<(StepId, [u64; W])> {
    let mut all = Vec::new();
    search.program.successors(state, |step, next| all.push((search.program.steps[step as usize].id, *next)));
    all.sort_unstable_by_key(|(step, _)| *step);
    all
}

/// A state on a round that can be reached: depth first, until a step leads back onto the way.
fn some_round<const W: usize>(search: &Search<'_, W>, from: &[u64; W]) -> Option<[u64; W]> {
    let mut on_way: KeyMap<W, bool> = KeyMap::default();
    let mut way = vec![(*from, ordered(search, from).into_iter())];
    on_way.insert(Key(*from), true);
    while let Some((state, next)) = way.last_mut() {
        match next.next() {
            None => {
                on_way.insert(Key(*state), false);
                way.pop();
            }
            Some((_, next)) => match on_way.get(&Key(next)) {
                Some(true) => return Some(next),
                Some(false) => {}
                None => {
                    on_way.insert(Key(next), true);
                    way.push((next, ordered(search, &next).into_iter()));
                }
            },
        }
    }
    None
}

/// A shortest way from one state to another; `still`: no step at all, if they are the same.
fn path<const W: usize>(search: &Search<'_, W>, from: &[u64; W], to: &[u64; W], still: bool) -> Option<Vec<(StepId, State)>> {
    if still && from == to {
        return Some(Vec::new());
    }
    let mut reached: KeyMap<W, (StepId, [u64; W])> = KeyMap::default();
    let mut queue = std::collections::VecDeque::from([*from]);
    while let Some(state) = queue.pop_front() {
        for (step, next) in ordered(search, &state) {
            if next == *from && next != *to || reached.contains_key(&Key(next)) {
                continue;
            }
            reached.insert(Key(next), (step, state));
            if next == *to {
                let mut way = Vec::new();
                let mut at = next;
                loop {
                    let (step, before) = reached[&Key(at)];
                    way.push((step, search.program.layout.unpack(&at)));
                    at = before;
                    if at == *from {
                        break;
                    }
                }
                way.reverse();
                return Some(way);
            }
            queue.push_back(next);
        }
    }
    None
}
