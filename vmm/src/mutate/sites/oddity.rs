//! What could be a notifier call that decoding did not see.

use super::Sweep;
use crate::mutate::{Callee, Entry, Function, Image, Symbols, Text, TextError, text::read_all};
use iced_x86::{Instruction, OpKind};
use std::{collections::HashSet, fmt, ops::Range};

/// Something in a kernel that makes the list of call sites doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Bytes that are no instruction; what follows them may be out of step.
    Undecodable {
        /// The symbol they are in.
        symbol: String,
        /// How far behind it.
        offset: u64,
    },
    /// An instruction takes the address of a notifier function, maybe to call it through a pointer.
    AddressTaken {
        /// The symbol it is in.
        symbol: String,
        /// How far behind it.
        offset: u64,
        /// The function whose address it is.
        callee: Callee,
    },
    /// A table or a variable holds the address of a notifier function.
    Pointer {
        /// Where it is.
        address: u64,
        /// The function whose address it is.
        callee: Callee,
    },
    /// A branch from elsewhere into the middle of a notifier function.
    Inside {
        /// The symbol it is in.
        symbol: String,
        /// How far behind it.
        offset: u64,
        /// The function it goes to.
        callee: Callee,
        /// How far behind its beginning.
        at: u64,
    },
    /// Four bytes that would lead to a notifier function if they belonged to a branch, but to none that was decoded.
    Unexplained {
        /// Where they are.
        address: u64,
        /// The function they would lead to.
        callee: Callee,
    },
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecodable { symbol, offset } => write!(f, "{symbol}+{offset:#x} is no instruction"),
            Self::AddressTaken { symbol, offset, callee } => write!(f, "{symbol}+{offset:#x} takes the address of {callee}"),
            Self::Pointer { address, callee } => write!(f, "{address:#x} holds the address of {callee}"),
            Self::Inside { symbol, offset, callee, at } => write!(f, "{symbol}+{offset:#x} branches to {callee}+{at:#x}"),
            Self::Unexplained { address, callee } => write!(f, "the bytes at {address:#x} could be a call of {callee}"),
        }
    }
}

/// Whether an instruction that is no branch has the address of a notifier function in it.
pub(super) fn address_taken(entries: &[Entry], function: &Function, instruction: &Instruction) -> Option<Oddity> {
    let immediate = (0..instruction.op_count()).find_map(|operand| match instruction.op_kind(operand) {
        OpKind::Immediate32to64 | OpKind::Immediate64 | OpKind::Immediate32 => Some(instruction.immediate(operand)),
        _ => None,
    });
    let relative = instruction.is_ip_rel_memory_operand().then(|| instruction.ip_rel_memory_address());
    let is_it = |entry: &&Entry| [immediate, relative].into_iter().flatten().any(|value| entry.takes(value));
    let entry = entries.iter().find(is_it)?;
    let offset = instruction.ip() - function.address;
    Some(Oddity::AddressTaken { symbol: function.name.clone(), offset, callee: entry.callee.clone() })
}

/// A branch into the middle of a notifier function from elsewhere. Its own cold part comes back to it, which is as it should be.
pub(super) fn inside(entry: &Entry, function: &Function, instruction: &Instruction, target: u64) -> Option<Oddity> {
    let own = Callee::of(function.base()).is_some_and(|callee| callee == entry.callee);
    let offset = instruction.ip() - function.address;
    let at = target - entry.address;
    (!own).then(|| Oddity::Inside { symbol: function.name.clone(), offset, callee: entry.callee.clone(), at })
}

/// Looks at every four bytes of all text, whether or not an instruction begins there.
pub(super) fn unexplained(entries: &[Entry], symbols: &Symbols, image: &Image, sweep: &mut Sweep) {
    let (Some(low), Some(high)) = (entries.iter().map(|e| e.padding).min(), entries.iter().map(|e| e.body).max()) else { return };
    // The displacement is the last thing in a branch.
    let known: HashSet<u64> = sweep.sites.iter().map(|site| site.address + site.bytes.len() as u64 - 4).collect();
    for (start, bytes) in image.regions() {
        for (at, four) in bytes.windows(4).enumerate() {
            let address = start + at as u64;
            let displacement = i32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            let target = (address + 4).wrapping_add_signed(i64::from(displacement));
            if !(low..=high).contains(&target) || known.contains(&address) {
                continue;
            }
            let Some(entry) = entries.iter().find(|entry| entry.address == target || entry.body == target) else { continue };
            if could_branch(bytes, at) && symbols.at(address).is_some() {
                sweep.oddities.push(Oddity::Unexplained { address, callee: entry.callee.clone() });
            }
        }
    }
}

/// Whether the bytes before a displacement are those of `call`, `jmp` or `jcc`.
fn could_branch(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|index| bytes[index]);
    matches!(before(1), Some(0xe8 | 0xe9)) || (before(2) == Some(0x0f) && matches!(before(1), Some(0x80..=0x8f)))
}

/// Looks for the address of a notifier function in data.
pub(super) fn pointers(
    entries: &[Entry],
    text: &mut dyn Text,
    range: Range<u64>,
    oddities: &mut Vec<Oddity>,
) -> Result<(), TextError> {
    let start = range.start;
    let bytes = read_all(text, range)?;
    for (index, eight) in bytes.chunks_exact(8).enumerate() {
        let value = u64::from_le_bytes(eight.try_into().expect("chunks_exact gives eight bytes"));
        let found = entries.iter().filter(|entry| entry.address == value || entry.body == value);
        oddities.extend(found.map(|entry| Oddity::Pointer { address: start + 8 * index as u64, callee: entry.callee.clone() }));
    }
    Ok(())
}
