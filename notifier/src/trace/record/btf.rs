//! Where the members of the kernel's structures lie, from the kernel's own description of its types
//! (`Documentation/bpf/btf.rst`). Only as much of it as that takes.

use thiserror::Error;

/// Why that cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum BtfError {
    /// It is no description of types.
    #[error("the kernel's description of its types cannot be read: {0}")]
    Broken(&'static str),
    /// There is no such structure.
    #[error("the kernel describes no 'struct {0}'")]
    Struct(&'static str),
    /// It has no such member.
    #[error("'struct {0}' has no member '{1}'")]
    Member(&'static str, &'static str),
}

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
/// Bytes of a type before what its kind adds, and of a member of a structure.
const TYPE: usize = 12;
const MEMBER: usize = 12;

/// Bytes that a type of a kind has behind the first [`TYPE`]; a kind that is not known cannot be passed over.
fn extra(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // int, variable, declaration tag
        1 | 14 | 17 => 4,
        // array
        3 => 12,
        // struct, union, data section, 64-bit enum
        4 | 5 | 15 | 19 => count * 12,
        // enum, function prototype
        6 | 13 => count * 8,
        // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

/// A description of types: the kernel's, or a module's, which goes on where the kernel's ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Bytes of the kernel's strings, if this is a module's: its own count from there.
    before: usize,
    /// The kernel's strings, or these.
    base: &'a [u8],
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

impl<'a> Btf<'a> {
    /// The kernel's.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let half = bytes.first_chunk().map(|half| u16::from_le_bytes(*half));
        if half != Some(MAGIC) {
            return Err(BtfError::Broken("it does not begin as one"));
        }
        let section = |at: usize| {
            let (head, start, size) = (word(bytes, 4)?, word(bytes, at)?, word(bytes, at + 4)?);
            let start = (head as usize).checked_add(start as usize)?;
            bytes.get(start..start.checked_add(size as usize)?)
        };
        let cut = BtfError::Broken("it is shorter than it says");
        let (types, strings) = section(8).zip(section(16)).ok_or(cut)?;
        Ok(Self { types, strings, before: 0, base: strings })
    }

    /// A module's.
    pub(super) fn parse_module(bytes: &'a [u8], kernel: Btf<'a>) -> Result<Self, BtfError> {
        Ok(Self { before: kernel.strings.len(), base: kernel.strings, ..Self::parse(bytes)? })
    }

    fn is_named(&self, at: u32, name: &str) -> bool {
        let at = at as usize;
        let from = match at.checked_sub(self.before) {
            Some(own) => self.strings.get(own..),
            None => self.base.get(at..),
        };
        from.and_then(|from| from.strip_prefix(name.as_bytes())).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Members of the structure of that name, as they lie in the description; `None` if it is not there.
    fn members(&self, name: &str) -> Result<Option<(&'a [u8], bool)>, BtfError> {
        let mut at = 0;
        while at < self.types.len() {
            let cut = BtfError::Broken("a type is cut off");
            let (named, info) = word(self.types, at).zip(word(self.types, at + 4)).ok_or(cut.clone())?;
            let (kind, count) = (info >> 24 & 31, (info & 0xffff) as usize);
            let extra = extra(kind, count).ok_or(BtfError::Broken("it has a kind of types that is not known here"))?;
            let behind = self.types.get(at + TYPE..at + TYPE + extra).ok_or(cut)?;
            if kind == KIND_STRUCT && self.is_named(named, name) {
                return Ok(Some((behind, info >> 31 != 0)));
            }
            at += TYPE + extra;
        }
        Ok(None)
    }

    /// Where a member lies, in bytes.
    pub(super) fn offset(&self, structure: &'static str, member: &'static str) -> Result<u32, BtfError> {
        let (members, bit_fields) = self.members(structure)?.ok_or(BtfError::Struct(structure))?;
        for entry in members.chunks_exact(MEMBER) {
            if word(entry, 0).is_some_and(|name| self.is_named(name, member)) {
                let bits = word(entry, 8).unwrap_or(0);
                // with bit fields, the upper 8 bits are the width
                let bits = if bit_fields { bits & 0xff_ffff } else { bits };
                return Ok(bits / 8);
            }
        }
        Err(BtfError::Member(structure, member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn btf(types: &[u32], strings: &str) -> Vec<u8> {
        let size = types.len() as u32 * 4;
        let head = [u32::from(MAGIC) | 1 << 16, 24, 0, size, size, strings.len() as u32];
        let words = head.iter().chain(types).flat_map(|word| word.to_le_bytes());
        words.chain(strings.bytes()).collect()
    }

    /// `int`, an array, `struct ab { int a; int b }`, `struct bits { a at bit 64, 3 wide }`.
    fn kernel() -> Vec<u8> {
        let types = [
            [1, 1 << 24, 4, 32].as_slice(),
            &[0, 3 << 24, 0, 1, 1, 8],
            &[5, 4 << 24 | 2, 8, 8, 1, 0, 10, 1, 32],
            &[12, 1 << 31 | 4 << 24 | 1, 16, 8, 1, 3 << 24 | 64],
        ];
        btf(&types.concat(), "\0int\0ab\0a\0b\0bits\0")
    }

    #[test]
    fn members_are_where_they_are_said_to_be() {
        let kernel = kernel();
        let types = Btf::parse(&kernel).expect("it is one");
        assert_eq!(types.offset("ab", "a"), Ok(0));
        assert_eq!(types.offset("ab", "b"), Ok(4));
        assert_eq!(types.offset("bits", "a"), Ok(8));
        assert_eq!(types.offset("a", "a"), Err(BtfError::Struct("a")), "a name is not its beginning");
        let gone = types.offset("ab", "c").expect_err("there is none").to_string();
        assert_eq!(gone, "'struct ab' has no member 'c'");
    }

    #[test]
    fn a_module_uses_the_kernels_names_and_has_its_own() {
        let kernel = kernel();
        // `struct own { int b at 16 }`: 'own' is the module's, 'b' the kernel's
        let module = btf(&[17 + 1, 4 << 24 | 1, 8, 10, 1, 128], "\0own\0");
        let kernel = Btf::parse(&kernel).expect("it is one");
        assert_eq!(kernel.strings.len(), 17);
        let types = Btf::parse_module(&module, kernel).expect("it is one");
        assert_eq!(types.offset("own", "b"), Ok(16));
        assert_eq!(types.offset("ab", "a"), Err(BtfError::Struct("ab")), "the kernel's are in the kernel's");
    }

    #[test]
    fn this_kernel_describes_a_range() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: this kernel does not describe its types");
            return;
        };
        let types = Btf::parse(&bytes).expect("the kernel's own");
        let offset = |member| types.offset("mmu_notifier_range", member).expect("it is there since Linux 5.0");
        assert_eq!(offset("end"), offset("start") + 8);
        assert!(offset("event") > offset("mm"));
    }

    proptest! {
        #[test]
        fn damage_does_no_harm(changes in prop::collection::vec((0usize..140, any::<u8>()), 1..8), cut in 0usize..150) {
            let mut bytes = kernel();
            changes.into_iter().for_each(|(at, byte)| if let Some(place) = bytes.get_mut(at) { *place = byte });
            bytes.truncate(cut);
            if let Ok(types) = Btf::parse(&bytes) {
                let _ = types.offset("bits", "a");
            }
        }
    }
}
