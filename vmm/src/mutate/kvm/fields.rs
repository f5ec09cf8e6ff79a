//! Where `struct kvm` keeps what invalidations and faults tell each other by.
//!
//! `kvm_mmu_invalidate_end(kvm)` exists to do two things to its argument: it adds one to `mmu_invalidate_seq` and takes one from
//! `mmu_invalidate_in_progress`. `kvm_mmu_invalidate_begin(kvm)` adds one to the latter and to nothing else. So the two functions
//! tell the offsets, and confirm each other: not a guess, whatever the configuration and the version.

use super::{Reason, find_any};
use crate::mutate::{
    Image, Symbols,
    flow::{Flow, Origin, State, Value},
};
use iced_x86::{Instruction, MemorySize, Mnemonic, OpKind};

/// What the two are called, in newer kernels first.
const END: [&str; 2] = ["kvm_mmu_invalidate_end", "kvm_dec_notifier_count"];
const BEGIN: [&str; 3] = ["kvm_mmu_invalidate_begin", "kvm_mmu_invalidate_start", "kvm_inc_notifier_count"];

/// Offsets in `struct kvm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    /// `mmu_invalidate_seq`: how many invalidations have ended.
    pub(super) sequence: i64,
    /// `mmu_invalidate_in_progress`: how many have begun and not ended.
    pub(super) in_progress: i64,
    /// `mmu_notifier`: what the notifier's callbacks are given.
    pub(super) notifier: i64,
}

/// A one added to, or taken from, eight bytes in memory.
pub(super) struct Count {
    /// The index of the instruction that writes.
    pub(super) index: usize,
    /// What is counted.
    pub(super) address: Value,
    /// 1 or -1.
    pub(super) by: i64,
}

pub(super) fn find_count(index: usize, instruction: &Instruction, state: &State) -> Option<Count> {
    if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Memory || wide(instruction).is_none() {
        return None;
    }
    let address = state.address(instruction)?;
    let by = match instruction.mnemonic() {
        Mnemonic::Inc => 1,
        Mnemonic::Dec => -1,
        Mnemonic::Add => immediate(instruction)?,
        Mnemonic::Sub => immediate(instruction)?.wrapping_neg(),
        Mnemonic::Mov if instruction.op1_kind() == OpKind::Register => {
            let value = state.get(instruction.op1_register())?;
            (value.origin == address.loaded().origin).then_some(value.offset)?
        }
        _ => return None,
    };
    matches!(by, 1 | -1).then_some(Count { index, address, by })
}

fn wide(instruction: &Instruction) -> Option<()> {
    matches!(instruction.memory_size(), MemorySize::UInt64 | MemorySize::Int64).then_some(())
}

fn immediate(instruction: &Instruction) -> Option<i64> {
    matches!(instruction.op1_kind(), OpKind::Immediate8to64 | OpKind::Immediate32to64).then(|| instruction.immediate(1) as i64)
}

/// Every field of a function's first argument that it counts in.
fn counted(flow: &Flow) -> Vec<(i64, i64)> {
    let counts = flow.reached().filter_map(|(index, instruction, state)| find_count(index, instruction, state));
    let of_first = counts.filter(|count| count.address.origin == Origin::Argument(0));
    of_first.map(|count| (count.address.offset, count.by)).collect()
}

/// Finds the offsets.
pub(super) fn find(symbols: &Symbols, image: &Image) -> Result<Fields, Reason> {
    let end = find_any(symbols, &END)?;
    let begin = find_any(symbols, &BEGIN)?;
    let (sequence, in_progress) = match counted(&Flow::of(symbols, image, end))[..] {
        [(up, 1), (down, -1)] if up != down => (up, down),
        ref other => return Err(format!("{} does not advance one counter and lower another: {other:x?}", end.name)),
    };
    match counted(&Flow::of(symbols, image, begin))[..] {
        [(up, 1)] if up == in_progress => {}
        ref other => {
            let (begin, end) = (&begin.name, &end.name);
            return Err(format!("{begin} does not raise the counter that {end} lowers ({in_progress:#x}): {other:x?}"));
        }
    }
    Ok(Fields { sequence, in_progress, notifier: notifier(symbols, image)? })
}

/// Functions whose first argument is the `struct kvm`.
const TAKE_KVM: [&str; 5] = [
    "kvm_unmap_gfn_range",
    "kvm_mmu_unmap_gfn_range",
    "kvm_flush_remote_tlbs",
    "kvm_arch_guest_memory_reclaimed",
    "gfn_to_pfn_cache_invalidate_start",
];

/// `kvm_mmu_notifier_invalidate_range_start(mn, range)` calls functions for the VM that `mn` is a part of, and so tells how far in.
fn notifier(symbols: &Symbols, image: &Image) -> Result<i64, Reason> {
    let start = super::find(symbols, "kvm_mmu_notifier_invalidate_range_start")?;
    let flow = Flow::of(symbols, image, start);
    let mut offsets = Vec::new();
    for (_, instruction, state) in flow.reached().filter(|(_, instruction, _)| instruction.is_call_near()) {
        let called = super::code::target(instruction).and_then(|target| symbols.at(target));
        if called.is_some_and(|(function, offset)| offset == 0 && TAKE_KVM.iter().any(|name| function.is(name)))
            && let Some(kvm) = state.argument(0)
            && kvm.origin == Origin::Argument(0)
        {
            offsets.push(kvm.offset.wrapping_neg());
        }
    }
    offsets.sort_unstable();
    offsets.dedup();
    match offsets[..] {
        [offset] if offset > 0 => Ok(offset),
        ref other => Err(format!("{} does not tell where in struct kvm the notifier is: {other:x?}", start.name)),
    }
}
