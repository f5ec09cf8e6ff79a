//! Machine code, one function at a time.

use super::{Function, Image, Symbols};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, OpKind};

/// Decodes the bytes at an address.
pub(super) fn decoder(address: u64, bytes: &[u8]) -> Decoder<'_> {
    Decoder::with_ip(64, bytes, address, DecoderOptions::NONE)
}

/// The instructions of a function in the order of their addresses.
///
/// From the first byte to the last without a gap: the kernel keeps its jump tables out of its text, so there is nothing else
/// between the instructions of a function. An instruction that cannot be decoded comes out as `Code::INVALID`.
pub(super) fn instructions(image: &Image, function: &Function) -> Vec<Instruction> {
    let Some(bytes) = bytes(image, function) else { return Vec::new() };
    decoder(function.address, bytes).into_iter().collect()
}

/// The bytes of a function.
pub(super) fn bytes<'a>(image: &'a Image, function: &Function) -> Option<&'a [u8]> {
    image.bytes(function.address, usize::try_from(function.end - function.address).ok()?)
}

/// Where a direct near `call`, `jmp` or `jcc` goes.
pub(super) fn target(instruction: &Instruction) -> Option<u64> {
    let near = matches!(instruction.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
    near.then(|| instruction.near_branch_target())
}

/// Whether the next instruction in memory can be the next one executed.
pub(super) fn falls_through(instruction: &Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return => false,
        // `ud2` is how the kernel warns, and goes on behind it; `int3` is what nobody is to reach.
        FlowControl::Exception => instruction.code() != Code::INVALID,
        FlowControl::Interrupt => instruction.code() != Code::Int3,
        _ => true,
    }
}

/// Instructions as text, in the syntax that the kernel's own sources and oopses have.
pub(super) fn text(symbols: &Symbols, instructions: &[Instruction]) -> String {
    instructions.iter().map(|instruction| line(symbols, instruction)).collect::<Vec<_>>().join("; ")
}

fn line(symbols: &Symbols, instruction: &Instruction) -> String {
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_uppercase_hex(false);
    formatter.options_mut().set_space_after_operand_separator(true);
    let mut out = String::new();
    formatter.format(instruction, &mut out);
    // A name says more than an address.
    match (target(instruction), out.split_whitespace().next()) {
        (Some(target), Some(mnemonic)) => {
            let name = symbols.describe(target);
            format!("{mnemonic} {}", name.strip_suffix("+0x0").unwrap_or(&name))
        }
        _ => out,
    }
}

/// The text of raw bytes.
pub(super) fn text_of(symbols: &Symbols, address: u64, bytes: &[u8]) -> String {
    text(symbols, &decoder(address, bytes).into_iter().collect::<Vec<_>>())
}
