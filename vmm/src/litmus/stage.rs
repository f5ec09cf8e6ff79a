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

/// A mapping of a file.
#[derive(Debug)]
struct Mapping {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: memory that is shared with a guest and with other threads, and only accessed atomically.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: &File, bytes: usize) -> io::Result<Self> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping, of which nobody else knows.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, prot, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self { start: start.cast(), bytes }) }
    }

    fn range(&self, offset: usize, bytes: usize) -> Option<HvaRange> {
        HvaRange::new(Hva::new(self.start as u64).checked_add(offset as u64)?, bytes as u64 / PAGE_SIZE)
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "word at {offset} of {}", self.bytes);
        // SAFETY: inside the mapping, aligned, and only accessed atomically. That another page may be there at any time is the point.
        unsafe { &*self.start.wrapping_add(offset).cast() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own; the VM that has it as a memslot is gone before it.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}

/// An area is what the instances of a round have of one page or one address.
#[derive(Debug)]
pub(super) struct Stage {
    file: File,
    /// An area for each address, as host and guest use it.
    home: Mapping,
    /// An area for each page, as nobody remaps it.
    witness: Mapping,
    board: Mapping,
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
        let witness = Mapping::new(&file, area * pages.max(1))?;
        let home = Mapping::new(&file, area * addresses.max(1))?;
        let board = Mapping::new(&memory(c"nostale-litmus-board", board)?, board)?;
        Ok(Self { file, home, witness, board, area })
    }

    /// The area of an address, that of a page, and the board: to become memslots.
    pub(super) fn address_range(&self, number: usize) -> Option<HvaRange> {
        self.home.range(number * self.area, self.area)
    }

    pub(super) fn page_range(&self, number: usize) -> Option<HvaRange> {
        self.witness.range(number * self.area, self.area)
    }

    pub(super) fn board_range(&self) -> Option<HvaRange> {
        self.board.range(0, self.board.bytes)
    }

    /// Where the host finds an address, a page, and the board.
    pub(super) fn address(&self, number: usize) -> u64 {
        self.home.start as u64 + (number * self.area) as u64
    }

    pub(super) fn page(&self, number: usize) -> u64 {
        self.witness.start as u64 + (number * self.area) as u64
    }

    pub(super) fn board(&self) -> u64 {
        self.board.start as u64
    }

    /// A page appears at an address, so many bytes of the area. One system call, for all instances of a round: what is there goes, and a
    /// new mapping takes its place.
    pub(super) fn remap(&self, address: usize, page: usize, bytes: usize) -> io::Result<()> {
        assert!(bytes <= self.area, "{bytes} bytes of an area of {}", self.area);
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
        let at = self.home.start.wrapping_add(address * self.area).cast();
        // SAFETY: the area is inside this one's own mapping, which it replaces a part of; nobody has a reference to its memory, whose
        // users are machine code and guests.
        let mapped = unsafe { libc::mmap(at, bytes, prot, flags, self.file.as_raw_fd(), (page * self.area) as libc::off_t) };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Writes a word of a page, through the mapping that stays.
    pub(super) fn set_page(&self, page: usize, offset: usize, value: i32) {
        self.witness.word(page * self.area + offset).store(value as u32, SeqCst);
    }

    /// Reads a word of a page.
    pub(super) fn page_word(&self, page: usize, offset: usize) -> i32 {
        self.witness.word(page * self.area + offset).load(SeqCst) as i32
    }

    /// A word of the board's line number `line`.
    pub(super) fn word(&self, line: usize, word: usize) -> &AtomicU32 {
        self.board.word(line * LINE + word * 4)
    }

    /// Copies bytes to a place on the board that nobody uses yet.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.board.bytes, "{} bytes at {offset}", bytes.len());
        // SAFETY: inside the mapping; the caller says that nobody uses it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.board.start.wrapping_add(offset), bytes.len()) };
    }
}
