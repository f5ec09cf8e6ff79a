//! What a kernel module says of itself: the `.modinfo` section of its ELF file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use object::endian::Endianness;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _};

use super::error::{KernelError, io_at};
use super::unpack;

/// The largest module of a debug build (amdgpu) has some 500 MB; kvm.ko of one has 100 MB.
const LIMIT_BYTES: u64 = 256 << 20;

/// The lines of `.modinfo` that matter for loading.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Modinfo {
    /// `depends=`: must be loaded before.
    pub(super) depends: Vec<String>,
    /// `softdep=`, before and after alike: better loaded, and no error if missing.
    pub(super) soft: Vec<String>,
    /// The release it was built for.
    pub(super) built_for: Option<String>,
}

/// The module in `path` as the kernel takes it: unpacked.
pub(super) fn load(path: &Path) -> Result<Vec<u8>, KernelError> {
    let file = File::open(path).map_err(io_at("open", path))?;
    unpack::all(BufReader::new(file), LIMIT_BYTES).map_err(io_at("unpack", path))
}

/// Reads the `.modinfo` of the unpacked module `elf`.
pub(super) fn read(elf: &[u8]) -> Result<Modinfo, String> {
    let file = ElfFile64::<Endianness>::parse(elf).map_err(|error| error.to_string())?;
    let section = file.section_by_name(".modinfo").ok_or("it has no .modinfo")?;
    let data = section.data().map_err(|error| error.to_string())?;
    let mut info = Modinfo::default();
    for line in data.split(|&byte| byte == 0) {
        let Some((key, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once('=')) else { continue };
        match key {
            "depends" => info.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(normal)),
            "softdep" => info.soft.extend(value.split_whitespace().filter(|word| !word.ends_with(':')).map(normal)),
            "vermagic" => info.built_for = value.split(' ').next().map(str::to_owned),
            _ => {}
        }
    }
    Ok(info)
}

/// One spelling of a module's name: the files have dashes where the kernel has underscores.
pub(super) fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// The normalised name of the module in a file of this name, packed or not.
pub(super) fn name_of(file: &str) -> Option<String> {
    let stem = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().find_map(|end| file.strip_suffix(end))?;
    Some(normal(stem)).filter(|name| !name.is_empty())
}

/// A module with this `.modinfo`, for the tests.
#[cfg(test)]
pub(super) fn fake(lines: &[&str]) -> Vec<u8> {
    use object::write::{Object, StandardSegment};
    use object::{Architecture, BinaryFormat, SectionKind};

    let mut elf = Object::new(BinaryFormat::Elf, Architecture::X86_64, object::Endianness::Little);
    let segment = elf.segment_name(StandardSegment::Data).to_vec();
    let section = elf.add_section(segment, b".modinfo".to_vec(), SectionKind::ReadOnlyData);
    elf.append_section_data(section, format!("{}\0", lines.join("\0")).as_bytes(), 1);
    elf.write().expect("a small object")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modinfo_is_read_and_names_have_one_spelling() {
        let elf = fake(&[
            "license=GPL",
            "depends=kvm,rng-core",
            "softdep=pre: lzo-rle post: zstd",
            "vermagic=6.1.0-50-amd64 SMP preempt",
        ]);
        let info = read(&elf).expect("a module");
        assert_eq!(info.depends, ["kvm", "rng_core"]);
        assert_eq!(info.soft, ["lzo_rle", "zstd"]);
        assert_eq!(info.built_for.as_deref(), Some("6.1.0-50-amd64"));
        assert_eq!(read(&fake(&["depends="])).expect("a module"), Modinfo::default());
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(read(b"").is_err() && read(b"\x7fELF").is_err() && read(&[0; 4096]).is_err());
        let module = fake(&["depends=kvm"]);
        for cut in (0..module.len()).step_by(7) {
            let _ = read(&module[..cut]);
        }
        assert_eq!(name_of("kvm-amd.ko.xz").as_deref(), Some("kvm_amd"));
        assert_eq!((name_of("kvm-amd.ko.bz2"), name_of(".ko"), name_of("Kconfig")), (None, None, None));
    }
}
