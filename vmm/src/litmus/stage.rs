//! The memory of a test: the pages that operations are about, and the board that none touches.

use super::code::MOST;
use crate::ops::{OperationError, huge, syscall};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nostale_notifier::{Hva, HvaRange, addr::PAGE_SIZE};
use std::{
    fs::File,
    io,
    marker::PhantomData,
    os::fd::AsRawFd,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use vm_memory::{FileOffset, MmapRegion};

/// An area is what the instances of a round have of one page or one address: one huge page.
pub(super) const AREA: usize = 2 << 20;

/// Part of the address space that begins at a multiple of [`AREA`], in which files are mapped.
#[derive(Debug)]
struct Reserve {
    region: MmapRegion,
    start: usize,
}

impl Reserve {
    fn new(areas: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let region = MmapRegion::build(None, (areas.max(1) + 1) * AREA, libc::PROT_NONE, flags).map_err(io::Error::other)?;
        let start = (region.as_ptr() as usize).next_multiple_of(AREA) - region.as_ptr() as usize;
        Ok(Self { region, start })
    }

    fn at(&self, offset: usize) -> u64 {
        self.region.as_ptr().wrapping_add(self.start + offset) as u64
    }

    fn areas(&self, first: usize, count: usize) -> io::Result<HvaRange> {
        let range = HvaRange::new(Hva::new(self.at(first * AREA)), (count * AREA) as u64 / PAGE_SIZE);
        range.ok_or_else(|| io::Error::other("memory that begins within a page"))
    }

    fn words(&self, offset: usize, step: usize, count: usize) -> Words<'_> {
        Words::new(&self.region, self.start + offset, step, count)
    }
}

/// The same word of every instance: of a page, or of the board.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    first: *const AtomicU32,
    /// Words from one to the next.
    step: usize,
    count: usize,
    of: PhantomData<&'a MmapRegion>,
}

impl<'a> Words<'a> {
    /// `count` words of a mapping, the first at `offset`, `step` bytes from each to the next.
    fn new(of: &'a MmapRegion, offset: usize, step: usize, count: usize) -> Self {
        let end = offset + count.saturating_sub(1) * step + 4;
        assert!(offset.is_multiple_of(4) && step.is_multiple_of(4) && end <= of.size(), "words to {end} of {}", of.size());
        Self { first: of.as_ptr().wrapping_add(offset).cast(), step: step / 4, count, of: PhantomData }
    }

    /// That of an instance.
    pub(super) fn of(&self, instance: usize) -> &'a AtomicU32 {
        assert!(instance < self.count, "instance {instance} of {}", self.count);
        // SAFETY: inside the mapping, aligned, and only accessed atomically. That another page may be there at any time is the point.
        unsafe { &*self.first.add(instance * self.step) }
    }
}

/// The memory of a test. Each page is there twice: of 4 KiB pages, and as a huge page where the kernel gives any.
#[derive(Debug)]
pub(super) struct Stage {
    file: File,
    /// An area for each address, as host and guest use it.
    home: Reserve,
    /// An area for each page of the file, as nobody remaps it.
    witness: Reserve,
    board: MmapRegion,
    /// The places of the addresses and of the pages, each of an area.
    addresses: Vec<HvaRange>,
    smalls: Vec<HvaRange>,
    pages: usize,
    /// Bytes of a line of the board.
    line: usize,
    /// Whether there are huge pages.
    huge: bool,
}

fn memory(name: &std::ffi::CStr, bytes: usize) -> io::Result<File> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.set_len(bytes as u64)?;
    Ok(file)
}

/// Whole pages that hold so many bytes.
pub(super) fn whole_pages(bytes: usize) -> usize {
    bytes.next_multiple_of(PAGE_SIZE as usize)
}

impl Stage {
    /// Room for so many addresses and pages, and for a board of so many bytes, in lines of so many. Nothing is mapped at the addresses.
    pub(super) fn new(addresses: usize, pages: usize, board: usize, line: usize) -> io::Result<Self> {
        debug_assert!(addresses <= MOST && pages <= MOST, "{addresses} addresses, {pages} pages");
        let pages = pages.max(1);
        let file = memory(c"nostale-litmus-pages", 2 * pages * AREA)?;
        let board = MmapRegion::from_file(FileOffset::new(memory(c"nostale-litmus-board", board)?, 0), board);
        let (home, witness) = (Reserve::new(addresses)?, Reserve::new(2 * pages)?);
        let (all, small) = (witness.areas(0, 2 * pages)?, witness.areas(0, pages)?);
        syscall::map_file(all, file.as_raw_fd(), 0, libc::PROT_READ | libc::PROT_WRITE).map_err(io::Error::other)?;
        // A kernel without huge pages refuses, and needs no telling.
        let _ = syscall::advise("madvise(NOHUGEPAGE)", small, libc::MADV_NOHUGEPAGE);
        let mut huge = true;
        for page in pages..2 * pages {
            witness.words(page * AREA, 4, 1).of(0).store(0, Relaxed);
            huge &= huge::collapse(witness.areas(page, 1)?).unwrap_or(false);
        }
        Ok(Self {
            addresses: (0..addresses).map(|number| home.areas(number, 1)).collect::<io::Result<_>>()?,
            smalls: (0..pages).map(|number| witness.areas(number, 1)).collect::<io::Result<_>>()?,
            board: board.map_err(io::Error::other)?,
            file,
            home,
            witness,
            pages,
            line,
            huge,
        })
    }

