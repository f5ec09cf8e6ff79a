//! Reading the text of a running kernel, and holding what was read.

use super::Symbols;
use thiserror::Error;

/// Text that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot read {len} bytes of kernel text at {address:#x}: {reason}")]
pub struct TextError {
    /// Where.
    pub address: u64,
    /// How much.
    pub len: usize,
    /// Why not, and what can be done about it.
    pub reason: String,
}

/// The live text of a kernel: what its processors execute now, with alternatives, static keys and return thunks patched in.
///
/// That is better than a `vmlinux`, which shows code that never runs and calls that are no calls any more.
pub trait Text {
    /// Reads as many bytes as asked for.
    ///
    /// # Errors
    /// What cannot be read.
    fn read(&mut self, address: u64, len: usize) -> Result<Vec<u8>, TextError>;
}

/// How much is asked for at once: little enough for one answer, much enough for few questions.
const CHUNK: u64 = 1 << 20;

/// A copy of a stretch of memory.
#[derive(Clone, Debug)]
struct Region {
    start: u64,
    bytes: Vec<u8>,
}

/// A copy of all text that functions are in.
#[derive(Clone, Debug, Default)]
pub struct Image {
    regions: Vec<Region>,
}

impl Image {
    /// Copies the text of all functions, large pieces at a time: over a debugger's protocol a question is dear, a byte cheap.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn load(symbols: &Symbols, text: &mut dyn Text) -> Result<Self, TextError> {
        let mut ranges: Vec<std::ops::Range<u64>> = Vec::new();
        for function in symbols.functions() {
            match ranges.last_mut() {
                // Between two functions there is at most the padding of the second one.
                Some(last) if function.address <= last.end + 64 => last.end = function.end.max(last.end),
                _ => ranges.push(function.address..function.end),
            }
        }
        let mut image = Self::default();
        for range in ranges {
            image.add(range.start, read_all(text, range)?);
        }
        Ok(image)
    }

    /// Adds a copy of what is at `start`; copies do not overlap.
    pub fn add(&mut self, start: u64, bytes: Vec<u8>) {
        let index = self.regions.partition_point(|region| region.start < start);
        self.regions.insert(index, Region { start, bytes });
    }

    /// The bytes of a range, when all of them are here.
    #[must_use]
    pub fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let index = self.regions.partition_point(|region| region.start <= address).checked_sub(1)?;
        let region = &self.regions[index];
        let from = usize::try_from(address - region.start).ok()?;
        region.bytes.get(from..from.checked_add(len)?)
    }

    /// Every copy with the address it was taken from.
    pub(super) fn regions(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.regions.iter().map(|region| (region.start, region.bytes.as_slice()))
    }
}

impl Text for Image {
    fn read(&mut self, address: u64, len: usize) -> Result<Vec<u8>, TextError> {
        let missing = || TextError { address, len, reason: "it is not in the copy".to_owned() };
        self.bytes(address, len).map(<[u8]>::to_vec).ok_or_else(missing)
    }
}

/// Reads a range in pieces of a bearable size.
pub(super) fn read_all(text: &mut dyn Text, range: std::ops::Range<u64>) -> Result<Vec<u8>, TextError> {
    let mut bytes = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let len = CHUNK.min(range.end - at) as usize;
        let piece = text.read(at, len)?;
        if piece.len() != len {
            let reason = format!("only {} bytes came back", piece.len());
            return Err(TextError { address: at, len, reason });
        }
        bytes.extend(piece);
        at += len as u64;
    }
    Ok(bytes)
}
