//! The arena's file as the disk has it, without the page cache.

use crate::{
    host::facts::{Need, writes_back},
    memory::Snapshot,
    ops::OperationError,
};
use nix::fcntl::OFlag;
use nostale_notifier::{Hva, addr::PAGE_SIZE};
use std::{
    fs::{File, OpenOptions},
    os::{
        fd::RawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
};

/// The file, opened a second time for direct reads.
pub(super) struct Direct {
    file: File,
    buffer: Box<Aligned>,
}

/// Direct reads want memory aligned to the blocks of the device.
#[repr(align(4096))]
struct Aligned([u8; PAGE_SIZE as usize]);

impl Direct {
    /// The file behind `fd`; what it needs is a file system that has something to write back to.
    pub(super) fn open(fd: RawFd) -> Result<Self, OperationError> {
        let what = "reopening the backing file for direct reads";
        let path = format!("/proc/self/fd/{fd}");
        let need = || Need::new("a file system on a disk, with direct reads", "name a directory on ext4 or xfs: --file-dir DIR");
        if !writes_back(Path::new(&path)) {
            return Err(need().into());
        }
        let flags = OFlag::O_DIRECT.bits();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path);
        let file = file.map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => need().into(),
            _ => OperationError::io(what)(error),
        })?;
        Ok(Self { file, buffer: Box::new(Aligned([0; PAGE_SIZE as usize])) })
    }

    /// Page `page` of the file on disk.
    pub(super) fn read(&mut self, page: u64) -> Result<Snapshot, OperationError> {
        let bytes = &mut self.buffer.0;
        let read = self.file.read_exact_at(bytes, page * PAGE_SIZE);
        read.map_err(OperationError::io("a direct read of the backing file"))?;
        Snapshot::read(|offset| {
            let word = bytes.get(offset as usize..offset as usize + 8).and_then(|bytes| bytes.try_into().ok());
            word.map(u64::from_ne_bytes).ok_or(OperationError::Lost { what: "a direct read", at: Hva::new(offset) })
        })
    }
}