    /// Whether the kernel has given huge pages.
    pub(super) const fn has_huge(&self) -> bool {
        self.huge
    }

    /// Where in the file, and in the witness, a page is.
    const fn offset(&self, page: usize, huge: bool) -> usize {
        (page + if huge { self.pages } else { 0 }) * AREA
    }

    /// The area of an address, that of a page, and the board: to become memslots.
    pub(super) fn address_range(&self, number: usize) -> HvaRange {
        self.addresses[number]
    }

    pub(super) fn page_range(&self, number: usize) -> HvaRange {
        self.smalls[number]
    }

    pub(super) fn board_range(&self) -> Option<HvaRange> {
        HvaRange::new(Hva::new(self.board.as_ptr() as u64), self.board.size() as u64 / PAGE_SIZE)
    }

    /// Where the host finds an address, a page, and the board.
    pub(super) fn address(&self, number: usize) -> u64 {
        self.home.at(number * AREA)
    }

    pub(super) fn page(&self, number: usize, huge: bool) -> u64 {
        self.witness.at(self.offset(number, huge))
    }

    pub(super) fn board(&self) -> u64 {
        self.board.as_ptr() as u64
    }

    /// A page appears at an address, so many bytes of the area (whole pages). One system call, for all instances of a round: what is there
    /// goes, and a new mapping takes its place.
    pub(super) fn remap(&self, address: usize, page: usize, huge: bool, bytes: usize) -> Result<(), OperationError> {
        let range = self.part(address, bytes);
        syscall::map_file(range, self.file.as_raw_fd(), self.offset(page, huge) as u64, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Takes write access to an address away, or gives it back.
    pub(super) fn protect(&self, address: usize, bytes: usize, writable: bool) -> Result<(), OperationError> {
        let write = if writable { libc::PROT_WRITE } else { 0 };
        syscall::protect(self.part(address, bytes), libc::PROT_READ | write)
    }

    /// The kernel copies the pages at an address into a huge page, and maps that. False if it could not just now.
    pub(super) fn collapse(&self, address: usize) -> Result<bool, OperationError> {
        huge::collapse(self.addresses[address])
    }

    /// Pages of 4 KiB again, with nothing in them, where there may be a huge one.
    pub(super) fn renew(&self, page: usize) -> Result<(), OperationError> {
        syscall::punch_hole(self.smalls[page], self.file.as_raw_fd(), self.offset(page, false) as u64)
    }

    /// The pages at an address go to other nodes. False if none went.
    pub(super) fn move_between(&self, address: usize, bytes: usize, nodes: &[i32]) -> Result<bool, OperationError> {
        let range = self.part(address, bytes);
        let failed = |errno| OperationError::Call { call: "move_pages".into(), range, errno };
        let pages: Vec<Hva> = (0..range.pages()).filter_map(|page| range.part(page, 1)).map(|page| page.start()).collect();
        let mut status = vec![0; pages.len()];
        syscall::move_pages(&pages, None, false, &mut status).map_err(failed)?;
        let next = |node: &i32| {
            let at = nodes.iter().position(|known| known == node).map_or(0, |at| at + 1);
            nodes.get(at % nodes.len().max(1)).copied().unwrap_or(0)
        };
        let targets: Vec<i32> = status.iter().map(next).collect();
        match syscall::move_pages(&pages, Some(&targets), true, &mut status) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => Ok(status.iter().zip(&targets).any(|(status, target)| status == target)),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// The beginning of an address's area.
    fn part(&self, address: usize, bytes: usize) -> HvaRange {
        let whole = self.addresses[address];
        whole.part(0, bytes as u64 / PAGE_SIZE).unwrap_or(whole)
    }

    /// The words of so many instances in a page, `stride` bytes apart, through the mapping that stays. Rounds begin and end at a barrier,
    /// which orders what is done in between.
    pub(super) fn page_words(&self, page: usize, huge: bool, stride: usize, count: usize) -> Words<'_> {
        self.witness.words(self.offset(page, huge), stride, count)
    }

    /// Word `number` of so many lines of the board, from line `first` on.
    pub(super) fn board_words(&self, first: usize, number: usize, count: usize) -> Words<'_> {
        Words::new(&self.board, first * self.line + number * 4, self.line, count)
    }

    /// Copies bytes to a place on the board that nobody uses yet.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.board.size(), "{} bytes at {offset}", bytes.len());
        // SAFETY: inside the mapping; the caller says that nobody uses it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.board.as_ptr().wrapping_add(offset), bytes.len()) };
    }
}
