//! What the primary MMU maps: `/proc/self/pagemap` and `/proc/self/smaps`.

use linux_raw_sys::general::{PAGE_IS_WRITTEN, PM_SCAN_CHECK_WPASYNC, PM_SCAN_WP_MATCHING, page_region, pm_scan_arg};
use nostale_notifier::{
    Hva, HvaRange, Pfn,
    addr::{PAGE_SHIFT, PAGE_SIZE},
};
use std::{
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
};

/// `/proc/self/pagemap` (Documentation/admin-guide/mm/pagemap.rst).
#[derive(Debug)]
pub struct Pagemap {
    file: File,
}

/// What the primary MMU has for one page; by default, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry(u64);

impl Entry {
    /// Mapped now.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 >> 63 == 1
    }

    /// Nothing is mapped, nor swapped out, nor on its way from one page to another.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 >> 62 == 0
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
    /// Bytes mapped by PMDs, of whatever backing; or, of smaller folios, bytes that are in such.
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

    /// How much of the beginning of `range` is made of folios of more than one page.
    ///
    /// # Errors
    /// When the files cannot be read, which takes CAP_SYS_ADMIN.
    pub fn folios(range: HvaRange) -> io::Result<HugePages> {
        /// `KPF_COMPOUND_HEAD` and `KPF_COMPOUND_TAIL` (include/uapi/linux/kernel-page-flags.h).
        const COMPOUND: u64 = 1 << 15 | 1 << 16;
        /// Each page takes a system call of its own.
        const MOST: u64 = 1024;
        let flags = File::open("/proc/kpageflags")?;
        let part = range.part(0, range.pages().min(MOST)).unwrap_or(range);
        let mut bytes = 0;
        for pfn in Self::open()?.pfns(part)?.into_iter().flatten() {
            let mut word = [0; 8];
            flags.read_exact_at(&mut word, pfn.get() * 8)?;
            bytes += if u64::from_ne_bytes(word) & COMPOUND == 0 { 0 } else { PAGE_SIZE };
        }
        Ok(HugePages { bytes })
    }
}

/// `/proc/self/pagemap` as a log of writes to memory under asynchronous write protection (6.7).
#[derive(Debug)]
pub struct PagemapScan(File);

// _IOWR('f', 16, struct pm_scan_arg)
nix::ioctl_readwrite!(
    /// Walks a range.
    pagemap_scan,
    b'f',
    16,
    pm_scan_arg
);

impl PagemapScan {
    /// Opens it.
    ///
    /// # Errors
    /// When the kernel has none.
    pub fn open() -> io::Result<Self> {
        Ok(Self(File::open("/proc/self/pagemap")?))
    }

    /// The parts of `range` that were written since the last scan; they are write-protected again.
    ///
    /// # Errors
    /// EPERM where a part of it is not under such protection.
    pub fn written(&self, range: HvaRange) -> io::Result<Vec<HvaRange>> {
        let mut found = vec![page_region { start: 0, end: 0, categories: 0 }; range.pages() as usize];
        let mut scan = pm_scan_arg {
            size: size_of::<pm_scan_arg>() as u64,
            flags: u64::from(PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC),
            start: range.start().get(),
            end: range.end().get(),
            walk_end: 0,
            vec: found.as_mut_ptr() as u64,
            vec_len: found.len() as u64,
            max_pages: 0,
            category_inverted: 0,
            category_mask: u64::from(PAGE_IS_WRITTEN),
            category_anyof_mask: 0,
            return_mask: u64::from(PAGE_IS_WRITTEN),
        };
        // SAFETY: the kernel reads and writes `scan`, and as much of `found` as that says.
        let count = unsafe { pagemap_scan(self.0.as_raw_fd(), &raw mut scan) }?;
        found.truncate(usize::try_from(count).unwrap_or(0));
        let region = |region: &page_region| HvaRange::new(Hva::new(region.start), (region.end - region.start) >> PAGE_SHIFT);
        Ok(found.iter().filter_map(region).collect())
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
    fn a_scan_finds_what_was_written_since_the_last_one_and_nothing_else() {
        use crate::memory::{
            Arena, Backing,
            userfault::{Features, Modes, Userfault},
        };
        let Ok(uffd) = Userfault::open(Features::WRITE_PROTECT | Features::WRITE_PROTECT_ASYNC) else { return };
        let arena = Arena::new(Backing::ANON, 16, std::path::Path::new("/")).expect("memory");
        let scan = PagemapScan::open().expect("every Linux has a pagemap");
        assert!(scan.written(arena.home()).is_err(), "not under asynchronous write protection");
        uffd.register(arena.home(), Modes::WRITE_PROTECT).expect("any memory");
        scan.written(arena.home()).expect("registered");
        for page in [2, 3, 9] {
            arena.store_word(arena.hva(page), 0, 1).expect("mapped");
        }
        let parts = [(2, 2), (9, 1)].map(|(first, pages)| arena.home().part(first, pages).expect("inside"));
        assert_eq!(scan.written(arena.home()).expect("registered"), parts);
        assert_eq!(scan.written(arena.home()).expect("registered"), []);
    }

    #[test]
    fn our_own_pages_are_present_once_touched() {
        let byte = Box::new([1u8; 8192]);
        let page = HvaRange::new(Hva::new(byte.as_ptr() as u64 & !0xfff), 1).expect("aligned");
        let pfns = Pagemap::open().and_then(|pagemap| pagemap.pfns(page)).expect("every Linux has a pagemap");
        assert!(pfns[0].is_some());
    }
}
