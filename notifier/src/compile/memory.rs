//! Plain loads and stores under a memory model.
//!
//! `tso` gives each thread a store buffer that reaches memory in order (x86). `weak` lets the buffer reach memory in any order
//! up to `smp_wmb`, and gives each thread a copy of what others store, which is brought up to date at any time, at the latest by
//! `smp_rmb`: the store buffers and invalidate queues by which the kernel's Documentation/memory-barriers.txt is usually explained.
//! Loads are not delayed past later stores.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    decl::Decls,
    fold,
    storage::{SlotId, Storage, Usage, domain},
};
use crate::{
    lang::Span,
    model::{Action, BinOp, Domain, Element, Expr, Place, Role, Show, Step, ThreadId, VarId},
};

/// How loads and stores of different threads may pass each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum MemoryModel {
    /// Sequential consistency: not at all.
    #[default]
    Sc,
    /// Total store order: a store is seen by others after later loads of the same thread.
    Tso,
    /// Stores pass stores, and loads pass loads, unless barriers forbid it.
    Weak,
}

impl MemoryModel {
    /// All of them, from the strongest to the weakest.
    pub const ALL: [Self; 3] = [Self::Sc, Self::Tso, Self::Weak];

    /// The word for it in a model file and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sc => "sc",
            Self::Tso => "tso",
            Self::Weak => "weak",
        }
    }
}

/// The stores that a thread's buffer holds at most; a thread with more waits, as a processor does.
pub const BUFFERED: usize = 3;

/// A thread's store buffer, the oldest store first.
#[derive(Clone, Copy)]
struct Buffer {
    /// Where each store goes: the number of a location, or 0 behind the last one.
    to: VarId,
    /// What it stores; 0 behind the last one.
    value: VarId,
    /// `weak`: later stores wait for this one and all before it. A flag of the store, not an entry of its own: a barrier must not
    /// make the buffer any smaller than it is under `tso`.
    fence: Option<VarId>,
}

/// A slot that is stored to plainly.
#[derive(Clone, Copy)]
struct Location {
    /// The number of its first element in store buffers; from 1.
    first: i32,
    var: VarId,
    count: i32,
}

/// The buffers and copies of a model.
pub(super) struct Memory {
    model: MemoryModel,
    /// Every slot that is stored to plainly.
    locations: BTreeMap<SlotId, Location>,
    /// By thread.
    buffers: Vec<Option<Buffer>>,
    /// Which thread stores where.
    stores: BTreeSet<(usize, SlotId)>,
    /// A thread's copy of what others store.
    copies: BTreeMap<(usize, SlotId), VarId>,
}

