//! Replacing instructions of a running kernel by others of the same length.
//!
//! A patch replaces whole instructions, so a processor that is stopped between two of them does not wake up in the middle of
//! one: it may be applied while the machine stands still. One thing is left to whoever applies it: nobody may be *inside* of what
//! a mutant takes apart (between start and end of an invalidation, say), so it is applied before the first guest is made.

use super::{Form, Image, Site, Symbols, code};

/// The bytes of one place, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where.
    pub address: u64,
    /// The same as a symbol and an offset.
    pub symbol_offset: String,
    /// What is there, to be checked before anything is written.
    pub old: Vec<u8>,
    /// What is written: as many bytes.
    pub new: Vec<u8>,
    /// The instructions that are there.
    pub was: String,
    /// The instructions that are written.
    pub is: String,
}

/// `xor %eax, %eax`: the value 0 of an `int`, and `false`.
pub(super) const ZERO: [u8; 2] = [0x31, 0xc0];
const RET: u8 = 0xc3;
const INT3: u8 = 0xcc;
/// `cmp %eax, %eax`: "equal", whatever it holds.
pub(super) const EQUAL: [u8; 2] = [0x39, 0xc0];

/// The no-ops that both vendors recommend, one to nine bytes long.
const NOPS: [&[u8]; 9] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// So many bytes that do nothing, in as few instructions as possible.
pub(super) fn nops(mut len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    while len > 0 {
        let one = NOPS[len.min(NOPS.len()) - 1];
        bytes.extend_from_slice(one);
        len -= one.len();
    }
    bytes
}

impl Patch {
    /// Puts instructions in the place of others and fills up with no-ops. None if they are too long.
    pub(super) fn replace(symbols: &Symbols, image: &Image, address: u64, len: usize, new: &[u8]) -> Option<Self> {
        let mut bytes = new.to_vec();
        bytes.extend(nops(len.checked_sub(new.len())?));
        Self::exactly(symbols, image, address, bytes)
    }

    /// Lets a function return here. Nothing behind the return is ever reached, and if it is, the kernel says so.
    pub(super) fn back(symbols: &Symbols, image: &Image, address: u64, len: usize, zero: bool) -> Option<Self> {
        let mut bytes = if zero { ZERO.to_vec() } else { Vec::new() };
        bytes.push(RET);
        bytes.resize(len.max(bytes.len()), INT3);
        (bytes.len() == len).then(|| Self::exactly(symbols, image, address, bytes))?
    }

    fn exactly(symbols: &Symbols, image: &Image, address: u64, new: Vec<u8>) -> Option<Self> {
        let old = image.bytes(address, new.len())?.to_vec();
        Some(Self {
            address,
            symbol_offset: symbols.describe(address),
            was: code::text_of(symbols, address, &old),
            is: code::text_of(symbols, address, &new),
            old,
            new,
        })
    }
}

/// Takes a notifier call away.
///
/// A `call` becomes "it returned 0": success for `invalidate_range_start`, "not accessed" for the `young` functions. Whatever else
/// a callee may leave in registers and flags, its caller may not rely on.
///
/// A tail jump becomes a plain `ret`, though the kernel itself may return through a thunk. The thunks (retbleed, SRSO, ITS, call
/// depth tracking) return to the same place; they only keep the processor from *predicting* a return wrongly, or count calls
/// for that purpose. A kernel under test runs nothing that would exploit this.
///
/// # Errors
/// Why it cannot be taken away.
pub(super) fn delete(symbols: &Symbols, image: &Image, site: &Site) -> Result<Patch, String> {
    let zero = site.callee.returns();
    let len = site.bytes.len();
    let patch = match site.form {
        Form::Call => Patch::replace(symbols, image, site.address, len, if zero { &ZERO } else { &[] }),
        Form::TailJump => Patch::back(symbols, image, site.address, len, zero),
        Form::Conditional => {
            return Err(format!(
                "{}+{:#x} jumps to {} only if a condition holds, and there is no room for a return that depends on one",
                site.symbol, site.offset, site.callee
            ));
        }
    };
    patch.ok_or_else(|| format!("{}+{:#x} is only {len} bytes long, too short for a return", site.symbol, site.offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::Callee;

    #[test]
    fn nops_have_the_length_asked_for_and_do_nothing() {
        for len in 0..40 {
            let bytes = nops(len);
            assert_eq!(bytes.len(), len);
            for instruction in code::decoder(0, &bytes) {
                assert_eq!(instruction.mnemonic(), iced_x86::Mnemonic::Nop, "{len}: {instruction:?}");
            }
        }
    }

    #[test]
    fn what_is_called_without_a_result_leaves_no_result() {
        assert!(!Callee::End.returns());
        assert!(Callee::Start.returns());
    }
}
