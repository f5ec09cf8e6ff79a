//! Memory that machine code runs in.

use std::{io, ptr::NonNull};

/// Machine code, where the processor can run it.
#[derive(Debug)]
pub struct Exec {
    start: NonNull<u8>,
    bytes: usize,
}

impl Exec {
    /// Puts code into memory of its own; `place` is told where it will be, and gives its bytes for there.
    ///
    /// # Errors
    /// What the kernel says, where there is no memory, or code may not be made at run time.
    pub fn new(bytes: usize, place: impl FnOnce(u64) -> Vec<u8>) -> io::Result<Self> {
        // SAFETY: a new mapping, of which nobody else knows.
        let start = unsafe {
            let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            libc::mmap(std::ptr::null_mut(), bytes, prot, flags, -1, 0)
        };
        let Some(start) = NonNull::new(start.cast::<u8>()).filter(|_| start != libc::MAP_FAILED) else {
            return Err(io::Error::last_os_error());
        };
        let this = Self { start, bytes };
        let code = place(start.as_ptr() as u64);
        let count = code.len().min(bytes);
        // SAFETY: the mapping is writable, has `bytes` bytes, and is nobody else's yet; it stays mapped as long as `this` does.
        let protected = unsafe {
            std::ptr::copy_nonoverlapping(code.as_ptr(), start.as_ptr(), count);
            libc::mprotect(start.as_ptr().cast(), bytes, libc::PROT_READ | libc::PROT_EXEC)
        };
        if protected == 0 { Ok(this) } else { Err(io::Error::last_os_error()) }
    }

    /// Where the code begins.
    #[must_use]
    pub fn start(&self) -> *const u8 {
        self.start.as_ptr()
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and nobody runs in it any more: whoever does holds a reference.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

// SAFETY: the memory is read-only once it is made, and belongs to no thread.
unsafe impl Send for Exec {}
// SAFETY: as above.
unsafe impl Sync for Exec {}
