//! System calls that some operations are made of, each tried on memory of our own.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use serde::Serialize;

use super::attempt::Attempt;
use super::mapping::Mapping;
use super::memory::page_bytes;

/// Which calls this process may make on this kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// `mremap(MREMAP_DONTUNMAP)` of private anonymous memory (5.7).
    pub mremap_dontunmap: Attempt,
    /// The same of shared memory (5.13).
    pub mremap_dontunmap_shared: Attempt,
    /// `remap_file_pages`, emulated since 4.0 and so another way into `mmap`. The kernel notes its first use in the log.
    pub remap_file_pages: Attempt,
    /// `memfd_create`.
    pub memfd_create: Attempt,
    /// `vmsplice` of user pages into a pipe, where the pipe holds a reference to the page.
    pub vmsplice: Attempt,
    /// `process_madvise` of another process's memory, by a pidfd (5.10).
    pub process_madvise: Attempt,
}

impl Calls {
    pub(crate) fn not_tried() -> Self {
        Self {
            mremap_dontunmap: Attempt::NotTried,
            mremap_dontunmap_shared: Attempt::NotTried,
            remap_file_pages: Attempt::NotTried,
            memfd_create: Attempt::NotTried,
            vmsplice: Attempt::NotTried,
            process_madvise: Attempt::NotTried,
        }
    }

    pub(crate) fn probe() -> Self {
        let page = page_size();
        let dontunmap = |mapping| Attempt::of("mremap(MREMAP_DONTUNMAP)", dontunmap(mapping));
        Self {
            mremap_dontunmap: dontunmap(Mapping::anonymous(page)),
            mremap_dontunmap_shared: dontunmap(Mapping::shared(page)),
            remap_file_pages: Attempt::of("remap_file_pages", remap_file_pages()),
            memfd_create: Attempt::of("memfd_create", memfd(page)),
            vmsplice: Attempt::of("vmsplice", vmsplice()),
            process_madvise: Attempt::of("process_madvise", process_madvise()),
        }
    }
}

/// `MADV_COLLAPSE` of `huge_bytes`. The settings in sysfs do not concern it (madvise(2)), but it needs a free huge page, and it
/// fails on a kernel before 6.1, without THP, and where a process turned THP off for itself.
pub(crate) fn collapse(huge_bytes: u64) -> Attempt {
    // absurd sizes come from a broken sysfs file; nothing on x86 or arm64 has a PMD above 512 MiB
    let huge = match usize::try_from(huge_bytes) {
        Ok(huge) if huge.is_power_of_two() && huge >= page_size() && huge <= 512 << 20 => huge,
        _ => return Attempt::refused("madvise(MADV_COLLAPSE)", Errno::EINVAL),
    };
    let collapsed = Mapping::anonymous(2 * huge).and_then(|mapping| {
        let first = (mapping.address() as usize).next_multiple_of(huge) - mapping.address() as usize;
        // one page is enough: the limit on empty ones (max_ptes_none) is not applied to MADV_COLLAPSE
        mapping.touch(first);
        // SAFETY: an aligned part of our own mapping, twice as large, so the part fits; the contents stay.
        Errno::result(unsafe { libc::madvise(mapping.at(first), huge, libc::MADV_COLLAPSE) })
    });
    Attempt::of("madvise(MADV_COLLAPSE)", collapsed)
}

fn page_size() -> usize {
    usize::try_from(page_bytes()).unwrap_or(4096)
}

fn dontunmap(mapping: Result<Mapping, Errno>) -> Result<(), Errno> {
    let (old, page) = (mapping?, page_size());
    old.touch(0);
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
    // SAFETY: one page of our own mapping moves to a place the kernel chooses; the old range stays mapped, and empty.
    let new = unsafe { libc::mremap(old.address(), page, page, flags, std::ptr::null_mut::<libc::c_void>()) };
    if new == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: mremap has just made this mapping for us.
    drop(unsafe { Mapping::adopt(new, page) });
    Ok(())
}

fn memfd(length: usize) -> Result<OwnedFd, Errno> {
    let fd = nix::sys::memfd::memfd_create("nostale-probe", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    nix::unistd::ftruncate(&fd, length.try_into().unwrap_or(0))?;
    Ok(fd)
}

fn remap_file_pages() -> Result<(), Errno> {
    let page = page_size();
    let fd = memfd(2 * page)?;
    let mapping = Mapping::file(2 * page, fd.as_fd())?;
    // the second page of the file appears at the first page of the mapping
    // SAFETY: the range is our own mapping and stays mapped, with other pages of the same file.
    let done = unsafe { libc::remap_file_pages(mapping.address(), page, 0, 1, 0) };
    Errno::result(done).map(drop)
}

fn vmsplice() -> Result<(), Errno> {
    let (reader, writer) = nix::unistd::pipe()?;
    let mapping = Mapping::anonymous(page_size())?;
    mapping.touch(0);
    let part = libc::iovec { iov_base: mapping.address(), iov_len: page_size() };
    // SAFETY: one iovec that lies in our mapping; an empty pipe has room for a page, and SPLICE_F_NONBLOCK says not to wait.
    let moved = unsafe { libc::vmsplice(writer.as_raw_fd(), &part, 1, libc::SPLICE_F_NONBLOCK) };
    drop(reader);
    Errno::result(moved).map(drop)
}

fn process_madvise() -> Result<(), Errno> {
    let mapping = Mapping::anonymous(page_size())?;
    mapping.touch(0);
    let part = libc::iovec { iov_base: mapping.address(), iov_len: page_size() };
    // SAFETY: plain system call; what it returns is a new descriptor that nobody else owns.
    let pidfd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) })?;
    let pidfd = i32::try_from(pidfd).map_err(|_| Errno::EBADF)?;
    // SAFETY: as above.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: one iovec that lies in our mapping; the advice changes no contents.
    let advised = unsafe { libc::syscall(libc::SYS_process_madvise, pidfd.as_raw_fd(), &raw const part, 1, libc::MADV_COLD, 0) };
    Errno::result(advised).map(drop)
}
