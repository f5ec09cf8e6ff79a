//! The file that a recording is (`RECORDING.md`): frames, each with a checksum, so that it can be written to a pipe and read as far as
//! it is whole.

mod read;
mod write;

pub use read::{Frame, Frames, Pages, ReadError};
pub use write::Writer;

/// How a recording begins. The last byte is none that text has, so that nobody takes it for that.
const MAGIC: [u8; 8] = *b"nostrec\xb5";
/// A reader refuses any other.
const MAJOR: u16 = 1;
/// Kinds of frames may have been added in a later one; a reader passes over them.
const MINOR: u16 = 0;

/// Bytes before the first frame: the magic, and both numbers.
const START: usize = 12;

/// No frame is larger than this before it is compressed: a length beyond is no length.
const MOST: usize = 64 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Head = 1,
    Pages = 2,
    Watermark = 3,
    Primary = 4,
    Slots = 5,
    Tail = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Head, Self::Pages, Self::Watermark, Self::Primary, Self::Slots, Self::Tail]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Which of the two buffers pages came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Source {
    /// What the VM's threads did.
    Task = 0,
    /// What happened to memory, in whichever thread.
    Memory = 1,
}

impl Source {
    fn of(byte: u8) -> Option<Self> {
        [Self::Task, Self::Memory].into_iter().find(|source| *source as u8 == byte)
    }
}

/// What stands before each frame's bytes.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: u8,
    /// 0 for the bytes as they are, 1 for an LZ4 block.
    packed: u8,
    cpu: u16,
    source: u8,
    /// Bytes that follow.
    stored: u32,
    /// Bytes that they become.
    plain: u32,
}

const HEADER: usize = 20;

impl Header {
    /// Without its checksum.
    fn bytes(&self) -> [u8; HEADER - 4] {
        let mut bytes = [0; HEADER - 4];
        bytes[0] = self.kind;
        bytes[1] = self.packed;
        bytes[2..4].copy_from_slice(&self.cpu.to_le_bytes());
        bytes[4] = self.source;
        bytes[8..12].copy_from_slice(&self.stored.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.plain.to_le_bytes());
        bytes
    }

    /// With its checksum.
    fn parse(bytes: &[u8; HEADER]) -> (Self, u32) {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let cpu = u16::from_le_bytes([bytes[2], bytes[3]]);
        (Self { kind: bytes[0], packed: bytes[1], cpu, source: bytes[4], stored: word(8), plain: word(12) }, word(16))
    }

    fn checksum(&self, stored: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.bytes());
        hasher.update(stored);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests;
