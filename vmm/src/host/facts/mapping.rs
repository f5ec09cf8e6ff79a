//! A mapping that a probe tries things on, and takes with it when it goes.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// A readable and writable mapping of this process. Nobody else knows its address, so nobody else is hurt by what is tried.
pub(crate) struct Mapping {
    address: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    /// Private anonymous memory.
    pub(crate) fn anonymous(length: usize) -> Result<Self, Errno> {
        Self::new(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
    }

    /// Shared anonymous memory (shmem).
    pub(crate) fn shared(length: usize) -> Result<Self, Errno> {
        Self::new(length, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)
    }

    /// A file, shared, from its beginning.
    pub(crate) fn file(length: usize, file: BorrowedFd<'_>) -> Result<Self, Errno> {
        Self::new(length, libc::MAP_SHARED, file.as_raw_fd())
    }

    fn new(length: usize, flags: i32, fd: i32) -> Result<Self, Errno> {
        // SAFETY: without MAP_FIXED the kernel chooses a range that is free.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
        if address == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(Self { address, length }) }
    }

    /// Takes over a range the kernel has just returned.
    ///
    /// # Safety
    /// The range is mapped, readable, writable, and nothing else unmaps it.
    pub(crate) unsafe fn adopt(address: *mut libc::c_void, length: usize) -> Self {
        Self { address, length }
    }

    pub(crate) fn address(&self) -> *mut libc::c_void {
        self.address
    }

    /// The address `offset` bytes into the mapping, as `madvise` and friends want it.
    pub(crate) fn at(&self, offset: usize) -> *mut libc::c_void {
        debug_assert!(offset < self.length);
        self.address.cast::<u8>().wrapping_add(offset).cast()
    }

    /// Writes one byte, so that there is a page.
    pub(crate) fn touch(&self, offset: usize) {
        assert!(offset < self.length, "the probe stays in its own mapping");
        // SAFETY: inside the mapping, which is writable; volatile, or the write to memory nobody reads could vanish.
        unsafe { self.at(offset).cast::<u8>().write_volatile(1) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours; a failure would leave a few pages until the process ends.
        unsafe { libc::munmap(self.address, self.length) };
    }
}
