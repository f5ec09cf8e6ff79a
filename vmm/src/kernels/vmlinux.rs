//! The ELF file inside a bzImage (`payload_offset` of Documentation/arch/x86/boot.rst).
//!
//! An emulated kernel takes 2 to 3 s to unpack itself, at every boot. Taken out once, QEMU starts it at its PVH entry instead.
//! Whatever is missing for that (the packing is not one of ours, the kernel has no such entry): the bzImage boots as well.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use object::Endianness;
use object::elf::{FileHeader64, NoteType, PT_NOTE};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::cache::Cache;
use super::unpack;

/// `setup_sects`: sectors of setup code behind the boot sector.
const SETUP_SECTS: usize = 0x1f1;
/// `version` of the boot protocol.
const PROTOCOL: usize = 0x206;
/// The first protocol whose header says where the payload is.
const WITH_PAYLOAD: u16 = 0x0208;
/// `payload_offset` and `payload_length`.
const PAYLOAD: usize = 0x248;
/// The header as far as it is read.
const HEADER_BYTES: usize = 0x250;
/// A kernel with everything built in has some 100 MB.
const LIMIT_BYTES: u64 = 512 << 20;
/// `XEN_ELFNOTE_PHYS32_ENTRY`: the note that holds the PVH entry.
const PHYS32_ENTRY: NoteType = NoteType(18);
/// Files of other builds of the same release are removed when they are older; QEMU reads them only when it starts.
const SUPERSEDED: Duration = Duration::from_secs(24 * 60 * 60);

/// The vmlinux in `image`, from the cache, or put there now. `None` where the bzImage has to do.
pub(super) fn kept(image: &Path, release: &str, cache: &Cache) -> Option<PathBuf> {
    let data = fs::metadata(image).ok()?;
    let modified = data.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let dir = cache.dir().join("vmlinux");
    let place = dir.join(format!("{release}-{:x}-{modified:x}", data.len()));
    if place.is_file() {
        return Some(place);
    }
    let elf = inside(image)?;
    fs::create_dir_all(&dir).ok()?;
    let mut file = tempfile::NamedTempFile::with_prefix_in(".making-", &dir).ok()?;
    file.write_all(&elf).ok()?;
    file.persist(&place).ok()?;
    sweep(&dir, release, &place);
    Some(place)
}

/// Removes what was made of earlier builds of `release`, and what killed runs left.
fn sweep(dir: &Path, release: &str, but: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        let earlier = name.strip_prefix(release).is_some_and(|rest| rest.starts_with('-') && rest.matches('-').count() == 2);
        let old =
            entry.metadata().and_then(|data| data.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > SUPERSEDED));
        if old && entry.path() != but && (earlier || name.starts_with(".making-")) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The vmlinux in `image`, if it can be started as it is.
fn inside(image: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(image).ok()?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).ok()?;
    let (start, length) = payload(&header)?;
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut packed = Vec::new();
    file.take(length).read_to_end(&mut packed).ok()?;
    // A kernel in the middle of being written.
    if packed.len() as u64 != length {
        return None;
    }
    let elf = unpack::one(&packed[..], LIMIT_BYTES).ok()?;
    has_pvh_entry(&elf).then_some(elf)
}

