//! The system calls that operations are made of, with errors that say which call failed, where, and with what.

use crate::{
    host::facts::Need,
    machine::{SlotError, Stuck},
    memory::userfault::UserfaultError,
    migration::MigrationError,
};
use nix::errno::Errno;
use nostale_notifier::{Hva, HvaRange, addr::PAGE_SIZE};
use std::{borrow::Cow, ptr};
use thiserror::Error;

/// A host operation failed for a reason other than what it is meant to provoke.
#[derive(Debug, Error)]
pub enum OperationError {
    /// A system call was refused.
    #[error("{call} on {range}: {errno}")]
    Call {
        /// Which.
        call: Cow<'static, str>,
        /// Where.
        range: HvaRange,
        /// How.
        errno: Errno,
    },
    /// A file that the operation works through.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// Memslots that KVM does not change.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// An ioctl of the VM was refused.
    #[error("{call}: {errno}")]
    Kvm {
        /// Which.
        call: &'static str,
        /// How.
        errno: Errno,
    },
    /// An operation of the VM itself, where there is none.
    #[error("there is no VM to do it to")]
    NoVm,
    /// vCPUs that did not do as they were told.
    #[error(transparent)]
    Stuck(#[from] Stuck),
    /// A userfaultfd, or a request to it.
    #[error(transparent)]
    Userfault(#[from] UserfaultError),
    /// A request to the kernel that did not end though it was interrupted.
    #[error("a write to {file} does not end, though it was interrupted: {told}")]
    Unresponsive {
        /// What was written to.
        file: &'static str,
        /// How it was waited for.
        told: String,
    },
    /// The thread that served faults has ended before the operation.
    #[error("the thread that serves faults has ended without being told to")]
    HandlerDied,
    /// Something is missing that could not be known before.
    #[error(transparent)]
    Lacking(#[from] Need),
    /// A migration failed, and with it the guest was lost, or the source did not go on.
    #[error("migration: {0}")]
    Migration(#[from] MigrationError),
    /// An entry of the catalogue has no maker.
    #[error("the operation has no maker")]
    Unmade,
    /// Pages of the arena could not be reached although no operation had them.
    #[error("{what}: page at {at} is not there")]
    Lost {
        /// In the course of what.
        what: &'static str,
        /// Where.
        at: Hva,
    },
}

impl OperationError {
    /// Whether somebody did not come back: the kernel's doing, not a refusal.
    #[must_use]
    pub const fn is_hang(&self) -> bool {
        matches!(
            self,
            Self::Call { errno: Errno::ETIMEDOUT, .. }
                | Self::Kvm { errno: Errno::ETIMEDOUT, .. }
                | Self::Stuck(_)
                | Self::Unresponsive { .. }
        )
    }

    /// What an error of `what`, a file that the operation works through, becomes.
    pub(super) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

fn check(call: &'static str, range: HvaRange, result: i64) -> Result<(), OperationError> {
    if result == -1 { Err(OperationError::Call { call: call.into(), range, errno: Errno::last() }) } else { Ok(()) }
}

fn raw(at: Hva) -> *mut libc::c_void {
    at.get() as *mut libc::c_void
}

// All of these change mappings of arena pages only: ranges come from claims, or lie in the same zone's away places. Nothing
// holds a reference into those pages; they are reached by `memory::Primary`, whose accesses may fault. Those of a litmus test are reached
// by machine code and atomic accesses, and stay mapped.

/// Moves pages with `mremap(2)`, always to a place of our choosing.
pub(super) fn move_pages_to(from: HvaRange, to: Hva, extra: i32) -> Result<(), OperationError> {
    match move_at_once(from, to, extra) {
        // Before 6.17 one call moves pages of one VMA only, and says so before it moves anything. Other operations leave several:
        // exchanged pages of a file are no neighbours in it.
        Err(OperationError::Call { errno: Errno::EFAULT, .. }) if from.pages() > 1 => {
            from.iter().enumerate().try_for_each(|(n, at)| {
                let page = HvaRange::new(at, 1).ok_or(OperationError::Lost { what: "mremap", at })?;
                move_at_once(page, Hva::new(to.get() + n as u64 * PAGE_SIZE), extra)
            })
        }
        moved => moved,
    }
}

fn move_at_once(from: HvaRange, to: Hva, extra: i32) -> Result<(), OperationError> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | extra;
    let size = from.bytes() as usize;
    // SAFETY: both ranges are the arena's own (see above).
    let moved = unsafe { libc::mremap(raw(from.start()), size, size, flags, raw(to)) };
    check("mremap", from, if moved == libc::MAP_FAILED { -1 } else { 0 })
}

/// Moves the pages of `from` with `mremap(2)` to `to`, which has room for more, or for fewer.
pub(super) fn resize_to(from: HvaRange, to: HvaRange) -> Result<(), OperationError> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: both ranges are the arena's own (see above).
    let moved = unsafe { libc::mremap(raw(from.start()), from.bytes() as usize, to.bytes() as usize, flags, raw(to.start())) };
    check("mremap to another size", from, if moved == libc::MAP_FAILED { -1 } else { 0 })
}

/// Gives the mapping at `range` another size with `mremap(2)`, where it is.
pub(super) fn resize(range: HvaRange, pages: u64) -> Result<(), OperationError> {
    // SAFETY: the arena's own pages (see above), and a hole behind them.
    let same = unsafe { libc::mremap(raw(range.start()), range.bytes() as usize, (pages * PAGE_SIZE) as usize, 0) };
    check("mremap in place", range, if same == libc::MAP_FAILED { -1 } else { 0 })
}

/// `mprotect(2)`.
pub(crate) fn protect(range: HvaRange, protection: i32) -> Result<(), OperationError> {
    // SAFETY: the arena's own pages (see above).
    check("mprotect", range, i64::from(unsafe { libc::mprotect(raw(range.start()), range.bytes() as usize, protection) }))
}

/// `madvise(2)`.
pub(crate) fn advise(call: &'static str, range: HvaRange, advice: i32) -> Result<(), OperationError> {
    // SAFETY: the arena's own pages (see above).
    check(call, range, i64::from(unsafe { libc::madvise(raw(range.start()), range.bytes() as usize, advice) }))
}

/// `madvise(2)` that some pages may refuse for the moment: `false` for EAGAIN, EBUSY and ENOMEM.
pub(crate) fn advise_gently(call: &'static str, range: HvaRange, advice: i32) -> Result<bool, OperationError> {
    match advise(call, range, advice) {
        Ok(()) => Ok(true),
        Err(OperationError::Call { errno: Errno::EAGAIN | Errno::EBUSY | Errno::ENOMEM, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many pages of a shared mapping are not in memory (`mincore(2)`), mapped or not.
pub(super) fn absent(range: HvaRange) -> Result<u64, OperationError> {
    let mut present = vec![0u8; range.pages() as usize];
    // SAFETY: the arena's own pages (see above), and a byte for each.
    let result = unsafe { libc::mincore(raw(range.start()), range.bytes() as usize, present.as_mut_ptr()) };
    check("mincore", range, i64::from(result))?;
    Ok(present.iter().filter(|byte| **byte & 1 == 0).count() as u64)
}

/// `munmap(2)`.
pub(super) fn unmap(range: HvaRange) -> Result<(), OperationError> {
    // SAFETY: the arena's own pages (see above).
    check("munmap", range, i64::from(unsafe { libc::munmap(raw(range.start()), range.bytes() as usize) }))
}

/// Maps file `fd` from byte `offset` on, shared, in place of whatever is at `range`.
pub(crate) fn map_file(range: HvaRange, fd: i32, offset: u64, protection: i32) -> Result<(), OperationError> {
    // SAFETY: the arena's own pages (see above).
    let mapped = unsafe {
        // The same flags as home has, so that neighbours can merge and page tables be shared.
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
        libc::mmap(raw(range.start()), range.bytes() as usize, protection, flags, fd, offset as i64)
    };
    check("mmap(MAP_FIXED)", range, if mapped == libc::MAP_FAILED { -1 } else { 0 })
}

/// Maps fresh anonymous memory in place of whatever is at `range`.
pub(super) fn map_anonymous(range: HvaRange) -> Result<(), OperationError> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the arena's own pages (see above).
    let mapped = unsafe { libc::mmap(raw(range.start()), range.bytes() as usize, protection, flags, -1, 0) };
    check("mmap(MAP_FIXED)", range, if mapped == libc::MAP_FAILED { -1 } else { 0 })
}

/// `remap_file_pages(2)`: page `offset` (in pages) of the mapped file in place of whatever is at `range`.
pub(super) fn remap_file_pages(range: HvaRange, offset: u64) -> Result<(), OperationError> {
    // SAFETY: the arena's own pages (see above).
    let result = unsafe { libc::syscall(libc::SYS_remap_file_pages, range.start().get(), range.bytes(), 0, offset, 0) };
    check("remap_file_pages", range, result)
}

/// Frees `bytes` of file `fd` from `offset`.
pub(crate) fn punch_hole(range: HvaRange, fd: i32, offset: u64) -> Result<(), OperationError> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the arena's own file.
    check("fallocate(PUNCH_HOLE)", range, i64::from(unsafe { libc::fallocate(fd, mode, offset as i64, range.bytes() as i64) }))
}

/// Whether file `fd` has nothing at byte `offset`.
pub(super) fn is_hole(range: HvaRange, fd: i32, offset: u64) -> Result<bool, OperationError> {
    // SAFETY: the arena's own file, whose position nobody uses.
    let hole = unsafe { libc::lseek(fd, offset as i64, libc::SEEK_HOLE) };
    check("lseek(SEEK_HOLE)", range, hole).map(|()| hole == offset as i64)
}

/// Writes `bytes` to file `fd` at byte `offset`.
pub(super) fn write_page(range: HvaRange, fd: i32, offset: u64, bytes: &[u8]) -> Result<(), OperationError> {
    // SAFETY: the arena's own file, and bytes that live.
    let written = unsafe { libc::pwrite(fd, bytes.as_ptr().cast(), bytes.len(), offset as i64) };
    check("pwrite", range, if written as usize == bytes.len() { 0 } else { -1 })
}

/// Writes the pages of a shared mapping to their file (`msync(2)`), and waits until they are on disk.
pub(super) fn sync(range: HvaRange) -> Result<(), OperationError> {
    // SAFETY: the arena's own pages (see above); nothing changes in memory.
    check("msync", range, i64::from(unsafe { libc::msync(raw(range.start()), range.bytes() as usize, libc::MS_SYNC) }))
}

/// Writes as many bytes as `range` has of file `fd` from `offset` to disk (`sync_file_range(2)`), and waits for it.
pub(super) fn sync_file_range(range: HvaRange, fd: i32, offset: u64) -> Result<(), OperationError> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the arena's own file; nothing changes in memory.
    let result = unsafe { libc::sync_file_range(fd, offset as i64, range.bytes() as i64, flags) };
    check("sync_file_range", range, i64::from(result))
}

/// Asks the kernel to drop as many bytes as `range` has of file `fd` from `offset` out of the page cache, where they are clean.
pub(super) fn drop_cache(range: HvaRange, fd: i32, offset: u64) -> Result<(), OperationError> {
    // SAFETY: the arena's own file.
    match unsafe { libc::posix_fadvise(fd, offset as i64, range.bytes() as i64, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        errno => Err(OperationError::Call { call: "posix_fadvise(DONTNEED)".into(), range, errno: Errno::from_raw(errno) }),
    }
}

/// Makes file `fd` so many bytes long. `range` is what that is about.
pub(super) fn truncate(range: HvaRange, fd: i32, bytes: u64) -> Result<(), OperationError> {
    // SAFETY: the arena's own file, whose mappings are reached by accesses that may fault.
    check("ftruncate", range, i64::from(unsafe { libc::ftruncate(fd, bytes as i64) }))
}

/// Asks where each page is (`move_pages(2)` without a target), or moves it to `nodes`; with `shared` even if others map it too,
/// which takes CAP_SYS_NICE.
pub(crate) fn move_pages(pages: &[Hva], nodes: Option<&[i32]>, shared: bool, status: &mut [i32]) -> Result<(), Errno> {
    debug_assert!(status.len() == pages.len() && nodes.is_none_or(|nodes| nodes.len() == pages.len()));
    const MPOL_MF_MOVE: i32 = 2;
    const MPOL_MF_MOVE_ALL: i32 = 4;
    // SAFETY: all three arrays are as long as the count, and live through the call.
    let result = unsafe {
        let addresses: Vec<u64> = pages.iter().map(|page| page.get()).collect();
        let nodes = nodes.map_or(ptr::null(), <[i32]>::as_ptr);
        libc::syscall(
            libc::SYS_move_pages,
            0,
            pages.len(),
            addresses.as_ptr(),
            nodes,
            status.as_mut_ptr(),
            if shared { MPOL_MF_MOVE_ALL } else { MPOL_MF_MOVE },
        )
    };
    if result == -1 { Err(Errno::last()) } else { Ok(()) }
}

/// Moves all pages of process `pid` that are on the nodes `from` to the nodes `to` (`migrate_pages(2)`), both as sets of bits; gives how many
/// could not be moved.
pub(crate) fn migrate_pages(pid: i32, from: u64, to: u64) -> Result<u64, Errno> {
    // One more than there are: the kernel reads one bit less than it is told.
    let bits = u64::BITS + 1;
    // SAFETY: both sets have as many bits as are read, and live through the call.
    let left = unsafe { libc::syscall(libc::SYS_migrate_pages, pid, u64::from(bits), &raw const from, &raw const to) };
    u64::try_from(left).map_err(|_| Errno::last())
}
