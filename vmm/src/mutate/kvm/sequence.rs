//! The mutant in which the end of an invalidation leaves no trace.

use super::{
    Reason,
    fields::{Count, Fields, find_count},
    is_kvm,
};
use crate::mutate::{
    Function, Image, Patch, Symbols, flags,
    flow::{Flow, Origin, Value},
};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

/// Nothing advances `mmu_invalidate_seq`; `mmu_invalidate_in_progress` still goes down.
///
/// Besides `kvm_mmu_invalidate_end()` itself this is wherever the compiler put a copy of it: a one added to the sequence and a one
/// taken from the count, of the same VM, which a function has as its argument or as the notifier within.
pub(super) fn not_advanced(symbols: &Symbols, image: &Image, fields: &Fields) -> Result<Vec<Patch>, Reason> {
    let mut patches = Vec::new();
    for function in symbols.functions().iter().filter(|function| is_kvm(function) && may_count(image, function, fields)) {
        let flow = Flow::of(symbols, image, function);
        let counts: Vec<Count> =
            flow.reached().filter_map(|(index, instruction, state)| find_count(index, instruction, state)).collect();
        let lowered = |up: &Count| {
            let down = up.address.plus(fields.in_progress - fields.sequence);
            counts.iter().any(|count| count.by == -1 && count.address == down)
        };
        for up in counts.iter().filter(|count| count.by == 1 && is_sequence(function, &count.address, fields)) {
            if lowered(up) {
                patches.push(remove(symbols, image, &flow, up.index, function)?);
            }
        }
        doubtful(&flow, function, fields)?;
    }
    if patches.is_empty() {
        return Err("nothing advances the sequence".to_owned());
    }
    Ok(patches)
}

/// Whether an address is that of the sequence, as far as an offset can tell.
fn is_sequence(function: &Function, address: &Value, fields: &Fields) -> bool {
    let callback = function.base().starts_with("kvm_mmu_notifier_") && address.origin == Origin::Argument(0);
    address.offset == if callback { fields.sequence - fields.notifier } else { fields.sequence }
}

/// Whether it is worth a look: the offsets must be somewhere in its instructions.
fn may_count(image: &Image, function: &Function, fields: &Fields) -> bool {
    let offsets = [fields.sequence, fields.sequence - fields.notifier];
    super::code::bytes(image, function).is_some_and(|bytes| {
        super::code::decoder(function.address, bytes)
            .into_iter()
            .any(|instruction| adds_one(&instruction) && offsets.contains(&(instruction.memory_displacement64() as i64)))
    })
}

fn adds_one(instruction: &Instruction) -> bool {
    if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Memory {
        return false;
    }
    matches!(
        instruction.code(),
        Code::Inc_rm64
            | Code::Mov_rm64_r64
            | Code::Add_rm64_imm8
            | Code::Add_rm64_imm32
            | Code::Sub_rm64_imm8
            | Code::Sub_rm64_imm32
    )
}

/// A one added at the right offset of something of which nothing is known.
fn doubtful(flow: &Flow, function: &Function, fields: &Fields) -> Result<(), Reason> {
    for (_, instruction, state) in flow.reached() {
        let counts = matches!(instruction.mnemonic(), Mnemonic::Add | Mnemonic::Inc) && adds_one(instruction);
        if counts && instruction.memory_displacement64() as i64 == fields.sequence && state.address(instruction).is_none() {
            let offset = instruction.ip().wrapping_sub(function.address);
            return Err(format!("{}+{offset:#x} may advance the sequence of a VM, or count something else", function.name));
        }
    }
    Ok(())
}

fn remove(symbols: &Symbols, image: &Image, flow: &Flow, index: usize, function: &Function) -> Result<Patch, Reason> {
    let instruction = &flow.instructions()[index];
    if flags::read_after(flow, index) != Some(0) && instruction.mnemonic() != Mnemonic::Mov {
        return Err(format!("{} looks at the flags after it has advanced the sequence", function.name));
    }
    Patch::replace(symbols, image, instruction.ip(), instruction.len(), &[])
        .ok_or_else(|| format!("{} cannot be read", function.name))
}
