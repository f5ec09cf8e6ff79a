//! The mutants in which faults do not, or not always, notice that the page they looked up has been taken away since.
//!
//! The check (`mmu_invalidate_retry()` and its relatives in `kvm_host.h`) is inlined into every fault path: it compares
//! `mmu_invalidate_in_progress` with 0, and `mmu_invalidate_seq` with what the fault saw when it began. So it is wherever a function
//! does both to one and the same VM. Each comparison is replaced by one that always finds its operands equal, if nobody reads
//! anything but equality from it.
//!
//! Two relatives stay as they are. Prefetching of neighbours (shadow paging only) looks at the count alone and leaves them out; and
//! `hva_to_pfn_retry()` guards the kernel's own mappings of guest pages (kvmclock, Xen), which no guest translates through.

use super::{Reason, fields::Fields, is_kvm};
use crate::mutate::{
    Function, Image, Patch, Symbols, flags,
    flow::{Flow, Origin, State, Value},
    patch::EQUAL,
};
use iced_x86::{Instruction, MemorySize, Mnemonic, OpKind, Register, RflagsBits};
use std::collections::HashSet;

/// Neither comparison ever finds a reason to retry.
pub(super) fn never(symbols: &Symbols, image: &Image, fields: &Fields) -> Result<Vec<Patch>, Reason> {
    make(symbols, image, fields, true)
}

/// Faults do not see that an invalidation is in progress.
///
/// For faults that is the same as a count that is never raised; but KVM's own checks of the count (it warns when an invalidation
/// ends that never began) stay quiet, so whatever is noticed is noticed in a guest.
pub(super) fn blind_to_progress(symbols: &Symbols, image: &Image, fields: &Fields) -> Result<Vec<Patch>, Reason> {
    make(symbols, image, fields, false)
}

/// The comparisons of one function, by their index.
#[derive(Default)]
struct Check {
    in_progress: Vec<usize>,
    sequence: Vec<usize>,
}

fn make(symbols: &Symbols, image: &Image, fields: &Fields, sequence: bool) -> Result<Vec<Patch>, Reason> {
    let mut patches = Vec::new();
    for function in symbols.functions().iter().filter(|function| is_kvm(function) && mentions(image, function, fields)) {
        let flow = Flow::of(symbols, image, function);
        let check = check(&flow, fields);
        doubtful(&flow, function, fields)?;
        let chosen = check.in_progress.iter().chain(if sequence { &check.sequence[..] } else { &[] });
        for &index in chosen {
            patches.push(equal(symbols, image, &flow, index, function)?);
        }
    }
    if patches.is_empty() {
        return Err("no function compares both the count and the sequence of a VM".to_owned());
    }
    patches.sort_by_key(|patch| patch.address);
    patches.dedup_by_key(|patch| patch.address);
    Ok(patches)
}

/// Whether both offsets are somewhere in a function's instructions.
fn mentions(image: &Image, function: &Function, fields: &Fields) -> bool {
    let Some(bytes) = super::code::bytes(image, function) else { return false };
    let mut left = vec![fields.sequence, fields.in_progress];
    for instruction in super::code::decoder(function.address, bytes) {
        left.retain(|&offset| offset != instruction.memory_displacement64() as i64);
    }
    left.is_empty()
}

/// The comparisons with the fields of VMs of which both fields are compared.
fn check(flow: &Flow, fields: &Fields) -> Check {
    let mut in_progress: Vec<(Value, usize)> = Vec::new();
    let mut sequence: Vec<(Value, usize)> = Vec::new();
    for (index, instruction, state) in flow.reached() {
        let Some([left, right]) = compared(instruction, state) else { continue };
        let number = |side: &Side| side.value.as_ref().and_then(Value::as_number);
        for (field, other) in [(&left, &right), (&right, &left)] {
            let Some(address) = field.loaded_from() else { continue };
            if address.offset == fields.in_progress && number(other) == Some(0) {
                in_progress.push((address.plus(-fields.in_progress), index));
            } else if address.offset == fields.sequence && number(other).is_none() {
                sequence.push((address.plus(-fields.sequence), index));
            }
        }
    }
    let of_both = |(kvm, _): &&(Value, usize)| {
        let has = |list: &[(Value, usize)]| list.iter().any(|(other, _)| other == kvm);
        has(&in_progress) && has(&sequence)
    };
    let indices = |list: &[(Value, usize)]| list.iter().filter(of_both).map(|&(_, index)| index).collect();
    Check { in_progress: indices(&in_progress), sequence: indices(&sequence) }
}

/// A look at the right offset of something of which nothing is known, so that nobody can say whether it is a check.
fn doubtful(flow: &Flow, function: &Function, fields: &Fields) -> Result<(), Reason> {
    let known: HashSet<u64> = flow
        .reached()
        .filter(|(_, instruction, state)| state.address(instruction).is_some())
        .map(|(_, instruction, _)| instruction.ip())
        .collect();
    let unknown = flow.instructions().iter().find(|instruction| {
        instruction.memory_base() != Register::None
            && instruction.memory_displacement64() as i64 == fields.sequence
            && !known.contains(&instruction.ip())
    });
    unknown.map_or(Ok(()), |instruction| {
        let offset = instruction.ip().wrapping_sub(function.address);
        Err(format!("{}+{offset:#x} looks at the sequence of a VM, or at something else", function.name))
    })
}

/// One operand of a comparison of eight bytes.
struct Side {
    value: Option<Value>,
}

impl Side {
    fn loaded_from(&self) -> Option<&Value> {
        match self.value.as_ref()? {
            Value { origin: Origin::Loaded(address), offset: 0 } => Some(address),
            _ => None,
        }
    }
}

fn compared(instruction: &Instruction, state: &State) -> Option<[Side; 2]> {
    let side = |operand: u32| {
        let value = match instruction.op_kind(operand) {
            OpKind::Register => state.get(instruction.op_register(operand)).cloned(),
            OpKind::Memory if matches!(instruction.memory_size(), MemorySize::UInt64 | MemorySize::Int64) => {
                state.address(instruction).map(|address| address.loaded())
            }
            OpKind::Immediate8to64 | OpKind::Immediate32to64 => Some(Value::number(instruction.immediate(operand) as i64)),
            _ => None,
        };
        Side { value }
    };
    match instruction.mnemonic() {
        Mnemonic::Cmp => Some([side(0), side(1)]),
        // A register with itself: a comparison with zero.
        Mnemonic::Test if instruction.op1_kind() == OpKind::Register && instruction.op0_kind() == OpKind::Register => {
            let same = instruction.op0_register() == instruction.op1_register();
            same.then(|| [side(0), Side { value: Some(Value::number(0)) }])
        }
        _ => None,
    }
}

fn equal(symbols: &Symbols, image: &Image, flow: &Flow, index: usize, function: &Function) -> Result<Patch, Reason> {
    let instruction = &flow.instructions()[index];
    let offset = || format!("{}+{:#x}", function.name, instruction.ip().wrapping_sub(function.address));
    match flags::read_after(flow, index) {
        Some(RflagsBits::ZF) => {}
        _ => return Err(format!("{} compares, and more than equality is read from it", offset())),
    }
    Patch::replace(symbols, image, instruction.ip(), instruction.len(), &EQUAL)
        .ok_or_else(|| format!("{} has no room for another comparison", offset()))
}
