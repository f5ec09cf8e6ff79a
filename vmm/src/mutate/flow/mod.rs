//! Where the values in a function's registers come from: a forward data-flow analysis over one function.
//!
//! It knows little, and only what it can be sure of. A value is an argument, the stack pointer at entry, a constant, or what was
//! loaded from an address that is itself known, each plus a constant. Where two paths meet with different values, or an
//! instruction does anything else, the value is unknown. Registers that a call may change are unknown after it.

mod step;
#[cfg(test)]
mod tests;

use super::{Image, Symbols, code};
use iced_x86::{Instruction, InstructionInfoFactory, Register};
use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

/// What a value is counted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An argument of the function, counted from 0.
    Argument(u8),
    /// The stack pointer when the function began.
    Stack,
    /// Nothing: the value is a number.
    Number,
    /// What eight bytes in memory held when they were loaded.
    Loaded(Rc<Value>),
}

/// A value that is known: an origin plus a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) origin: Origin,
    pub(super) offset: i64,
}

impl Value {
    pub(super) fn argument(number: u8) -> Self {
        Self { origin: Origin::Argument(number), offset: 0 }
    }

    pub(super) fn number(value: i64) -> Self {
        Self { origin: Origin::Number, offset: value }
    }

    pub(super) fn plus(&self, more: i64) -> Self {
        Self { origin: self.origin.clone(), offset: self.offset.wrapping_add(more) }
    }

    /// What the eight bytes at this address hold.
    pub(super) fn loaded(&self) -> Self {
        Self { origin: Origin::Loaded(Rc::new(self.clone())), offset: 0 }
    }

    /// The number, if it is one.
    pub(super) fn as_number(&self) -> Option<i64> {
        (self.origin == Origin::Number).then_some(self.offset)
    }
}

/// What is known before an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    registers: [Option<Value>; 16],
    /// Eight-byte slots of the stack frame, by their distance from the stack pointer at entry.
    slots: BTreeMap<i64, Value>,
    /// From where on upwards other functions may know an address in the frame, and write there.
    escaped: i64,
}

/// The registers in which a function of the kernel gets its arguments.
const ARGUMENTS: [Register; 6] = [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

impl State {
    fn at_entry() -> Self {
        let mut state = Self { registers: Default::default(), slots: BTreeMap::new(), escaped: i64::MAX };
        for (number, register) in ARGUMENTS.into_iter().enumerate() {
            state.set(register, Some(Value::argument(number as u8)));
        }
        state.set(Register::RSP, Some(Value { origin: Origin::Stack, offset: 0 }));
        state
    }

    /// The value of a 64-bit register.
    pub(super) fn get(&self, register: Register) -> Option<&Value> {
        register.is_gpr64().then(|| self.registers[register.number()].as_ref()).flatten()
    }

    /// The value of an argument of a function about to be called.
    pub(super) fn argument(&self, number: usize) -> Option<&Value> {
        self.get(ARGUMENTS[number])
    }

    fn set(&mut self, register: Register, value: Option<Value>) {
        let full = register.full_register();
        if full.is_gpr64() {
            self.registers[full.number()] = value;
        }
    }

    /// The address of an instruction's memory operand.
    pub(super) fn address(&self, instruction: &Instruction) -> Option<Value> {
        if instruction.segment_prefix() != Register::None || instruction.memory_index() != Register::None {
            return None;
        }
        if instruction.is_ip_rel_memory_operand() {
            return Some(Value::number(instruction.ip_rel_memory_address() as i64));
        }
        let base = self.get(instruction.memory_base())?;
        Some(base.plus(instruction.memory_displacement64() as i64))
    }

    /// Keeps what both know. Whether anything was lost.
    fn meet(&mut self, other: &Self) -> bool {
        let before = self.clone();
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            if mine != theirs {
                *mine = None;
            }
        }
        self.escaped = self.escaped.min(other.escaped);
        self.slots.retain(|slot, value| other.slots.get(slot) == Some(value));
        *self != before
    }
}

/// A function with what is known before each of its instructions.
pub(super) struct Flow {
    instructions: Vec<Instruction>,
    /// Where in `instructions` an address is.
    index: HashMap<u64, usize>,
    /// None where nothing leads to.
    before: Vec<Option<State>>,
}

impl Flow {
    /// Analyses a function together with the cold part that the compiler may have moved out of it.
    pub(super) fn of(symbols: &Symbols, image: &Image, function: &super::Function) -> Self {
        let part = |other: &&super::Function| {
            other.is_cold()
                && other.module == function.module
                && other.name.starts_with(&function.name)
                && other.name[function.name.len()..].starts_with(".cold")
        };
        let mut instructions = code::instructions(image, function);
        for cold in symbols.functions().iter().filter(part) {
            instructions.extend(code::instructions(image, cold));
        }
        Self::over(instructions)
    }

    /// Analyses instructions, the first of which is where the function begins.
    pub(super) fn over(instructions: Vec<Instruction>) -> Self {
        let index = instructions.iter().enumerate().map(|(index, instruction)| (instruction.ip(), index)).collect();
        let mut flow = Self { before: vec![None; instructions.len()], instructions, index };
        flow.run();
        flow
    }

    fn run(&mut self) {
        let mut factory = InstructionInfoFactory::new();
        let mut work = Vec::new();
        if !self.instructions.is_empty() {
            self.before[0] = Some(State::at_entry());
            work.push(0);
        }
        while let Some(index) = work.pop() {
            let Some(mut state) = self.before[index].clone() else { continue };
            step::step(&mut state, &self.instructions[index], &mut factory);
            for next in self.successors(index) {
                let changed = match &mut self.before[next] {
                    Some(known) => known.meet(&state),
                    unknown => {
                        *unknown = Some(state.clone());
                        true
                    }
                };
                if changed {
                    work.push(next);
                }
            }
        }
    }

    /// What can be executed after an instruction, within the function.
    pub(super) fn successors(&self, index: usize) -> Vec<usize> {
        let instruction = &self.instructions[index];
        let mut next = Vec::new();
        if code::falls_through(instruction) {
            next.extend(self.index.get(&instruction.next_ip()).copied());
        }
        if !instruction.is_call_near() {
            next.extend(code::target(instruction).and_then(|target| self.index.get(&target).copied()));
        }
        next
    }

    /// Every instruction that can be reached, with what is known before it.
    pub(super) fn reached(&self) -> impl Iterator<Item = (usize, &Instruction, &State)> {
        let all = self.instructions.iter().zip(&self.before).enumerate();
        all.filter_map(|(index, (instruction, state))| Some((index, instruction, state.as_ref()?)))
    }

    /// Every instruction, reached or not.
    pub(super) fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Whether an instruction of the function is at this address.
    pub(super) fn contains(&self, address: u64) -> bool {
        self.index.contains_key(&address)
    }

    /// Whether a branch in the function goes to an address in this range.
    pub(super) fn is_target(&self, range: std::ops::Range<u64>) -> bool {
        self.instructions.iter().filter_map(code::target).any(|target| range.contains(&target))
    }
}
