//! The memory of a test: the pages that are remapped, and the board that is not.

use super::code::{LINE, MOST};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nostale_notifier::{Hva, HvaRange, addr::PAGE_SIZE};
use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};
use vm_memory::{FileOffset, MmapRegion};

/// A file, mapped as often as is asked for.
fn map(file: &File, bytes: usize) -> io::Result<MmapRegion> {
    MmapRegion::from_file(FileOffset::new(file.try_clone()?, 0), bytes).map_err(io::Error::other)
}

/// A part of a mapping, to become a memslot.
fn range(of: &MmapRegion, offset: usize, bytes: usize) -> Option<HvaRange> {
    HvaRange::new(Hva::new(of.as_ptr() as u64).checked_add(offset as u64)?, bytes as u64 / PAGE_SIZE)
}

fn word(of: &MmapRegion, offset: usize) -> &AtomicU32 {
    assert!(offset.is_multiple_of(4) && offset + 4 <= of.size(), "word at {offset} of {}", of.size());
    // SAFETY: inside the mapping, aligned, and only accessed atomically. That another page may be there at any time is the point.
    unsafe { &*of.as_ptr().wrapping_add(offset).cast() }
}

/// An area is what the instances of a round have of one page or one address.
#[derive(Debug)]
pub(super) struct Stage {
    file: File,
    /// An area for each address, as host and guest use it.
    home: MmapRegion,
    /// An area for each page, as nobody remaps it.
    witness: MmapRegion,
    board: MmapRegion,
    area: usize,
}

fn memory(name: &std::ffi::CStr, bytes: usize) -> io::Result<File> {
    let file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    file.set_len(bytes as u64)?;
    Ok(file)
}

impl Stage {
    /// Room for so many addresses and pages, each of an area of so many bytes (whole pages), and a board.
    pub(super) fn new(addresses: usize, pages: usize, area: usize, board: usize) -> io::Result<Self> {
        debug_assert!(addresses <= MOST && pages <= MOST, "{addresses} addresses, {pages} pages");
        let file = memory(c"nostale-litmus-pages", area * addresses.max(pages).max(1))?;
        let witness = map(&file, area * pages.max(1))?;
        let home = map(&file, area * addresses.max(1))?;
        let board = map(&memory(c"nostale-litmus-board", board)?, board)?;
        Ok(Self { file, home, witness, board, area })
    }

    /// The area of an address, that of a page, and the board: to become memslots.
    pub(super) fn address_range(&self, number: usize) -> Option<HvaRange> {
        range(&self.home, number * self.area, self.area)
    }

    pub(super) fn page_range(&self, number: usize) -> Option<HvaRange> {
        range(&self.witness, number * self.area, self.area)
    }

    pub(super) fn board_range(&self) -> Option<HvaRange> {
        range(&self.board, 0, self.board.size())
    }

    /// Where the host finds an address, a page, and the board.
    pub(super) fn address(&self, number: usize) -> u64 {
        self.home.as_ptr() as u64 + (number * self.area) as u64
    }

    pub(super) fn page(&self, number: usize) -> u64 {
        self.witness.as_ptr() as u64 + (number * self.area) as u64
    }

    pub(super) fn board(&self) -> u64 {
        self.board.as_ptr() as u64
    }

    /// A page appears at an address, so many bytes of the area. One system call, for all instances of a round: what is there goes, and a
    /// new mapping takes its place.
    pub(super) fn remap(&self, address: usize, page: usize, bytes: usize) -> io::Result<()> {
        assert!(bytes <= self.area, "{bytes} bytes of an area of {}", self.area);
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
        let at = self.home.as_ptr().wrapping_add(address * self.area).cast();
        // SAFETY: the area is inside this one's own mapping, which it replaces a part of; nobody has a reference to its memory, whose
        // users are machine code and guests.
        let mapped = unsafe { libc::mmap(at, bytes, prot, flags, self.file.as_raw_fd(), (page * self.area) as libc::off_t) };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Writes a word of a page, through the mapping that stays.
    pub(super) fn set_page(&self, page: usize, offset: usize, value: i32) {
        word(&self.witness, page * self.area + offset).store(value as u32, SeqCst);
    }

    /// Reads a word of a page.
    pub(super) fn page_word(&self, page: usize, offset: usize) -> i32 {
        word(&self.witness, page * self.area + offset).load(SeqCst) as i32
    }

    /// Word `number` of line `line` of the board.
    pub(super) fn word(&self, line: usize, number: usize) -> &AtomicU32 {
        word(&self.board, line * LINE + number * 4)
    }

    /// Copies bytes to a place on the board that nobody uses yet.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.board.size(), "{} bytes at {offset}", bytes.len());
        // SAFETY: inside the mapping; the caller says that nobody uses it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.board.as_ptr().wrapping_add(offset), bytes.len()) };
    }
}
