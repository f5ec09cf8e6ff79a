//! What a loader reads of an ELF file: its program headers and its dynamic section.

use object::elf::{DT_NEEDED, DT_NULL, DT_SONAME, DT_STRSZ, DT_STRTAB, EM_X86_64};
use object::endian::Endianness;
use object::read::elf::{Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _};

/// Offsets in `Elf64_Ehdr`: `e_shoff` (8 bytes), then `e_shnum` and `e_shstrndx` (2 each).
const SECTION_OFFSET: usize = 0x28;
const SECTION_COUNT: usize = 0x3c;
const HEADER_BYTES: usize = 0x40;

/// What one ELF file needs, and how much of it is ever loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// The loader, as the kernel looks for it.
    pub(super) interpreter: Option<String>,
    /// The libraries that it names.
    pub(super) needed: Vec<String>,
    /// What a library calls itself.
    pub(super) soname: Option<String>,
    /// Where the last byte lies that the kernel or the loader looks at.
    pub(super) loaded: usize,
}

impl Elf {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = |error: object::Error| error.to_string();
        let file = ElfFile64::<Endianness>::parse(bytes).map_err(text)?;
        let endian = file.endian();
        let header = file.elf_header();
        if header.e_machine(endian) != EM_X86_64 {
            return Err("it is for another machine".to_owned());
        }
        let segments = file.elf_program_headers();
        let table = header.e_phoff(endian) + u64::from(header.e_phentsize(endian)) * segments.len() as u64;
        let mut elf = Self { interpreter: None, needed: Vec::new(), soname: None, loaded: HEADER_BYTES.max(to_usize(table)?) };
        for segment in segments {
            let (offset, size) = segment.file_range(endian);
            let end = offset.checked_add(size).filter(|&end| end <= bytes.len() as u64).ok_or("it is cut off")?;
            elf.loaded = elf.loaded.max(to_usize(end)?);
            if let Some(path) = segment.interpreter(endian, bytes).map_err(text)? {
                elf.interpreter = Some(String::from_utf8_lossy(path).into_owned());
            }
            let Some(dynamic) = segment.dynamic(endian, bytes).map_err(text)? else { continue };
            let entries = || {
                let entries = dynamic.iter().map(|entry| (entry.tag(endian), entry.val(endian)));
                entries.take_while(|&(tag, _)| tag != DT_NULL)
            };
            let value = |wanted| entries().find(|&(tag, _)| tag == wanted).map(|(_, value)| value);
            let (Some(at), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else { continue };
            let strings = segments
                .iter()
                .find_map(|segment| segment.data_range(endian, bytes, at, size).ok().flatten())
                .ok_or("no strings")?;
            for (tag, value) in entries().filter(|&(tag, _)| tag == DT_NEEDED || tag == DT_SONAME) {
                let string = strings.get(to_usize(value)?..).ok_or("a name lies beyond the strings")?;
                let string = string.split(|&byte| byte == 0).next().unwrap_or_default();
                let string = String::from_utf8_lossy(string).into_owned();
                if tag == DT_NEEDED { elf.needed.push(string) } else { elf.soname = Some(string) }
            }
        }
        Ok(elf)
    }
}

fn to_usize(value: u64) -> Result<usize, String> {
    usize::try_from(value).map_err(|error| error.to_string())
}

/// Drops symbols, line tables and section headers: neither the kernel nor a loader reads them, and they are five sixths of a
/// release build. Linkers put them behind everything that is loaded, so cutting the file there changes nothing else.
pub(super) fn keep_what_is_loaded(bytes: &mut Vec<u8>, loaded: usize) {
    if loaded >= bytes.len() || loaded < HEADER_BYTES {
        return;
    }
    bytes.truncate(loaded);
    bytes[SECTION_OFFSET..SECTION_OFFSET + 8].fill(0);
    bytes[SECTION_COUNT..HEADER_BYTES].fill(0);
}