impl Memory {
    /// Adds the variables that the model needs under the memory model, as far as it loads and stores plainly.
    pub(super) fn of(model: MemoryModel, decls: &Decls<'_>, usage: Option<&Usage>, storage: &mut Storage) -> Self {
        let mut this = Self {
            model,
            locations: BTreeMap::new(),
            buffers: vec![None; storage.threads],
            stores: BTreeSet::new(),
            copies: BTreeMap::new(),
        };
        let (Some(usage), true) = (usage, model != MemoryModel::Sc) else { return this };
        this.stores.clone_from(&usage.stores);
        let mut next = 1;
        for (_, slot) in usage.stores.union(&usage.writes) {
            if !this.locations.contains_key(slot) {
                let (var, count) = (storage.slots[slot.0].var, storage.slots[slot.0].count);
                this.locations.insert(*slot, Location { first: next, var, count });
                next += count;
            }
        }
        let mut places = vec!["-".to_owned(); next as usize];
        for location in this.locations.values() {
            for (at, element) in (location.first as usize..).zip(&storage.vars[location.var.0 as usize].elements) {
                places[at] = element.name.clone();
            }
        }
        for (number, thread) in decls.threads.iter().enumerate() {
            let stored = usage.stores.iter().filter(|(who, _)| *who == number);
            let ranges = stored.map(|(_, slot)| domain(decls, storage.slots[slot.0].ty));
            let Some((lo, hi)) = ranges.map(|d| (d.lo, d.hi)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else { continue };
            let elements = |what: &str| {
                (0..BUFFERED).map(|i| Element { name: format!("{} {what} {i}", thread.name), init: 0 }).collect::<Vec<_>>()
            };
            let role = Role::Buffer(ThreadId(number as u32));
            let to = Domain { lo: 0, hi: next - 1, show: Show::Names(places.clone().into()) };
            let to = storage.add(format!("{}.buffer", thread.name), role, to, elements("buffers a store to"));
            let value = Domain { lo: lo.min(0), hi: hi.max(0), show: Show::Number };
            let value = storage.add(format!("{}.buffered", thread.name), role, value, elements("buffered value"));
            let fence = (model == MemoryModel::Weak).then(|| {
                let flag = Domain { lo: 0, hi: 1, show: Show::Bool };
                storage.add(format!("{}.fence", thread.name), role, flag, elements("buffers a barrier behind"))
            });
            this.buffers[number] = Some(Buffer { to, value, fence });
        }
        if model == MemoryModel::Weak {
            for (thread, slot) in &usage.loads {
                if usage.stores.union(&usage.writes).any(|(other, stored)| other != thread && stored == slot) {
                    let var = storage.vars[storage.slots[slot.0].var.0 as usize].clone();
                    let name = &decls.threads[*thread].name;
                    let elements = var
                        .elements
                        .iter()
                        .map(|e| Element { name: format!("{} as {name} sees it", e.name), init: e.init })
                        .collect();
                    let copy = storage.add(format!("{name}.copy.{}", var.name), Role::Hidden, var.domain, elements);
                    this.copies.insert((*thread, *slot), copy);
                }
            }
        }
        this
    }

    /// What a plain load of an element yields.
    pub(super) fn load(&self, thread: usize, slot: SlotId, var: VarId, index: &Expr) -> Expr {
        let seen = self.copies.get(&(thread, slot)).copied().unwrap_or(var);
        let mut value = fold::read(seen, index.clone());
        // The thread's own latest store comes first.
        if let Some((buffer, known)) = self.buffered(thread, slot) {
            let location = fold::binary(BinOp::Add, index.clone(), fold::constant(known.first));
            for at in 0..BUFFERED as i32 {
                let here = fold::eq(fold::read(buffer.to, fold::constant(at)), location.clone());
                value = fold::select(here, fold::read(buffer.value, fold::constant(at)), value);
            }
        }
        value
    }

    /// A plain store: what it waits for and what it does. `release`: earlier stores come first.
    pub(super) fn store(
        &self,
        thread: usize,
        slot: SlotId,
        var: VarId,
        index: &Expr,
        value: Expr,
        release: bool,
    ) -> (Expr, Vec<Action>) {
        let Some((buffer, known)) = self.buffered(thread, slot) else {
            return (fold::truth(true), vec![Action::Set(fold::place(var, index.clone()), value)]);
        };
        let location = fold::binary(BinOp::Add, index.clone(), fold::constant(known.first));
        // The value before its place: until then the entry counts as empty for the loads of the value itself.
        let entry = |at: usize| {
            vec![Action::Set(element(buffer.value, at), value.clone()), Action::Set(element(buffer.to, at), location.clone())]
        };
        let chain = self.append(buffer, &|at| {
            let mut actions = entry(at);
            actions.extend(at.checked_sub(1).filter(|_| release).and_then(|before| fence(buffer, before)));
            actions
        });
        (self.free_entry(buffer, BUFFERED - 1), chain)
    }

    /// What an operation waits for that is ordered against everything before it, and what it does first.
    pub(super) fn full_barrier(&self, thread: usize) -> (Expr, Vec<Action>) {
        let drained = self.buffers[thread].map_or(fold::truth(true), |buffer| self.free_entry(buffer, 0));
        (drained, self.refresh_all(thread))
    }

    /// `smp_wmb`.
    pub(super) fn write_barrier(&self, thread: usize) -> Vec<Action> {
        let Some(buffer) = self.buffers[thread] else { return Vec::new() };
        let actions = (0..BUFFERED).filter_map(|at| {
            let ends = if at + 1 < BUFFERED { self.free_entry(buffer, at + 1) } else { fold::truth(true) };
            let last = fold::and(fold::not(self.free_entry(buffer, at)), ends);
            fence(buffer, at).map(|set| Action::If(last, vec![set], Vec::new()))
        });
        actions.collect()
    }

    /// `smp_rmb`: the thread's copies are brought up to date.
    pub(super) fn refresh_all(&self, thread: usize) -> Vec<Action> {
        let mut actions = Vec::new();
        for ((_, slot), copy) in self.copies.range((thread, SlotId(0))..(thread + 1, SlotId(0))) {
            let Some(location) = self.locations.get(slot) else { continue };
            actions.extend((0..location.count as usize).map(|i| Action::Set(element(*copy, i), entry_of(location.var, i))));
        }
        actions
    }

    /// A thread's copy of a slot, if it has one.
    pub(super) fn copy(&self, thread: usize, slot: SlotId) -> Option<VarId> {
        self.copies.get(&(thread, slot)).copied()
    }

    /// What the memory system does by itself: buffered stores reach memory, copies are brought up to date.
    pub(super) fn background(&self, storage: &Storage) -> Vec<Step> {
        let mut steps = Vec::new();
        for (thread, buffer) in self.buffers.iter().enumerate() {
            let Some(buffer) = *buffer else { continue };
            for (slot, location) in self.locations.iter().filter(|(slot, _)| self.stores.contains(&(thread, **slot))) {
                let copy = self.copies.get(&(thread, *slot)).copied();
                let names = &storage.vars[location.var.0 as usize].elements;
                for (i, name) in names.iter().enumerate().take(location.count as usize) {
                    // Under tso only the oldest store may go; otherwise any that no older one to the same place and no barrier holds back.
                    let furthest = if self.model == MemoryModel::Weak { BUFFERED } else { 1 };
                    for at in 0..furthest {
                        let number = fold::constant(location.first + i as i32);
                        let older = (0..at).map(|j| {
                            let to = entry_of(buffer.to, j);
                            let fenced = buffer.fence.map_or(fold::truth(false), |fence| entry_of(fence, j));
                            fold::and(fold::ne(to, number.clone()), fold::not(fenced))
                        });
                        let guard = fold::and(fold::eq(entry_of(buffer.to, at), number.clone()), fold::all(older));
                        let mut actions: Vec<Action> = too_late(storage, *slot, thread, i, &name.name).into_iter().collect();
                        actions.push(Action::Set(element(location.var, i), entry_of(buffer.value, at)));
                        actions.extend(copy.map(|copy| Action::Set(element(copy, i), entry_of(buffer.value, at))));
                        // What comes behind a barrier goes on waiting for the stores before this one.
                        let inherits = at.checked_sub(1).zip(buffer.fence);
                        actions.extend(inherits.map(|(older, f)| Action::Set(element(f, older), entry_of(f, at))));
                        actions.extend(remove(buffer, at));
                        steps.push(beside(thread, guard, actions, format!("{} reaches memory", name.name)));
                    }
                }
            }
        }
        for ((thread, slot), copy) in &self.copies {
            let Some(location) = self.locations.get(slot) else { continue };
            let names = &storage.vars[location.var.0 as usize].elements;
            for (i, name) in names.iter().enumerate().take(location.count as usize) {
                let guard = fold::ne(entry_of(*copy, i), entry_of(location.var, i));
                let actions = vec![Action::Set(element(*copy, i), entry_of(location.var, i))];
                steps.push(beside(*thread, guard, actions, format!("{} is seen", name.name)));
            }
        }
        steps
    }

    /// No store waits in any buffer.
    pub(super) fn quiet(&self) -> Expr {
        fold::all(self.buffers.iter().flatten().map(|buffer| self.free_entry(*buffer, 0)))
    }

    /// The buffer through which a thread stores to a slot.
    fn buffered(&self, thread: usize, slot: SlotId) -> Option<(Buffer, Location)> {
        let stores = self.stores.contains(&(thread, slot));
        if stores { self.buffers[thread].zip(self.locations.get(&slot).copied()) } else { None }
    }

    fn free_entry(&self, buffer: Buffer, at: usize) -> Expr {
        fold::eq(entry_of(buffer.to, at), fold::constant(0))
    }

    /// Does something at the first free entry.
    fn append(&self, buffer: Buffer, at_entry: &dyn Fn(usize) -> Vec<Action>) -> Vec<Action> {
        (0..BUFFERED).rev().fold(Vec::new(), |rest, at| vec![Action::If(self.free_entry(buffer, at), at_entry(at), rest)])
    }
}

/// A store that reaches the field of an object which has been freed in the meantime is a use after free as any other.
fn too_late(storage: &Storage, slot: SlotId, thread: usize, element: usize, name: &str) -> Option<Action> {
    let kind = storage.fields.iter().position(|fields| fields.contains(&slot))?;
    let lifetime = storage.lifetimes[kind]?;
    let object = element / storage.slots[slot.0].len as usize;
    let in_use = lifetime.grace.map_or(fold::truth(false), |grace| entry_of(grace, object * storage.threads + thread));
    let when = fold::and(fold::not(entry_of(lifetime.live, object)), fold::not(in_use));
    let why = format!("use after free: a store to `{name}` reaches it after it was freed").into();
    Some(Action::Fail { when, why, at: Span::default() })
}

/// Takes an entry out; the younger ones move up.
fn remove(buffer: Buffer, at: usize) -> Vec<Action> {
    let mut actions = Vec::new();
    for var in [Some(buffer.to), Some(buffer.value), buffer.fence].into_iter().flatten() {
        actions.extend((at..BUFFERED - 1).map(|i| Action::Set(element(var, i), entry_of(var, i + 1))));
        actions.push(Action::Set(element(var, BUFFERED - 1), fold::constant(0)));
    }
    actions
}

/// Later stores wait for an entry, as far as the memory model lets them pass it at all.
fn fence(buffer: Buffer, at: usize) -> Option<Action> {
    buffer.fence.map(|fence| Action::Set(element(fence, at), fold::truth(true)))
}

fn beside(thread: usize, guard: Expr, actions: Vec<Action>, text: String) -> Step {
    Step { thread: ThreadId(thread as u32), from: None, guard, actions, text, at: Span::default() }
}

fn element(var: VarId, at: usize) -> Place {
    fold::place(var, fold::constant(at as i32))
}

fn entry_of(var: VarId, at: usize) -> Expr {
    fold::read(var, fold::constant(at as i32))
}
