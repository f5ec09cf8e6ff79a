//! The archive format of an initramfs: cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Written here and not with the `cpio` crate: it closes an entry that is shorter than its header says without an error, after
//! which the kernel reads the rest of the archive at the wrong place.

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const CHARACTER: u32 = 0o020_600;

/// An archive that grows.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    inodes: u32,
}

impl Archive {
    /// A directory; those above it come first.
    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), b"");
    }

    /// A file, executable: for the others it does no harm.
    pub(super) fn file(&mut self, path: &str, contents: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), contents);
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.entry(path, LINK, (0, 0), target.as_bytes());
    }

    /// A character device.
    pub(super) fn character(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER, (major, minor), b"");
    }

    /// The archive with its end mark. Another may follow it directly.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), b"");
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        // The caller has refused larger files; the format has 32 bits.
        let size = u32::try_from(contents.len()).expect("a module or a program of less than 4 GiB");
        let path = path.trim_start_matches('/');
        let name_size = u32::try_from(path.len() + 1).expect("a path");
        self.inodes += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check. No times, so
        // that the same kernel and program always give the same bytes.
        let fields = [self.inodes, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").into_bytes());
        }
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    /// Names (after the header) and contents end at a multiple of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// One entry, as the kernel reads it.
#[cfg(test)]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) device: (u32, u32),
    pub(super) contents: Vec<u8>,
}

/// Reads archives behind each other as init/initramfs.c does: headers at multiples of four, up to and beyond the end marks.
#[cfg(test)]
pub(super) fn read(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut at = 0;
    let take = |bytes: &mut &[u8], at: &mut usize, size: usize| {
        let (taken, rest) = bytes.split_at(size);
        *at += size;
        let padding = (at.next_multiple_of(4) - *at).min(rest.len());
        *at += padding;
        *bytes = &rest[padding..];
        taken.to_owned()
    };
    while !bytes.is_empty() {
        let header = String::from_utf8(bytes[..110].to_owned()).expect("ASCII");
        assert_eq!(&header[..6], "070701");
        let field = |n: usize| u32::from_str_radix(&header[6 + 8 * n..14 + 8 * n], 16).expect("hexadecimal");
        let name = take(&mut bytes, &mut at, 110 + field(11) as usize);
        let path = std::str::from_utf8(&name[110..]).expect("UTF-8").trim_end_matches('\0').to_owned();
        let contents = take(&mut bytes, &mut at, field(6) as usize);
        if path != "TRAILER!!!" {
            entries.push(Entry { path, mode: field(1), device: (field(9), field(10)), contents });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_also_from_two_archives() {
        let mut first = Archive::default();
        first.directory("/dev");
        first.character("/dev/console", 5, 1);
        let mut second = Archive::default();
        second.file("/init", b"program");
        second.link("/lib64", "lib");
        let mut bytes = first.finish();
        bytes.extend(second.finish());
        let entry =
            |path: &str, mode, device, contents: &[u8]| Entry { path: path.into(), mode, device, contents: contents.into() };
        let expected = [
            entry("dev", 0o040_755, (0, 0), b""),
            entry("dev/console", 0o020_600, (5, 1), b""),
            entry("init", 0o100_755, (0, 0), b"program"),
            entry("lib64", 0o120_777, (0, 0), b"lib"),
        ];
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn an_entry_has_the_bytes_of_the_format() {
        let mut archive = Archive::default();
        archive.character("dev/console", 5, 1);
        let header = "070701000000010000218000000000000000000000000100000000000000000000000000000000000000050000000100\
                      00000c00000000";
        assert!(archive.bytes.starts_with(format!("{header}dev/console\0").as_bytes()));
        assert_eq!(archive.bytes.len() % 4, 0);
    }
}
