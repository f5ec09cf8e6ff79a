//! One reader for what packages and modules are packed with, told apart by their first bytes.

use std::io::{self, BufRead, Read};

use flate2::bufread::{GzDecoder, MultiGzDecoder};
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

/// Twice what `xz -9` needs. A header may ask for 4 GiB, which is not a kernel's.
const XZ_MEMORY_KIB: u32 = 128 << 10;

/// Unpacks xz, zstd and gzip; hands on everything else as it is.
pub(super) fn reader<'a>(mut packed: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = packed.fill_buf()?;
    Ok(if start.starts_with(b"\xfd7zXZ\0") {
        Box::new(XzReader::new_mem_limit(packed, true, XZ_MEMORY_KIB))
    } else if start.starts_with(b"\x28\xb5\x2f\xfd") {
        Box::new(StreamingDecoder::new(packed).map_err(io::Error::other)?)
    } else if start.starts_with(b"\x1f\x8b") {
        Box::new(MultiGzDecoder::new(packed))
    } else {
        Box::new(packed)
    })
}

/// Everything that `packed` unpacks to, as long as it is no more than `limit` bytes.
pub(super) fn all(packed: impl BufRead, limit: u64) -> io::Result<Vec<u8>> {
    limited(reader(packed)?, limit)
}

/// The same for the first thing in `packed`, whatever is behind it.
pub(super) fn one(packed: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    if packed.starts_with(b"\xfd7zXZ\0") {
        limited(XzReader::new_mem_limit(packed, false, XZ_MEMORY_KIB), limit)
    } else if packed.starts_with(b"\x1f\x8b") {
        limited(GzDecoder::new(packed), limit)
    } else {
        // A frame of zstd ends by itself.
        all(packed, limit)
    }
}

fn limited(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("unpacks to more than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn each_packing_gives_the_same_bytes() {
        let text = b"modules ".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).expect("a vector takes everything");
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).expect("known options");
        xz.write_all(&text).expect("a vector takes everything");
        let zstd = ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest);
        let packed = [text.clone(), gzip.finish().expect("packed"), xz.finish().expect("packed"), zstd];
        for packed in &packed {
            assert_eq!(all(&packed[..], 1 << 20).expect("unpacks"), text);
            assert!(all(&packed[..], 7999).is_err(), "a limit is a limit");
        }
        for packed in &packed[1..] {
            assert!(all(&packed[..packed.len() / 2], 1 << 20).is_err(), "half a file is not a shorter file");
        }
    }
}
