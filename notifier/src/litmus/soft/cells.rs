//! Where each element of a model is kept while real threads run it: what several threads touch, in a cell of shared memory; what one
//! thread touches, beside that thread's program counter.

use std::{collections::BTreeSet, ops::Range};

use super::{super::observe, Unsuited};
use crate::model::{Model, Role, State, VarId};

/// A cell is a byte, and its highest bit says that a step of several cells has it: so many values are left.
pub(super) const SHARED_VALUES: u64 = 128;
/// The values of a cell that one thread has for itself.
const OWN_VALUES: u64 = 256;
/// The most shared cells of an instance.
const MOST_CELLS: usize = 1 << 12;
/// Set in the cell of a unit that a step of several cells has taken.
pub(super) const BUSY: u8 = 0x80;
/// The first byte of an instance: whether a thread of it failed, so that nobody need go on.
pub(super) const DEAD: usize = 0;
/// Bytes of a program counter, at the beginning of a thread's own cells.
const PC_BYTES: usize = 2;

/// Where an element is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Cell {
    /// In shared memory, so many bytes behind the beginning of the instance.
    Shared(usize),
    /// With the only thread that touches it, so many bytes behind the beginning of its own cells.
    Own(usize, usize),
    /// A thread's program counter.
    Pc(usize),
}

/// Where every element of a model is kept. A cell holds the value counted from the least one.
#[derive(Debug)]
pub(super) struct Cells {
    /// The first element of each variable, and the end.
    first: Vec<usize>,
    cells: Vec<Cell>,
    /// The least value of each element.
    lo: Vec<i32>,
    /// What an instance begins with: its shared memory,
    pub(super) shared: Vec<u8>,
    /// and what each thread has for itself.
    pub(super) own: Vec<Vec<u8>>,
    /// The last program counter of each thread.
    pub(super) ends: Vec<u16>,
}

impl Cells {
    pub(super) fn of(model: &Model) -> Result<Self, Unsuited> {
        if model.vars.iter().any(|var| matches!(var.role, Role::Buffer(_))) || model.steps.iter().any(|step| step.from.is_none())
        {
            return Err(Unsuited::Buffered);
        }
        let users = users(model);
        let mut this = Self {
            first: Vec::new(),
            cells: Vec::new(),
            lo: Vec::new(),
            shared: vec![0],
            own: vec![vec![0; PC_BYTES]; model.threads.len()],
            ends: model.threads.iter().map(|thread| thread.end as u16).collect(),
        };
        for (var, users) in model.vars.iter().zip(users) {
            this.first.push(this.cells.len());
            if let Some(thread) = model.threads.iter().position(|thread| model.vars.get(thread.pc.0 as usize) == Some(var)) {
                let init = var.elements.first().map_or(0, |element| element.init as u16);
                this.own[thread][..PC_BYTES].copy_from_slice(&init.to_ne_bytes());
                this.cells.push(Cell::Pc(thread));
                this.lo.push(0);
                continue;
            }
            let owner = if users.len() > 1 { None } else { Some(users.first().copied().unwrap_or(0)) };
            let most = if owner.is_some() { OWN_VALUES } else { SHARED_VALUES };
            let values = (i64::from(var.domain.hi) - i64::from(var.domain.lo) + 1) as u64;
            if values > most {
                return Err(Unsuited::Wide { name: var.name.clone(), values, most });
            }
            for element in &var.elements {
                let raw = element.init.wrapping_sub(var.domain.lo) as u8;
                this.lo.push(var.domain.lo);
                let (bytes, cell): (_, fn(usize, usize) -> Cell) = match owner {
                    None => (&mut this.shared, |_, at| Cell::Shared(at)),
                    Some(thread) => (&mut this.own[thread], Cell::Own),
                };
                this.cells.push(cell(owner.unwrap_or(0), bytes.len()));
                bytes.push(raw);
            }
        }
        this.first.push(this.cells.len());
        let most = this.own.iter().chain([&this.shared]).map(Vec::len).max().unwrap_or(0);
        if most > MOST_CELLS {
            return Err(Unsuited::Large { cells: most, most: MOST_CELLS });
        }
        Ok(this)
    }

    /// The elements of a variable, counted over all variables.
    pub(super) fn elements(&self, var: VarId) -> Range<usize> {
        self.first[var.0 as usize]..self.first[var.0 as usize + 1]
    }

    /// Where an element is kept.
    pub(super) fn cell(&self, element: usize) -> Cell {
        self.cells[element]
    }

    /// The least value of an element.
    pub(super) fn lo(&self, element: usize) -> i32 {
        self.lo[element]
    }

    /// Whether others can see a variable.
    pub(super) fn is_shared(&self, var: VarId) -> bool {
        matches!(self.cells.get(self.first[var.0 as usize]), Some(Cell::Shared(_)))
    }

    /// The state that cells hold, where `byte` reads one.
    pub(super) fn state(&self, byte: impl Fn(Cell) -> u8) -> State {
        State(self.cells.iter().zip(&self.lo).map(|(cell, lo)| i32::from(byte(*cell)).wrapping_add(*lo)).collect())
    }
}

/// The threads that touch each variable.
fn users(model: &Model) -> Vec<BTreeSet<usize>> {
    let mut users = vec![BTreeSet::new(); model.vars.len()];
    for step in &model.steps {
        let mut places = BTreeSet::new();
        observe::reads(model, &step.guard, &mut places);
        observe::read_by(model, &step.actions, &mut places);
        observe::writes(model, &step.actions, &mut places);
        for (var, _) in places {
            users[var.0 as usize].insert(step.thread.0 as usize);
        }
    }
    users
}
