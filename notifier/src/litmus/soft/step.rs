//! Machine code for one step.

use iced_x86::code_asm::{CodeLabel, byte_ptr, dword_ptr, eax, r8, r11d, rdi, rsi, word_ptr};

use super::{
    cells::{Cell, DEAD},
    emit::Emitter,
    plan::How,
    thread::{Failures, offsets},
};
use crate::{
    litmus::code::{Emitted, Expressions},
    model::{Action, Expr, Model, Step, VarId},
};

/// Where a step goes when it is over.
#[derive(Clone, Copy)]
pub(super) struct Ways {
    /// Its guard does not hold.
    pub(super) blocked: CodeLabel,
    /// It is done: on from the program counter that it has set.
    pub(super) done: CodeLabel,
    /// It failed.
    pub(super) failed: CodeLabel,
}

/// A step that is being written.
pub(super) struct Writing<'e, 'a> {
    pub(super) emit: &'e mut Emitter<'a>,
    pub(super) model: &'a Model,
    pub(super) step: &'a Step,
    pub(super) ways: Ways,
    pub(super) failures: &'e mut Failures,
    /// The thread's program counter, and its last value.
    pub(super) pc: (VarId, i32),
    /// Units that are locked.
    pub(super) units: Vec<usize>,
    /// The thread may load from shared memory next, without any locked instruction before.
    pub(super) load_follows: bool,
}

impl Writing<'_, '_> {
    /// Writes all of it.
    pub(super) fn write(mut self, how: &How) -> Emitted {
        let (guard, actions) = (&self.step.guard, &self.step.actions[..]);
        match how {
            How::Own | How::LoadAt | How::Store => {
                self.emit.branch(guard, false, self.ways.blocked, 0)?;
                self.actions(actions)?;
            }
            How::Load(element) => {
                self.load(*element)?;
                self.emit.branch(guard, false, self.ways.blocked, 0)?;
                self.actions(actions)?;
            }
            How::Swap(element) => self.swap(*element)?,
            How::Locked(units) => self.locked(units)?,
        }
        let (units, fence) = (std::mem::take(&mut self.units), self.load_follows && self.writes_shared());
        self.emit.unlock(&units, fence)?;
        self.emit.cached = None;
        self.emit.has_locks = false;
        self.emit.asm.jmp(self.ways.done)?;
        Ok(())
    }

    /// The value of an element into the register for it.
    fn load(&mut self, element: usize) -> Emitted {
        if let Cell::Shared(at) = self.emit.cells.cell(element) {
            let var = self.var_of(element);
            self.emit.load_shared(var, element, at, r11d)?;
        }
        self.emit.cached = Some(element);
        Ok(())
    }

    fn var_of(&self, element: usize) -> VarId {
        let vars = (0u32..).zip(&self.model.vars).map(|(var, _)| VarId(var));
        vars.into_iter().find(|var| self.emit.cells.elements(*var).contains(&element)).unwrap_or(VarId(0))
    }

    fn swap(&mut self, element: usize) -> Emitted {
        let mut again = self.emit.label();
        self.emit.bind(&mut again)?;
        self.load(element)?;
        self.emit.branch(&self.step.guard, false, self.ways.blocked, 0)?;
        let cells = self.emit.cells;
        let is_write = |action: &Action| matches!(action, Action::Set(place, _) if cells.is_shared(place.var));
        for action in &self.step.actions {
            match (action, cells.cell(element)) {
                (Action::Set(_, value), Cell::Shared(at)) if is_write(action) => {
                    self.emit.value(value, 0)?;
                    self.emit.swap(element, at, again)?;
                    // Nothing that follows reads it.
                    self.emit.cached = None;
                }
                _ => self.actions(std::slice::from_ref(action))?,
            }
        }
        Ok(())
    }

    fn locked(&mut self, units: &[usize]) -> Emitted {
        // What has to be waited for is first looked at without disturbing anybody.
        let mut try_lock = self.emit.label();
        self.emit.bind(&mut try_lock)?;
        if !matches!(self.step.guard, Expr::Const(_)) {
            self.emit.branch(&self.step.guard, false, self.ways.blocked, 0)?;
        }
        // A label for each unit that may be taken: what was locked before it is let go.
        let mut taken = Vec::new();
        for unit in units {
            let label = self.emit.label();
            self.emit.lock(*unit, label)?;
            taken.push(label);
        }
        let (mut locked, mut blocked) = (self.emit.label(), self.emit.label());
        self.emit.asm.jmp(locked)?;
        for (number, mut label) in taken.into_iter().enumerate() {
            self.emit.bind(&mut label)?;
            self.emit.unlock(&units[..number], false)?;
            self.emit.asm.pause()?;
            self.emit.asm.jmp(try_lock)?;
        }
        self.emit.bind(&mut blocked)?;
        self.emit.unlock(units, false)?;
        self.emit.asm.jmp(self.ways.blocked)?;
        self.emit.bind(&mut locked)?;
        self.emit.has_locks = true;
        self.units = units.to_vec();
        self.emit.branch(&self.step.guard, false, blocked, 0)?;
        self.actions(&self.step.actions)
    }

    fn actions(&mut self, actions: &[Action]) -> Emitted {
        for action in actions {
            match action {
                Action::Set(place, Expr::Const(to)) if place.var == self.pc.0 => {
                    self.emit.asm.mov(word_ptr(rsi), *to)?;
                }
                Action::Set(place, value) => {
                    self.emit.value(value, 0)?;
                    self.emit.store(place)?;
                }
                Action::Forget(var) => {
                    let sets: Vec<_> = Action::forgetting(self.model, *var).collect();
                    self.actions(&sets)?;
                }
                Action::If(when, then, other) => {
                    let (mut no, mut end) = (self.emit.label(), self.emit.label());
                    self.emit.branch(when, false, no, 0)?;
                    // Each way has its own view of what is cached; no way changes it.
                    self.actions(then)?;
                    if !other.is_empty() {
                        self.emit.asm.jmp(end)?;
                    }
                    self.emit.bind(&mut no)?;
                    self.actions(other)?;
                    self.emit.bind(&mut end)?;
                }
                Action::Fail { when, why, .. } => {
                    let mut pass = self.emit.label();
                    self.emit.branch(when, false, pass, 0)?;
                    let number = self.failures.number(why);
                    let units = self.units.clone();
                    self.emit.unlock(&units, true)?;
                    self.emit.asm.mov(dword_ptr(r8 + offsets::FAILURE), number)?;
                    self.emit.asm.mov(eax, 1)?;
                    self.emit.asm.xchg(byte_ptr(rdi + DEAD as i32), iced_x86::code_asm::al)?;
                    self.emit.asm.mov(word_ptr(rsi), self.pc.1)?;
                    self.emit.asm.jmp(self.ways.failed)?;
                    self.emit.bind(&mut pass)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the step may write what others see.
    fn writes_shared(&self) -> bool {
        let mut places = std::collections::BTreeSet::new();
        super::super::observe::writes(self.model, &self.step.actions, &mut places);
        places.iter().any(|(var, _)| self.emit.cells.is_shared(*var))
    }
}
