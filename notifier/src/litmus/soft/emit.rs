//! Machine code for expressions and places.
//!
//! Registers: `rdi` the instance's shared cells, `rsi` the thread's own, `r8` the [`Context`](super::thread::Context), `r9d` the
//! steps that are left, `r11d` the value that was loaded once for all of a step. All others are scratch.

use iced_x86::code_asm::{
    AsmMemoryOperand, AsmRegister8, AsmRegister32, AsmRegister64, CodeAssembler, CodeLabel, al, byte_ptr, cl, dl, eax, ecx, edi,
    edx, r8, r9, r10, r10b, r10d, r11, r11d, rax, rcx, rdi, rdx, rsi, rsp, word_ptr,
};

use super::{
    cells::{BUSY, Cell, Cells},
    plan::{How, Plan, fixed},
};
use crate::model::{BinOp, Expr, Place, VarId};

/// Why there is no code.
#[derive(Debug)]
pub(super) enum NoCode {
    /// An expression needs too many registers.
    Deep,
    /// The assembler refuses.
    Refused(String),
}

impl From<iced_x86::IcedError> for NoCode {
    fn from(error: iced_x86::IcedError) -> Self {
        Self::Refused(error.to_string())
    }
}

pub(super) type Emitted = Result<(), NoCode>;

/// Registers for values, by the depth of the expression.
const VALUES: [(AsmRegister32, AsmRegister64, AsmRegister8); 4] =
    [(eax, rax, al), (ecx, rcx, cl), (edx, rdx, dl), (r10d, r10, r10b)];

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

fn value(depth: usize) -> Result<AsmRegister32, NoCode> {
    VALUES.get(depth).map(|(register, ..)| *register).ok_or(NoCode::Deep)
}

fn wide(depth: usize) -> Result<AsmRegister64, NoCode> {
    VALUES.get(depth).map(|(_, register, _)| *register).ok_or(NoCode::Deep)
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
        self.asm.set_label(label)?;
        self.asm.zero_bytes()?;
        Ok(())
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

    fn read(&mut self, place: &Place, depth: usize) -> Emitted {
        let to = value(depth)?;
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

    /// The value of an element that is found by an index; outside the variable, that of the first.
    fn read_at(&mut self, place: &Place, depth: usize) -> Emitted {
        let (to, index) = (value(depth)?, wide(depth)?);
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
        let register = value(depth)?;
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

    /// The value of an expression, into the register of that depth.
    pub(super) fn value(&mut self, expr: &Expr, depth: usize) -> Emitted {
        let to = value(depth)?;
        match expr {
            Expr::Const(0) => self.asm.xor(to, to)?,
            Expr::Const(number) => self.asm.mov(to, *number)?,
            Expr::Read(place) => self.read(place, depth)?,
            Expr::Select(parts) => {
                let [when, then, other] = parts.as_ref();
                let (mut no, mut end) = (self.label(), self.label());
                self.branch(when, false, no, depth)?;
                self.value(then, depth)?;
                self.asm.jmp(end)?;
                self.bind(&mut no)?;
                self.value(other, depth)?;
                self.bind(&mut end)?;
            }
            Expr::Binary(op @ (BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Div | BinOp::Mod), left, right) => {
                self.value(left, depth)?;
                self.value(right, depth + 1)?;
                let from = value(depth + 1)?;
                match op {
                    BinOp::Add => self.asm.add(to, from)?,
                    BinOp::Sub => self.asm.sub(to, from)?,
                    BinOp::Mul => self.asm.imul_2(to, from)?,
                    _ => self.divide(*op, depth)?,
                }
            }
            Expr::Not(_) | Expr::Binary(..) => {
                let (mut no, mut end) = (self.label(), self.label());
                self.branch(expr, false, no, depth)?;
                self.asm.mov(to, 1)?;
                self.asm.jmp(end)?;
                self.bind(&mut no)?;
                self.asm.xor(to, to)?;
                self.bind(&mut end)?;
            }
        }
        Ok(())
    }

    /// Goes to a label if an expression, as a condition, is as given.
    pub(super) fn branch(&mut self, expr: &Expr, truth: bool, to: CodeLabel, depth: usize) -> Emitted {
        match expr {
            Expr::Const(number) => {
                if (*number != 0) == truth {
                    self.asm.jmp(to)?;
                }
            }
            Expr::Not(operand) => self.branch(operand, !truth, to, depth)?,
            Expr::Binary(op @ (BinOp::And | BinOp::Or), left, right) => {
                // One operand may decide: false for `&&`, true for `||`.
                let decides = *op == BinOp::Or;
                if truth == decides {
                    self.branch(left, truth, to, depth)?;
                    self.branch(right, truth, to, depth)?;
                } else {
                    let mut past = self.label();
                    self.branch(left, decides, past, depth)?;
                    self.branch(right, truth, to, depth)?;
                    self.bind(&mut past)?;
                }
            }
            Expr::Binary(op @ (BinOp::Eq | BinOp::Ne | BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge), left, right) => {
                self.value(left, depth)?;
                if let Expr::Const(number) = **right {
                    self.asm.cmp(value(depth)?, number)?;
                } else {
                    self.value(right, depth + 1)?;
                    self.asm.cmp(value(depth)?, value(depth + 1)?)?;
                }
                match (op, truth) {
                    (BinOp::Eq, true) | (BinOp::Ne, false) => self.asm.je(to)?,
                    (BinOp::Eq, false) | (BinOp::Ne, true) => self.asm.jne(to)?,
                    (BinOp::Lt, true) | (BinOp::Ge, false) => self.asm.jl(to)?,
                    (BinOp::Lt, false) | (BinOp::Ge, true) => self.asm.jge(to)?,
                    (BinOp::Le, true) | (BinOp::Gt, false) => self.asm.jle(to)?,
                    _ => self.asm.jg(to)?,
                }
            }
            other => {
                self.value(other, depth)?;
                let register = value(depth)?;
                self.asm.test(register, register)?;
                if truth { self.asm.jnz(to)? } else { self.asm.jz(to)? }
            }
        }
        Ok(())
    }

    /// Division and remainder by [`BinOp::apply`] itself: they are rare, and their meaning is told once.
    fn divide(&mut self, op: BinOp, depth: usize) -> Emitted {
        let saved = [rdi, rsi, r8, r9, r11, rax, rcx, rdx, r10];
        let (left, right) = (wide(depth)?, wide(depth + 1)?);
        for register in saved {
            self.asm.push(register)?;
        }
        self.asm.push(left)?;
        self.asm.push(right)?;
        self.asm.pop(rdx)?;
        self.asm.pop(rsi)?;
        self.asm.mov(edi, i32::from(op == BinOp::Mod))?;
        self.asm.mov(rax, divided as *const () as u64)?;
        // At the entry the stack was 8 short of 16; nine registers make up for it.
        self.asm.call(rax)?;
        let slot = saved.iter().rev().position(|register| *register == left).unwrap_or(0);
        self.asm.mov(iced_x86::code_asm::qword_ptr(rsp + 8 * slot as i32), rax)?;
        for register in saved.into_iter().rev() {
            self.asm.pop(register)?;
        }
        Ok(())
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

/// What the machine code calls for `/` and `%`.
extern "sysv64" fn divided(remainder: u32, left: i32, right: i32) -> i32 {
    if remainder != 0 { BinOp::Mod.apply(left, right) } else { BinOp::Div.apply(left, right) }
}
