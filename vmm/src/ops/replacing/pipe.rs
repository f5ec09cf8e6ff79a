//! Pages that were taken from the guest, kept visible: `vmsplice` hands a pipe a reference to the physical page, and a read from the
//! pipe tells what was written there since.

use crate::{
    memory::{Retired, Snapshot, Span},
    ops::{Bed, OperationError, Rng},
};
use nix::unistd::pipe2;
use nostale_notifier::{Hva, HvaRange, addr::PAGE_SIZE};
use rand::RngExt;
use std::{
    fs::File,
    io::Read,
    os::fd::{AsRawFd, OwnedFd},
};

/// A pipe whose buffers are references to our own physical pages.
pub(in crate::ops) struct PagePipe {
    read: File,
    write: OwnedFd,
    buffer: Vec<u8>,
}

impl PagePipe {
    /// Pages that a pipe holds by default.
    pub(in crate::ops) const MOST: u64 = 16;

    pub(in crate::ops) fn new() -> nix::Result<Self> {
        let (read, write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)?;
        Ok(Self { read: read.into(), write, buffer: vec![0; PAGE_SIZE as usize] })
    }

    /// Takes references to claimed pages, half of the time: to as many as a pipe holds, and says to which.
    pub(in crate::ops) fn hold_some(&self, claim: &Span, rng: &mut Rng) -> Option<Span> {
        let pages = claim.range().pages().min(Self::MOST);
        let held = claim.part(rng.random_range(0..=claim.range().pages() - pages), pages)?;
        (rng.random_bool(0.5) && self.hold(held.range())).then_some(held)
    }

    /// Takes references to the pages at `range`. All or none.
    pub(in crate::ops) fn hold(&self, range: HvaRange) -> bool {
        let iov = libc::iovec { iov_base: range.start().get() as *mut libc::c_void, iov_len: range.bytes() as usize };
        // SAFETY: vmsplice(2) only takes references to pages that are mapped; where there are none it fails.
        let spliced = unsafe { libc::vmsplice(self.write.as_raw_fd(), &iov, 1, libc::SPLICE_F_NONBLOCK) };
        if spliced as i64 == range.bytes() as i64 {
            return true;
        }
        let mut rest = Vec::new();
        // What was taken after all must not be mistaken for the next operation's pages. The end is EAGAIN.
        let _ = (&self.read).read_to_end(&mut rest);
        false
    }

    /// Gives all pages back, which `generation` has taken from the guest, and judges what they hold now.
    pub(in crate::ops) fn inspect(&mut self, bed: &Bed<'_>, held: &Span, generation: u64) -> Result<(), OperationError> {
        for page in held.pages() {
            let old = self.release()?;
            // A part of a large folio that is in use elsewhere (by our pipe, say) is zeroed in its place instead of replaced
            // (mm/truncate.c, truncate_inode_partial_folio). Then it already has the new generation: it is not an old page.
            if old.generation() != generation {
                bed.judge(&Retired { page, generation, snapshot: None }, old, "the page that was taken away, held by a pipe,");
            }
        }
        Ok(())
    }

    /// Gives the first page back, and tells what it holds now.
    fn release(&mut self) -> Result<Snapshot, OperationError> {
        let Self { read, buffer, .. } = self;
        read.read_exact(buffer).map_err(OperationError::io("reading pages that were taken away from a pipe"))?;
        Snapshot::read(|offset| {
            let word = buffer.get(offset as usize..offset as usize + 8).and_then(|bytes| bytes.try_into().ok());
            word.map(u64::from_ne_bytes).ok_or(OperationError::Lost { what: "a pipe", at: Hva::new(offset) })
        })
    }
}
