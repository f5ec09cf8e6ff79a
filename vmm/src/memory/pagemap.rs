//! What the primary MMU maps: `/proc/self/pagemap` and `/proc/self/smaps`.

use nostale_notifier::{HvaRange, Pfn, addr::PAGE_SHIFT};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

/// `/proc/self/pagemap` (Documentation/admin-guide/mm/pagemap.rst).
#[derive(Debug)]
pub struct Pagemap {
    file: File,
}

/// What the primary MMU has for one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(u64);

impl Entry {
    /// Mapped now.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 >> 63 == 1
    }

    /// In a swap area, or on its way (a migration entry looks the same).
    #[must_use]
    pub const fn is_swapped(self) -> bool {
        self.0 >> 62 & 1 == 1
    }

    /// Written since soft-dirty bits were cleared.
    #[must_use]
    pub const fn is_soft_dirty(self) -> bool {
        self.0 >> 55 & 1 == 1
    }

    /// The physical page, if there is one; 0 without CAP_SYS_ADMIN.
    #[must_use]
    pub fn pfn(self) -> Option<Pfn> {
        self.is_present().then(|| Pfn::new(self.0 & ((1 << 55) - 1)))
    }
}

/// How much of a range is mapped by huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugePages {
    /// Bytes mapped by PMDs, of whatever backing.
    pub bytes: u64,
}

impl Pagemap {
    /// Opens it.
    ///
    /// # Errors
    /// When the kernel has none.
    pub fn open() -> io::Result<Self> {
        Ok(Self { file: File::open("/proc/self/pagemap")? })
    }

    /// The physical page behind each page of `range`, `None` where none is present. Without CAP_SYS_ADMIN the kernel shows
    /// every pfn as 0, and so does this.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pfns(&self, range: HvaRange) -> io::Result<Vec<Option<Pfn>>> {
        Ok(self.entries(range)?.into_iter().map(Entry::pfn).collect())
    }

    /// What there is for each page of `range`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn entries(&self, range: HvaRange) -> io::Result<Vec<Entry>> {
        let mut bytes = vec![0; range.pages() as usize * 8];
        self.file.read_exact_at(&mut bytes, (range.start().get() >> PAGE_SHIFT) * 8)?;
        let entry = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |entry, &byte| entry << 8 | u64::from(byte));
        Ok(bytes.chunks_exact(8).map(entry).map(Entry).collect())
    }

    /// How much of `range` is mapped by PMDs.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn huge(range: HvaRange) -> io::Result<HugePages> {
        Ok(HugePages { bytes: huge_in(&fs::read_to_string("/proc/self/smaps")?, range) })
    }
}

fn huge_in(smaps: &str, range: HvaRange) -> u64 {
    let mut inside = false;
    let mut bytes = 0;
    for line in smaps.lines() {
        let Some((first, rest)) = line.split_once([' ', ':']) else { continue };
        if let Some((start, end)) = first.split_once('-') {
            let hex = |text| u64::from_str_radix(text, 16);
            inside =
                matches!((hex(start), hex(end)), (Ok(start), Ok(end)) if start < range.end().get() && range.start().get() < end);
        } else if inside && matches!(first, "AnonHugePages" | "ShmemPmdMapped" | "FilePmdMapped") {
            let kib = rest.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0);
            bytes += kib << 10;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use nostale_notifier::Hva;

    #[test]
    fn huge_pages_are_counted_where_they_belong() {
        let smaps = "1000000-1400000 rw-p 00000000 00:00 0 \nRss: 8 kB\nAnonHugePages:      2048 kB\n\
                     2000000-2200000 rw-s 00000000 00:01 7 /memfd:x (deleted)\nShmemPmdMapped:     2048 kB\nFilePmdMapped: x kB\n";
        let range = |start, pages| HvaRange::new(Hva::new(start), pages).expect("aligned");
        assert_eq!(huge_in(smaps, range(0x100_0000, 1024)), 2 << 20);
        assert_eq!(huge_in(smaps, range(0x100_0000, 0x1200)), 4 << 20);
        assert_eq!(huge_in(smaps, range(0x300_0000, 1)), 0);
    }

    #[test]
    fn our_own_pages_are_present_once_touched() {
        let byte = Box::new([1u8; 8192]);
        let page = HvaRange::new(Hva::new(byte.as_ptr() as u64 & !0xfff), 1).expect("aligned");
        let pfns = Pagemap::open().and_then(|pagemap| pagemap.pfns(page)).expect("every Linux has a pagemap");
        assert!(pfns[0].is_some());
    }
}
