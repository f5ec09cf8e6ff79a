//! How arena pages are mapped.

use super::{Backing, BackingKind, Pages};
use nostale_notifier::HvaRange;
use std::{io, os::fd::RawFd};

/// Maps `backing` memory at `range`, which lies in an arena's own zone: of file `fd` from `offset`, where there is a file. `fixed` says
/// whether what is there may be replaced.
pub(super) fn map(range: HvaRange, backing: Backing, fd: RawFd, offset: u64, fixed: i32) -> io::Result<()> {
    let flags = match backing.kind {
        BackingKind::Anon => libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        BackingKind::FilePrivate => libc::MAP_PRIVATE,
        BackingKind::Memfd | BackingKind::FileShared => libc::MAP_SHARED,
    };
    // Anonymous memory has no offset.
    let offset = if backing.is_anonymous() { 0 } else { offset };
    // Which pool a file has its pages from was said when it was made.
    let pool = match backing.pages {
        Pages::Hugetlb2M if fd < 0 => libc::MAP_HUGETLB | libc::MAP_HUGE_2MB,
        Pages::Hugetlb1G if fd < 0 => libc::MAP_HUGETLB | libc::MAP_HUGE_1GB,
        _ => 0,
    };
    let advice = if backing.is_large() { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    let (at, bytes) = (range.start().get() as *mut libc::c_void, range.bytes() as usize);
    // SAFETY: the place lies in a zone of our own, where nothing holds references into pages; they are reached by `Primary`,
    // whose accesses may fault.
    unsafe {
        let flags = flags | fixed | pool | libc::MAP_NORESERVE;
        let mapped = libc::mmap(at, bytes, libc::PROT_READ | libc::PROT_WRITE, flags, fd, offset as i64);
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Kernels without THP refuse the advice; what was got is measured (`Pagemap::huge`), not assumed. On hugetlbfs it would
        // only leave a flag, by which mappings differ that could share page tables.
        if !backing.is_hugetlb() {
            libc::madvise(at, bytes, advice);
        }
    }
    Ok(())
}

/// Gives every page of `range` its memory.
pub(super) fn populate(range: HvaRange) -> io::Result<()> {
    // SAFETY: writes nothing that a reader could tell from what was there.
    let done =
        unsafe { libc::madvise(range.start().get() as *mut libc::c_void, range.bytes() as usize, libc::MADV_POPULATE_WRITE) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