/// Where in the file the payload is, and how long it is.
fn payload(header: &[u8; HEADER_BYTES]) -> Option<(u64, u64)> {
    let protocol = u16::from_le_bytes([header[PROTOCOL], header[PROTOCOL + 1]]);
    if header[0x202..0x206] != *b"HdrS" || protocol < WITH_PAYLOAD {
        return None;
    }
    let word = |at: usize| u64::from(u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    // For historical reasons 0 means 4.
    let sectors = match header[SETUP_SECTS] {
        0 => 4,
        sectors => u64::from(sectors),
    };
    Some(((sectors + 1) * 512 + word(PAYLOAD), word(PAYLOAD + 4)))
}

fn has_pvh_entry(elf: &[u8]) -> bool {
    let found = || -> object::Result<bool> {
        let header = FileHeader64::<Endianness>::parse(elf)?;
        let endian = header.endian()?;
        for segment in header.program_headers(endian, elf)?.iter().filter(|segment| segment.p_type(endian) == PT_NOTE) {
            let Some(mut notes) = segment.notes(endian, elf)? else { continue };
            while let Some(note) = notes.next()? {
                if note.name() == b"Xen" && note.n_type(endian) == PHYS32_ENTRY {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    };
    found().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest ELF file with one note of this type.
    fn elf(note: NoteType) -> Vec<u8> {
        let mut elf = vec![0; 64 + 56];
        elf[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        elf[16..20].copy_from_slice(&[2, 0, 62, 0]);
        elf[20] = 1;
        elf[32] = 64; // e_phoff
        elf[52..58].copy_from_slice(&[64, 0, 56, 0, 1, 0]);
        let notes: Vec<u8> = [4, 4, note.0].into_iter().flat_map(u32::to_le_bytes).chain(*b"Xen\0\x10\0\0\0").collect();
        elf[64] = 4; // PT_NOTE
        elf[72] = 64 + 56;
        elf[96] = notes.len() as u8;
        elf[104] = notes.len() as u8;
        elf[112] = 4;
        elf.extend(notes);
        elf
    }

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * 512];
        image[SETUP_SECTS] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[PROTOCOL..PROTOCOL + 2].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[PAYLOAD..PAYLOAD + 4].copy_from_slice(&100_u32.to_le_bytes());
        image[PAYLOAD + 4..PAYLOAD + 8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend([0x90; 100]);
        image.extend(payload);
        image.extend(b"what follows is not of it");
        image
    }

    /// As the kernel's build appends it, for packings that do not say themselves how much they unpack to.
    fn with_size(mut packed: Vec<u8>, size: usize) -> Vec<u8> {
        packed.extend((size as u32).to_le_bytes());
        packed
    }

    #[test]
    fn each_packing_gives_the_kernel_that_was_packed() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(place.path().join("cache"));
        let elf = elf(PHYS32_ENTRY);
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).expect("known options");
        xz.write_all(&elf).expect("a vector takes everything");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&elf).expect("a vector takes everything");
        let zstd = ruzstd::encoding::compress_to_vec(&elf[..], ruzstd::encoding::CompressionLevel::Fastest);
        let payloads = [elf.clone(), xz.finish().expect("packed"), gzip.finish().expect("packed"), zstd];
        for (number, packed) in payloads.into_iter().enumerate() {
            let file = place.path().join(format!("bzImage{number}"));
            fs::write(&file, image(&with_size(packed, elf.len()))).expect("written");
            let vmlinux = kept(&file, &format!("6.{number}"), &cache).expect("packed by one of ours");
            assert!(fs::read(&vmlinux).expect("there").starts_with(&elf), "{number}");
            assert_eq!(kept(&file, &format!("6.{number}"), &cache), Some(vmlinux));
        }
    }

    #[test]
    fn what_cannot_be_started_like_that_is_left_alone() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(place.path().join("cache"));
        let file = place.path().join("bzImage");
        let mut old = image(&elf(PHYS32_ENTRY));
        old[PROTOCOL] = 7;
        let short = image(&elf(PHYS32_ENTRY))[..1200].to_vec();
        for bytes in
            [image(&elf(NoteType(17))), image(b"\x02\x21\x4c\x18 lz4"), image(b""), image(b"\x7fELF"), old, short, Vec::new()]
        {
            fs::write(&file, bytes).expect("written");
            assert_eq!(kept(&file, "6.1", &cache), None);
        }
        assert!(!cache.dir().exists(), "nothing is kept of it");
    }

    #[test]
    fn what_an_earlier_build_left_goes_when_it_is_old() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let of = |name: &str| dir.path().join(name);
        for name in ["6.1-1-a", "6.1-2-b", "6.1-3-c", "6.1-rc1-4-d", ".making-x"] {
            let file = File::create(of(name)).expect("made");
            let age = if name == "6.1-2-b" { Duration::ZERO } else { SUPERSEDED + Duration::from_secs(1) };
            file.set_modified(std::time::SystemTime::now() - age).expect("ours");
        }
        sweep(dir.path(), "6.1", &of("6.1-3-c"));
        let left = ["6.1-1-a", "6.1-2-b", "6.1-3-c", "6.1-rc1-4-d", ".making-x"].map(|name| of(name).exists());
        assert_eq!(left, [false, true, true, true, false]);
    }
}
