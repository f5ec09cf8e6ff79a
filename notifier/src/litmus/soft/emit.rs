//! Machine code for expressions and places.
//!
//! Registers: `rdi` the instance's shared cells, `rsi` the thread's own, `r8` the [`Context`](super::thread::Context), `r9d` the
//! steps that are left, `r11d` the value that was loaded once for all of a step. All others are scratch.

use iced_x86::code_asm::{
    AsmMemoryOperand, AsmRegister32, CodeAssembler, CodeLabel, al, byte_ptr, cl, dl, eax, ecx, edx, r11d, rcx, rdi, rsi, word_ptr,
};

use super::{
    cells::{BUSY, Cell, Cells},
    plan::{How, Plan, fixed},
};
use crate::{
    litmus::code::{Emitted, Expressions, NoCode, bind, register, wide_register},
    model::{Expr, Place, VarId},
};

/// Puts code together.
pub(super) struct Emitter<'a> {
    pub(super) asm: CodeAssembler,
    pub(super) cells: &'a Cells,
    pub(super) plan: &'a Plan,
    /// The element whose value is in `r11d`.
    pub(super) cached: Option<usize>,
    /// The step that is being written has locked everything it touches: nothing need be waited for.
    pub(super) has_locks: bool,
    /// The code is for a processor that has its instances to itself: it needs neither locks nor atomic instructions.
    alone: bool,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(cells: &'a Cells, plan: &'a Plan, alone: bool) -> Result<Self, NoCode> {
        Ok(Self { asm: CodeAssembler::new(64)?, cells, plan, cached: None, has_locks: false, alone })
    }

    /// The cell whose highest bit says whether an element is taken, if anybody ever takes it.
    fn unit(&self, var: VarId, element: usize) -> Option<usize> {
        if self.alone { None } else { self.plan.unit(self.cells, var, element) }
    }

    /// How a step is made atomic in this code.
    pub(super) fn how(&self, index: usize) -> How {
        match &self.plan.how[index] {
            How::Locked(_) if self.alone => How::Own,
            how => how.clone(),
        }
    }

    pub(super) fn label(&mut self) -> CodeLabel {
        self.asm.create_label()
    }

    /// Binds a label to what comes next, even if that is the end.
    pub(super) fn bind(&mut self, label: &mut CodeLabel) -> Emitted {
        bind(&mut self.asm, label)
    }

    /// Loads the value of an element that others may change, as it is when no step of several cells has it.
    pub(super) fn load_shared(&mut self, var: VarId, element: usize, at: usize, to: AsmRegister32) -> Emitted {
        let unit = self.unit(var, element);
        let cell = byte_ptr(rdi + at as i32);
        match unit {
            Some(unit) if self.has_locks => {
                self.asm.movzx(to, cell)?;
                if unit == at {
                    self.asm.and(to, i32::from(!BUSY))?;
                }
            }
            Some(unit) => {
                // A cell of a group is only read under the lock of the group.
                debug_assert_eq!(unit, at, "the lock is in the cell itself");
                let (mut again, mut free) = (self.label(), self.label());
                self.bind(&mut again)?;
                self.asm.movzx(to, cell)?;
                // What was loaded says whether it was locked at that moment: a second look would be too late.
                self.asm.test(to, i32::from(BUSY))?;
                self.asm.jz(free)?;
                self.asm.pause()?;
                self.asm.jmp(again)?;
                self.bind(&mut free)?;
            }
            None => self.asm.movzx(to, cell)?,
        }
        self.raise(element, to)
    }

    /// From what a cell holds to the value.
    fn raise(&mut self, element: usize, register: AsmRegister32) -> Emitted {
        let lo = self.cells.lo(element);
        if lo != 0 {
            self.asm.add(register, lo)?;
        }
        Ok(())
    }

    /// From a value to what a cell holds.
    fn lower(&mut self, element: usize, register: AsmRegister32) -> Emitted {
        let lo = self.cells.lo(element);
        if lo != 0 {
            self.asm.sub(register, lo)?;
        }
        Ok(())
    }

    /// The value of an element that is found by an index; outside the variable, that of the first.
    fn read_at(&mut self, place: &Place, depth: usize) -> Emitted {
        let (to, index) = (register(depth)?, wide_register(depth)?);
        let first = self.index(place, depth)?;
        let base = match self.cells.cell(first) {
            Cell::Own(_, at) => {
                self.asm.movzx(to, byte_ptr(rsi + index + at as i32))?;
                return self.raise(first, to);
            }
            Cell::Shared(at) => at as i32,
            Cell::Pc(_) => return Ok(()),
        };
        let from = byte_ptr(rdi + index + base);
        self.asm.movzx(to, from)?;
        if self.unit(place.var, first).is_some() {
            debug_assert!(self.has_locks, "what is found by an index is read under the lock of its group");
            self.asm.and(to, i32::from(!BUSY))?;
        }
        self.raise(first, to)
    }

    /// The index of a place into the register of that depth, and the first element of its variable. An index outside the variable
    /// becomes 0.
    fn index(&mut self, place: &Place, depth: usize) -> Result<usize, NoCode> {
        let elements = self.cells.elements(place.var);
        let register = register(depth)?;
        if let Some(index) = &place.index {
            self.value(index, depth)?;
        }
        let mut inside = self.label();
        self.asm.cmp(register, elements.len() as i32)?;
        self.asm.jb(inside)?;
        self.asm.xor(register, register)?;
        self.bind(&mut inside)?;
        Ok(elements.start)
    }

    /// Writes a value to a cell that nobody else sees, or that is locked. The value is in `eax`; `ecx` is used for the index.
    pub(super) fn store(&mut self, place: &Place) -> Emitted {
        let (first, index) = match fixed(self.cells, place) {
            Some(element) => (element, false),
            None => (self.cells.elements(place.var).start, true),
        };
        let mut outside = self.label();
        if self.goes_outside(place, outside)? {
            return Ok(());
        }
        self.lower(first, eax)?;
        let cell = |base, at: usize| if index { byte_ptr(base + rcx + at as i32) } else { byte_ptr(base + at as i32) };
        match self.cells.cell(first) {
            Cell::Own(_, at) => self.asm.mov(cell(rsi, at), al)?,
            Cell::Pc(_) => self.asm.mov(word_ptr(rsi), iced_x86::code_asm::ax)?,
            Cell::Shared(at) => match self.unit(place.var, first) {
                // It keeps its lock.
                Some(unit) if self.has_locks && !index => {
                    if unit == at {
                        self.asm.or(al, i32::from(BUSY as i8))?;
                    }
                    self.asm.mov(cell(rdi, at), al)?;
                }
                // The first of a group has the lock: it must not look free for a moment.
                Some(_) if self.has_locks => {
                    let mut other = self.label();
                    self.asm.test(ecx, ecx)?;
                    self.asm.jnz(other)?;
                    self.asm.or(al, i32::from(BUSY as i8))?;
                    self.bind(&mut other)?;
                    self.asm.mov(cell(rdi, at), al)?;
                }
                None if self.has_locks => self.asm.mov(cell(rdi, at), al)?,
                None if self.alone => self.asm.mov(cell(rdi, at), al)?,
                None => self.asm.xchg(cell(rdi, at), al)?,
                Some(unit) => self.exchange(cell(rdi, at), unit == at)?,
            },
        }
        self.bind(&mut outside)
    }

    /// Puts `al` into a cell once no step of several cells has it.
    fn exchange(&mut self, cell: AsmMemoryOperand, is_unit: bool) -> Emitted {
        debug_assert!(is_unit, "cells of a group are written under its lock");
        let mut again = self.label();
        self.asm.mov(edx, eax)?;
        self.bind(&mut again)?;
        self.asm.movzx(eax, cell)?;
        self.asm.and(eax, i32::from(!BUSY))?;
        self.asm.lock().cmpxchg(cell, dl)?;
        self.asm.jne(again)?;
        Ok(())
    }

    /// The index of a place into `ecx`, with a jump to `outside` where there is no such element. True: there certainly is none, and
    /// nothing is to be written.
    fn goes_outside(&mut self, place: &Place, outside: CodeLabel) -> Result<bool, NoCode> {
        let count = self.cells.elements(place.var).len();
        match place.index.as_deref() {
            None => Ok(false),
            Some(Expr::Const(at)) => Ok(usize::try_from(*at).map_or(true, |at| at >= count)),
            Some(index) => {
                self.value(index, 1)?;
                self.asm.cmp(ecx, count as i32)?;
                self.asm.jae(outside)?;
                Ok(false)
            }
        }
    }

    /// Takes the unit of a cell, or goes to `taken`. Uses `eax` and `ecx`.
    pub(super) fn lock(&mut self, unit: usize, taken: CodeLabel) -> Emitted {
        let cell = byte_ptr(rdi + unit as i32);
        self.asm.movzx(eax, cell)?;
        self.asm.test(al, i32::from(BUSY as i8))?;
        self.asm.jnz(taken)?;
        self.asm.mov(ecx, eax)?;
        self.asm.or(ecx, i32::from(BUSY))?;
        self.asm.lock().cmpxchg(cell, cl)?;
        self.asm.jne(taken)?;
        Ok(())
    }

    /// Lets go of units. `fence`: something was written, which others are to see before anything that this thread reads later.
    pub(super) fn unlock(&mut self, units: &[usize], fence: bool) -> Emitted {
        for (number, unit) in units.iter().enumerate() {
            // Nobody else changes a cell that is locked, so this need not be atomic.
            let cell = byte_ptr(rdi + *unit as i32);
            let free = i32::from((!BUSY) as i8);
            if fence && number + 1 == units.len() { self.asm.lock().and(cell, free)? } else { self.asm.and(cell, free)? }
        }
        Ok(())
    }

    /// Exchanges the cached value of a cell for the one in `eax`, if it is still there; else goes to `again`.
    pub(super) fn swap(&mut self, element: usize, at: usize, again: CodeLabel) -> Emitted {
        self.lower(element, eax)?;
        self.asm.mov(ecx, eax)?;
        self.asm.mov(eax, r11d)?;
        self.lower(element, eax)?;
        if self.alone {
            self.asm.mov(byte_ptr(rdi + at as i32), cl)?;
            return Ok(());
        }
        self.asm.lock().cmpxchg(byte_ptr(rdi + at as i32), cl)?;
        self.asm.jne(again)?;
        Ok(())
    }
}

impl Expressions for Emitter<'_> {
    fn asm(&mut self) -> &mut CodeAssembler {
        &mut self.asm
    }

    fn read(&mut self, place: &Place, depth: usize) -> Emitted {
        let to = register(depth)?;
        let Some(element) = fixed(self.cells, place) else { return self.read_at(place, depth) };
        if self.cached == Some(element) {
            self.asm.mov(to, r11d)?;
            return Ok(());
        }
        match self.cells.cell(element) {
            Cell::Shared(at) => self.load_shared(place.var, element, at, to),
            Cell::Own(_, at) => {
                self.asm.movzx(to, byte_ptr(rsi + at as i32))?;
                self.raise(element, to)
            }
            Cell::Pc(_) => Ok(self.asm.movzx(to, word_ptr(rsi))?),
        }
    }
}
