//! Mutants of KVM itself: it is told, and does not do what it should.
//!
//! What is patched is found by data flow from functions that are what their name says in every kernel, never by the look of the
//! bytes. Whatever is not beyond doubt makes the mutant unpatchable and says why.

mod fields;
mod retry;
mod sequence;
#[cfg(test)]
mod tests;

use super::{Change, Function, Group, Image, Kind, Mutant, Patch, Symbols, code, flow::Flow};
use iced_x86::{FlowControl, Mnemonic};

/// Why a mutant cannot be made.
type Reason = String;

/// All mutants of KVM, those that cannot be made with the reason.
#[must_use]
pub(super) fn kvm(symbols: &Symbols, image: &Image) -> Vec<Mutant> {
    let fields = fields::find(symbols, image);
    let with = |made: fn(&Symbols, &Image, &fields::Fields) -> Result<Vec<Patch>, Reason>| {
        fields.as_ref().map_err(Clone::clone).and_then(|fields| made(symbols, image, fields))
    };
    vec![
        mutant(Kind::RangeEmpty, "kvm_unmap_gfn_range", range_empty(symbols, image)),
        mutant(Kind::Sequence, "kvm_mmu_invalidate_end", with(sequence::not_advanced)),
        mutant(Kind::Retry, "is_page_fault_stale", with(retry::never)),
        mutant(Kind::InProgress, "is_page_fault_stale", with(retry::blind_to_progress)),
        mutant(Kind::Flush, "kvm_flush_remote_tlbs", flush(symbols, image)),
    ]
}

fn mutant(kind: Kind, function: &str, made: Result<Vec<Patch>, Reason>) -> Mutant {
    let change = made.map_or_else(|reason| Change::Unpatchable { reason }, Change::Patches);
    Mutant { id: format!("kvm/{kind}"), function: function.to_owned(), kind, group: Group::Kvm, change }
}

/// Whether a function may belong to KVM: to its module or, where it is built in, by its name.
fn is_kvm(function: &Function) -> bool {
    match function.module.as_deref() {
        Some(module) => module == "kvm",
        None => function.name.starts_with("kvm_") || function.name.contains("page_fault") || function.name.contains("gfn_to_pfn"),
    }
}

/// The one function of KVM with this name in the source.
fn find<'a>(symbols: &'a Symbols, name: &str) -> Result<&'a Function, Reason> {
    let mut found = symbols.functions().iter().filter(|function| is_kvm(function) && !function.is_cold() && function.is(name));
    match (found.next(), found.next()) {
        (Some(function), None) => Ok(function),
        (None, _) => Err(format!("this kernel has no symbol {name}; is the kvm module loaded?")),
        (Some(_), Some(_)) => Err(format!("the compiler made several functions of {name}")),
    }
}

/// The one function that has one of these names, which changed over time.
fn find_any<'a>(symbols: &'a Symbols, names: &[&str]) -> Result<&'a Function, Reason> {
    let found: Vec<_> = names.iter().filter_map(|name| find(symbols, name).ok()).collect();
    match found[..] {
        [function] => Ok(function),
        [] => Err(format!("this kernel has no symbol {}; is the kvm module loaded?", names.join(" or "))),
        _ => Err(format!("this kernel has several of {}", names.join(", "))),
    }
}

/// Every range looks as if no guest had a translation of it: `kvm_unmap_gfn_range()` says at once that nothing has to be flushed.
///
/// All ways lead through it, also where `kvm_mmu_unmap_gfn_range()` (6.12 and later) comes first: that one only notes the range.
fn range_empty(symbols: &Symbols, image: &Image) -> Result<Vec<Patch>, Reason> {
    Ok(vec![returns(symbols, image, find(symbols, "kvm_unmap_gfn_range")?, true)?])
}

/// Functions that make other virtual CPUs flush their TLBs, as far as a kernel has them.
const FLUSHES: [&str; 6] = [
    "kvm_flush_remote_tlbs",
    "kvm_flush_remote_tlbs_range",
    "kvm_flush_remote_tlbs_memslot",
    "kvm_flush_remote_tlbs_with_address",
    "kvm_flush_remote_tlbs_sptep",
    "kvm_arch_flush_remote_tlbs_memslot",
];

/// Nobody asks other virtual CPUs to flush.
fn flush(symbols: &Symbols, image: &Image) -> Result<Vec<Patch>, Reason> {
    find(symbols, FLUSHES[0])?;
    let ours = |function: &&Function| is_kvm(function) && !function.is_cold() && FLUSHES.iter().any(|name| function.is(name));
    symbols.functions().iter().filter(ours).map(|function| returns(symbols, image, function, false)).collect()
}

/// Lets a function return as soon as it is called; with 0 or `false`, if it returns something.
fn returns(symbols: &Symbols, image: &Image, function: &Function, zero: bool) -> Result<Patch, Reason> {
    let flow = Flow::of(symbols, image, function);
    let room = if zero { 3 } else { 1 };
    let mut instructions = flow.instructions().iter().take_while(|instruction| instruction.ip() < function.end).peekable();
    // What marks a valid target of an indirect call, and what ftrace may turn into a call at any time, stays.
    while instructions.next_if(|instruction| is_prologue(symbols, instruction)).is_some() {}
    let start = instructions.peek().map_or(function.end, |instruction| instruction.ip());
    let mut end = start;
    while end < start + room {
        let cut_short = || format!("{} is shorter than a return", function.name);
        end = instructions.next().ok_or_else(cut_short)?.next_ip();
    }
    if flow.is_target(start + 1..end) {
        return Err(format!("{} has a loop that begins where the return would be", function.name));
    }
    Patch::back(symbols, image, start, (end - start) as usize, zero).ok_or_else(|| format!("{} cannot be read", function.name))
}

fn is_prologue(symbols: &Symbols, instruction: &iced_x86::Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::Next => matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Endbr64),
        // An active ftrace: to `__fentry__`, or to a trampoline that was allocated and belongs to no symbol.
        FlowControl::Call => code::target(instruction).is_some_and(|target| {
            symbols.at(target).is_none_or(|(function, _)| function.name.starts_with("ftrace_") || function.name == "__fentry__")
        }),
        _ => false,
    }
}
