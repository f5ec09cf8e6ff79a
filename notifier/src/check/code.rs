//! The instructions that guards, actions and properties are compiled to, over packed states.

use crate::model::BinOp;

use super::layout::Field;

/// Registers. An expression of `n` operators needs at most `log2(n) + 2`, since the hungrier operand goes first.
pub(super) const REGISTERS: usize = 32;

/// Where code is left other than at its end.
pub(super) const DONE: u32 = 0;

/// Bits of a word that have to be as given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bits {
    pub(super) word: u8,
    pub(super) mask: u64,
    pub(super) bits: u64,
}

impl Bits {
    /// Those of an element that has a value.
    pub(super) fn of(field: Field, value: i32) -> Bits {
        Bits { word: field.word, mask: field.bits(), bits: u64::from(field.raw(value)) << field.shift }
    }

    /// Tests the other bits as well, if they are others in the same word.
    pub(super) fn join(&mut self, other: Bits) -> bool {
        let can = self.word == other.word && self.mask & other.mask == 0;
        if can {
            (self.mask, self.bits) = (self.mask | other.mask, self.bits | other.bits);
        }
        can
    }

    #[inline(always)]
    pub(super) fn hold(&self, state: &[u64]) -> bool {
        state[self.word as usize] & self.mask == self.bits
    }
}

/// One instruction. `to` is where a jump leads, `r`, `a` and `b` are registers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Op {
    /// The end, with a number: [`DONE`], or which check failed, counted from 1.
    Leave(u32),
    Jump {
        to: u32,
    },
    /// Jumps where these bits of a word are as given.
    JumpIf {
        word: u8,
        to: u32,
        mask: u64,
        bits: u64,
    },
    /// Jumps where they are not.
    JumpUnless {
        word: u8,
        to: u32,
        mask: u64,
        bits: u64,
    },
    /// Writes constants into elements of a word.
    Patch {
        word: u8,
        keep: u64,
        bits: u64,
    },
    /// An element becomes what another one is, plus a constant (`add` takes both least values into account).
    Move {
        from: (u8, u8),
        to: (u8, u8),
        from_mask: u32,
        to_mask: u32,
        span: u32,
        add: u32,
    },
    Const {
        r: u8,
        value: i32,
    },
    Load {
        r: u8,
        field: Field,
    },
    Store {
        r: u8,
        field: Field,
    },
    /// Reads the element of a table that a register names, less a constant.
    LoadAt {
        r: u8,
        index: u8,
        table: u32,
        less: i32,
    },
    /// The same, named by an element (`less` takes its least value into account).
    LoadVia {
        r: u8,
        from: (u8, u8),
        mask: u32,
        table: u32,
        less: i32,
    },
    StoreAt {
        r: u8,
        index: u8,
        table: u32,
        less: i32,
    },
    Arith {
        op: BinOp,
        r: u8,
        a: u8,
        b: u8,
    },
    AddConst {
        r: u8,
        a: u8,
        value: i32,
    },
    /// Jumps where a comparison of registers yields `want`.
    Compare {
        op: BinOp,
        want: bool,
        a: u8,
        b: u8,
        to: u32,
    },
    CompareConst {
        op: BinOp,
        want: bool,
        a: u8,
        value: i32,
        to: u32,
    },
}

/// The elements of a variable, to be reached by an index.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Table {
    /// The first of its slots, and how many.
    pub(super) first: u32,
    pub(super) len: u32,
    /// What all of them share; its place is that of the first.
    pub(super) field: Field,
}

/// Compiled code.
#[derive(Clone, Default, Debug)]
pub(super) struct Code {
    pub(super) ops: Vec<Op>,
    pub(super) tables: Vec<Table>,
    /// Word and shift of each element of each table.
    pub(super) slots: Vec<(u8, u8)>,
}

impl Code {
    /// Runs from `at` to the end on a state, and says how it was left.
    #[inline]
    pub(super) fn run<const W: usize>(&self, at: u32, state: &mut [u64; W]) -> u32 {
        let mut regs = [0i32; REGISTERS];
        let mut at = at as usize;
        loop {
            let op = &self.ops[at];
            at += 1;
            match *op {
                Op::Leave(how) => return how,
                Op::Jump { to } => at = to as usize,
                Op::JumpIf { word, to, mask, bits } => {
                    if state[word as usize] & mask == bits {
                        at = to as usize;
                    }
                }
                Op::JumpUnless { word, to, mask, bits } => {
                    if state[word as usize] & mask != bits {
                        at = to as usize;
                    }
                }
                Op::Patch { word, keep, bits } => {
                    let word = &mut state[word as usize];
                    *word = *word & keep | bits;
                }
                Op::Move { from, to, from_mask, to_mask, span, add } => {
                    let raw = ((state[from.0 as usize] >> from.1) as u32 & from_mask).wrapping_add(add);
                    debug_assert!(raw <= span, "the compiler lets a value {raw} above the least into a variable of {span}");
                    let word = &mut state[to.0 as usize];
                    *word = *word & !(u64::from(to_mask) << to.1) | u64::from(raw & to_mask) << to.1;
                }
                Op::Const { r, value } => regs[reg(r)] = value,
                Op::Load { r, field } => regs[reg(r)] = field.get(state),
                Op::Store { r, field } => field.set(state, regs[reg(r)]),
                Op::LoadAt { r, index, table, less } => {
                    regs[reg(r)] = self.load_at(state, table, regs[reg(index)].wrapping_sub(less));
                }
                Op::LoadVia { r, from, mask, table, less } => {
                    let raw = (state[from.0 as usize] >> from.1) as u32 & mask;
                    regs[reg(r)] = self.load_at(state, table, (raw as i32).wrapping_sub(less));
                }
                Op::StoreAt { r, index, table, less } => {
                    let table = &self.tables[table as usize];
                    let index = regs[reg(index)].wrapping_sub(less) as u32;
                    if index < table.len {
                        let (word, shift) = self.slots[(table.first + index) as usize];
                        Field { word, shift, ..table.field }.set(state, regs[reg(r)]);
                    }
                }
                Op::Arith { op, r, a, b } => regs[reg(r)] = op.apply(regs[reg(a)], regs[reg(b)]),
                Op::AddConst { r, a, value } => regs[reg(r)] = regs[reg(a)].wrapping_add(value),
                Op::Compare { op, want, a, b, to } => {
                    if compare(op, regs[reg(a)], regs[reg(b)]) == want {
                        at = to as usize;
                    }
                }
                Op::CompareConst { op, want, a, value, to } => {
                    if compare(op, regs[reg(a)], value) == want {
                        at = to as usize;
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn load_at(&self, state: &[u64], table: u32, index: i32) -> i32 {
        let table = &self.tables[table as usize];
        let index = if (index as u32) < table.len { index as u32 } else { 0 };
        let (word, shift) = self.slots[(table.first + index) as usize];
        Field { word, shift, ..table.field }.get(state)
    }
}

/// Spares the check of the register's number, which is in range by construction.
#[inline(always)]
fn reg(r: u8) -> usize {
    r as usize % REGISTERS
}

#[inline(always)]
fn compare(op: BinOp, a: i32, b: i32) -> bool {
    match op {
        BinOp::Eq => a == b,
        BinOp::Ne => a != b,
        BinOp::Lt => a < b,
        BinOp::Le => a <= b,
        BinOp::Gt => a > b,
        _ => a >= b,
    }
}
