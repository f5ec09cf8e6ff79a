//! Mutants of KVM itself: it is told, and does not do what it should.
//!
//! What is patched is found by data flow from functions that are what their name says in every kernel, never by the look of the
//! bytes. Whatever is not beyond doubt makes the mutant unpatchable and says why.

mod fields;
mod retry;
mod sequence;
#[cfg(test)]
mod tests;

use super::{Change, Function, Group, Image, Kind, Mutant, Patch, Symbols, code, flow::Flow, patch::ZERO};
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
    Ok(vec![returns_false(symbols, image, find(symbols, "kvm_unmap_gfn_range")?)?])
}

/// What every request to other virtual CPUs goes through, `_except` one of them in 6.1.
const REQUEST: &str = "kvm_make_all_cpus_request";

/// Nobody asks other virtual CPUs to flush: `kvm_flush_remote_tlbs()` does not make its request, and counts it all the same. (A run takes
/// that count for the sign that invalidations hit a guest, so a mutant that did not count would look like a run about nothing.)
///
/// The flushes of a range, a memslot and a shadow page end there, unless KVM itself runs on Hyper-V, which flushes ranges for it.
fn flush(symbols: &Symbols, image: &Image) -> Result<Vec<Patch>, Reason> {
    let function = find(symbols, "kvm_flush_remote_tlbs")?;
    let mut patches = Vec::new();
    for instruction in code::instructions(image, function) {
        let Some((called, _)) = code::target(&instruction).and_then(|target| symbols.at(target)) else { continue };
        let is_call = instruction.flow_control() == FlowControl::Call;
        match called.base() {
            name if name.starts_with("hv_") => return Err(format!("{} leaves it to Hyper-V", function.name)),
            name if !name.starts_with(REQUEST) => {}
            _ if !is_call => return Err(format!("{} makes its request with its last jump", function.name)),
            _ => patches.extend(Patch::replace(symbols, image, instruction.ip(), instruction.len(), &ZERO)),
        }
    }
    match patches.len() {
        1 => Ok(patches),
        found => Err(format!("{} makes {found} requests instead of one", function.name)),
    }
}

/// Lets a function return `false` as soon as it is called.
fn returns_false(symbols: &Symbols, image: &Image, function: &Function) -> Result<Patch, Reason> {
    let flow = Flow::of(symbols, image, function);
    let room = ZERO.len() as u64 + 1;
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
    Patch::back(symbols, image, start, (end - start) as usize, true).ok_or_else(|| format!("{} cannot be read", function.name))
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
