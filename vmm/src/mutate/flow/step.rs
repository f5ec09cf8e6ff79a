//! What one instruction does to what is known.

use super::{Origin, State, Value};
use iced_x86::{Code, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedMemory};

/// What a function of the kernel may leave changed.
const CLOBBERED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

pub(super) fn step(state: &mut State, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
    if instruction.is_call_near() || instruction.is_call_near_indirect() {
        for register in CLOBBERED {
            state.set(register, None);
        }
        let escaped = state.escaped;
        state.slots.retain(|&slot, _| slot.saturating_add(8) <= escaped);
        return;
    }
    match instruction.mnemonic() {
        Mnemonic::Push => return push(state, instruction),
        Mnemonic::Pop => return pop(state, instruction),
        _ => {}
    }
    let result = result(state, instruction);
    let stored = stored(state, instruction);
    forget(state, instruction, factory);
    if let Some((register, value)) = result {
        if let Value { origin: Origin::Stack, offset } = value
            && !matches!(register, Register::RSP | Register::RBP)
        {
            state.escaped = state.escaped.min(offset);
        }
        state.set(register, Some(value));
    }
    if let Some((slot, value)) = stored {
        state.slots.insert(slot, value);
    }
}

/// The register that an instruction sets to a value that is known.
fn result(state: &State, instruction: &Instruction) -> Option<(Register, Value)> {
    if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Register {
        return None;
    }
    let target = instruction.op0_register();
    let wide = target.is_gpr64();
    // Writing 32 bits clears the others.
    if !wide && !target.is_gpr32() {
        return None;
    }
    let immediate = |operand: u32| is_immediate(instruction.op_kind(operand)).then(|| instruction.immediate(operand) as i64);
    let narrow = |value: i64| if wide { value } else { i64::from(value as u32) };
    let value = match instruction.mnemonic() {
        Mnemonic::Mov => match instruction.op1_kind() {
            OpKind::Register if wide => state.get(instruction.op1_register())?.clone(),
            OpKind::Register => {
                let number = state.get(instruction.op1_register().full_register())?.as_number()?;
                Value::number(narrow(number))
            }
            OpKind::Memory if wide => state.load(instruction)?,
            _ => Value::number(narrow(immediate(1)?)),
        },
        Mnemonic::Lea if wide => state.address(instruction)?,
        Mnemonic::Xor | Mnemonic::Sub if instruction.op1_kind() == OpKind::Register && instruction.op1_register() == target => {
            Value::number(0)
        }
        Mnemonic::Add if wide => state.get(target)?.plus(immediate(1)?),
        Mnemonic::Sub if wide => state.get(target)?.plus(immediate(1)?.wrapping_neg()),
        Mnemonic::Inc if wide => state.get(target)?.plus(1),
        Mnemonic::Dec if wide => state.get(target)?.plus(-1),
        _ => return None,
    };
    Some((target.full_register(), value))
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Immediate8
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32
            | OpKind::Immediate32to64
            | OpKind::Immediate64
    )
}

/// The slot of the frame that a `mov` fills with a value that is known.
fn stored(state: &State, instruction: &Instruction) -> Option<(i64, Value)> {
    if instruction.code() != Code::Mov_rm64_r64 || instruction.op0_kind() != OpKind::Memory {
        return None;
    }
    let slot = frame(&state.address(instruction)?)?;
    Some((slot, state.get(instruction.op1_register())?.clone()))
}

fn frame(address: &Value) -> Option<i64> {
    (address.origin == Origin::Stack).then_some(address.offset)
}

impl State {
    /// What eight bytes of memory hold.
    fn load(&self, instruction: &Instruction) -> Option<Value> {
        let address = self.address(instruction)?;
        match frame(&address) {
            Some(slot) => self.slots.get(&slot).cloned(),
            // A chain of pointers that a loop follows meets itself and becomes unknown; a long one is of no use to anybody.
            None if depth(&address) < 4 => Some(address.loaded()),
            None => None,
        }
    }
}

fn depth(value: &Value) -> u32 {
    match &value.origin {
        Origin::Loaded(address) => 1 + depth(address),
        _ => 0,
    }
}

/// Forgets all that an instruction changes.
fn forget(state: &mut State, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
    let info = factory.info(instruction);
    for memory in info.used_memory().iter().filter(|memory| writes(memory.access())) {
        forget_slots(state, memory, instruction.is_string_instruction());
    }
    for register in info.used_registers().iter().filter(|register| writes(register.access())) {
        state.set(register.register(), None);
    }
}

fn writes(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn forget_slots(state: &mut State, memory: &UsedMemory, is_string: bool) {
    let Some(slot) = state.get(memory.base()).and_then(frame) else { return };
    let size = memory.memory_size().size() as i64;
    let start = slot.wrapping_add(memory.displacement() as i64);
    if is_string {
        // `rep stos` goes on upwards; the kernel never runs with the direction flag set.
        state.slots.retain(|&other, _| other.saturating_add(8) <= start);
        return;
    }
    if memory.index() != Register::None || size == 0 {
        state.slots.clear();
        return;
    }
    state.slots.retain(|&other, _| other.saturating_add(8) <= start || other >= start.saturating_add(size));
}

fn push(state: &mut State, instruction: &Instruction) {
    let value = match instruction.op0_kind() {
        OpKind::Register => state.get(instruction.op0_register()).cloned(),
        _ => None,
    };
    let top = state.get(Register::RSP).map(|top| top.plus(-8));
    if let Some(slot) = top.as_ref().and_then(frame) {
        state.slots.remove(&slot);
        state.slots.extend(value.map(|value| (slot, value)));
    }
    state.set(Register::RSP, top);
}

fn pop(state: &mut State, instruction: &Instruction) {
    let top = state.get(Register::RSP).cloned();
    let value = top.as_ref().and_then(frame).and_then(|slot| state.slots.get(&slot).cloned());
    state.set(Register::RSP, top.map(|top| top.plus(8)));
    if instruction.op0_kind() == OpKind::Register {
        state.set(instruction.op0_register(), value);
    }
}
