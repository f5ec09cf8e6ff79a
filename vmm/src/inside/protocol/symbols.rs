//! Symbols on their way: lines of `/proc/kallsyms`, packed, in parts.
//!
//! The text of one kernel's functions is some 3 MB, of which packing leaves a fifth; a serial port under emulation would take
//! much longer for it than the packing.

use super::base64;
use flate2::{Compression, write::DeflateDecoder, write::DeflateEncoder};
use std::io::{self, Write};
use thiserror::Error;

/// Packed bytes in one part: a line of this length is soon repeated when it is lost, and costs little beside its contents.
const PART: usize = 24 << 10;

/// Packs text into parts.
#[derive(Debug)]
pub struct Packer {
    encoder: DeflateEncoder<Vec<u8>>,
    lines: u64,
    bytes: u64,
}

impl Default for Packer {
    fn default() -> Self {
        Self { encoder: DeflateEncoder::new(Vec::new(), Compression::new(3)), lines: 0, bytes: 0 }
    }
}

impl Packer {
    /// Adds a line, without its end; sends a part when there is one.
    ///
    /// # Errors
    /// When `send` fails.
    pub fn line(&mut self, line: &str, send: &mut impl FnMut(String) -> io::Result<()>) -> io::Result<()> {
        self.encoder.write_all(line.as_bytes())?;
        self.encoder.write_all(b"\n")?;
        self.lines += 1;
        self.bytes += line.len() as u64 + 1;
        if self.encoder.get_ref().len() >= PART {
            send(base64::encode(&std::mem::take(self.encoder.get_mut())))?;
        }
        Ok(())
    }

    /// Sends the last part, and gives the number of lines and of bytes.
    ///
    /// # Errors
    /// When `send` fails.
    pub fn finish(self, send: &mut impl FnMut(String) -> io::Result<()>) -> io::Result<(u64, u64)> {
        let (lines, bytes) = (self.lines, self.bytes);
        self.encoder.finish()?.chunks(PART).try_for_each(|part| send(base64::encode(part)))?;
        Ok((lines, bytes))
    }
}

/// Why symbols cannot be put together.
#[derive(Debug, Error)]
pub enum Error {
    /// A part that is none.
    #[error("part {0} of the symbols is damaged")]
    Part(usize),
    /// Parts are missing, or of another kernel.
    #[error("the symbols are not whole: {found} of {said} bytes, {lines} of {symbols} lines")]
    Incomplete {
        /// Bytes that there are.
        found: usize,
        /// Bytes that there should be.
        said: u64,
        /// Lines that there are.
        lines: usize,
        /// Lines that there should be.
        symbols: u64,
    },
}

/// Puts symbols together again.
#[derive(Debug)]
pub struct Collector {
    decoder: DeflateDecoder<Vec<u8>>,
    parts: usize,
}

impl Default for Collector {
    fn default() -> Self {
        Self { decoder: DeflateDecoder::new(Vec::new()), parts: 0 }
    }
}

impl Collector {
    /// Takes what came with [`Event::Symbols`](super::Event::Symbols).
    ///
    /// # Errors
    /// When it is damaged.
    pub fn part(&mut self, part: &str) -> Result<(), Error> {
        self.parts += 1;
        let bytes = base64::decode(part).ok_or(Error::Part(self.parts))?;
        self.decoder.write_all(&bytes).map_err(|_| Error::Part(self.parts))
    }

    /// The text, in the form of `/proc/kallsyms`, once [`Event::SymbolsEnd`](super::Event::SymbolsEnd) came with these numbers.
    ///
    /// # Errors
    /// When it is not whole.
    pub fn finish(self, symbols: u64, bytes: u64) -> Result<String, Error> {
        let text = self.decoder.finish().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let lines = text.lines().count();
        if text.len() as u64 != bytes || lines as u64 != symbols {
            return Err(Error::Incomplete { found: text.len(), said: bytes, lines, symbols });
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(lines: &[String]) -> (Vec<String>, u64, u64) {
        let (mut packer, mut parts) = (Packer::default(), Vec::new());
        let mut send = |part| {
            parts.push(part);
            Ok(())
        };
        lines.iter().for_each(|line| packer.line(line, &mut send).expect("sent"));
        let (symbols, bytes) = packer.finish(&mut send).expect("sent");
        (parts, symbols, bytes)
    }

    fn unpacked(parts: &[String], symbols: u64, bytes: u64) -> Result<String, Error> {
        let mut collector = Collector::default();
        parts.iter().try_for_each(|part| collector.part(part))?;
        collector.finish(symbols, bytes)
    }

    #[test]
    fn symbols_arrive_in_parts_and_a_missing_part_is_noticed() {
        let line =
            |n: u64| format!("{:016x} t function_{:x}", 0xffff_ffff_8100_0000 + n * 37, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let lines: Vec<_> = (0..20_000).map(line).collect();
        let (parts, symbols, bytes) = packed(&lines);
        assert!(parts.len() > 2 && symbols == 20_000, "{}", parts.len());
        assert_eq!(unpacked(&parts, symbols, bytes).expect("whole").lines().collect::<Vec<_>>(), lines);
        for left_out in 0..parts.len() {
            let mut parts = parts.clone();
            parts.remove(left_out);
            assert!(unpacked(&parts, symbols, bytes).is_err(), "{left_out}");
        }
        assert!(matches!(unpacked(&["?".to_owned()], 1, 1), Err(Error::Part(1))));
        let (parts, symbols, bytes) = packed(&[]);
        assert_eq!(unpacked(&parts, symbols, bytes).expect("nothing"), "");
    }
}
