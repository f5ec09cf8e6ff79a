//! How arena pages are mapped.

use super::{Backing, BackingKind};
use nostale_notifier::HvaRange;
use std::{io, os::fd::RawFd};

/// Maps `backing` memory at `range`, which lies in an arena's own zone: of file `fd` from `offset`, where there is a file. `fixed` says
/// whether what is there may be replaced.
pub(super) fn map(range: HvaRange, backing: Backing, fd: RawFd, offset: u64, fixed: i32) -> io::Result<()> {
    let flags = match backing.kind {
        BackingKind::Anon | BackingKind::AnonMthp => libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        BackingKind::FilePrivate => libc::MAP_PRIVATE,
        BackingKind::Memfd | BackingKind::FileShared => libc::MAP_SHARED,
    };
    // Anonymous memory has no offset.
    let offset = if backing.is_anonymous() { 0 } else { offset };
    let advice = if backing.is_large() { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    let (at, bytes) = (range.start().get() as *mut libc::c_void, range.bytes() as usize);
    // SAFETY: the place lies in a zone of our own, where nothing holds references into pages; they are reached by `Primary`,
    // whose accesses may fault.
    unsafe {
        let flags = flags | fixed | libc::MAP_NORESERVE;
        let mapped = libc::mmap(at, bytes, libc::PROT_READ | libc::PROT_WRITE, flags, fd, offset as i64);
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Kernels without THP refuse the advice; what was got is measured (`Pagemap::huge`), not assumed.
        libc::madvise(at, bytes, advice);
    }
    Ok(())
}
