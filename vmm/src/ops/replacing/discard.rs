//! `discard`: contents are thrown away under the guest. `MADV_DONTNEED` on private memory, a punched hole in a file.
//!
//! The old page goes back to the kernel, where a stale write would hit somebody else's memory. A pipe keeps it visible: `vmsplice`
//! hands the pipe a reference to the physical page, and a read from the pipe tells what was written there since.

use crate::memory::Backing;
use crate::memory::{Retired, Snapshot, Span};
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall};
use nix::unistd::pipe2;
use nostale_notifier::{Hva, HvaRange, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;
use std::{
    fs::File,
    io::Read,
    os::fd::{AsRawFd, OwnedFd},
};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "discard",
    summary: "throw contents away: MADV_DONTNEED on private memory, a punched hole in a file",
    usual: &[Backing::ANON, Backing::MEMFD, Backing::FILE_PRIVATE],
    effect: |_| Effect::Discards,
    make: |_, _| Ok(Box::new(Discard { pipe: PagePipe::new().ok(), buffer: vec![0; PAGE_SIZE as usize] })),
    ..Operation::USUAL
};

/// Pages that a pipe holds by default.
const MOST: u64 = 16;

struct Discard {
    pipe: Option<PagePipe>,
    buffer: Vec<u8>,
}

impl HostOperation for Discard {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=MOST).min(bed.arena.pages()) };
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        // A fresh page is told from an old one by its generation, 0.
        let before = bed.arena.next_generation();
        if !bed.stamp_generation(claim.range(), before) {
            return Ok(Done::Busy);
        }
        let generation = bed.arena.next_generation();
        bed.announce(&claim, generation);
        let witnessed = rng.random_bool(0.5) && self.pipe.as_ref().is_some_and(|pipe| pipe.hold(claim.range()));

        if bed.is_astray() {
            // A stamp as new as the operation, as if a write were to come after it.
            let _ = bed.arena.store_stamp(claim.range().start(), generation);
        }
        bed.note(Stage::OperationStart, claim.range(), generation);
        throw_away(bed, &claim)?;
        bed.note(Stage::Returned, claim.range(), generation);
        bed.deliver(&claim, generation);
        if witnessed {
            bed.dwell(rng);
            self.inspect(bed, &claim, generation)?;
            bed.note(Stage::Witnessed, claim.range(), generation);
        }
        Ok(Done::Pages(pages))
    }
}

fn throw_away(bed: &Bed<'_>, claim: &Span) -> Result<(), OperationError> {
    if bed.arena.backing().is_shared() {
        // Pages of one claim need not be neighbours in the file once `remap` has been at work.
        for (page, at) in claim.pages().zip(claim.range().iter()) {
            let (Some(frame), Some(range)) = (bed.arena.frame_of(page), HvaRange::new(at, 1)) else { continue };
            syscall::punch_hole(range, bed.arena.file_fd(), u64::from(frame.0) * PAGE_SIZE)?;
        }
        Ok(())
    } else {
        syscall::advise("madvise(DONTNEED)", claim.range(), libc::MADV_DONTNEED)
    }
}

impl Discard {
    fn inspect(&mut self, bed: &Bed<'_>, claim: &Span, generation: u64) -> Result<(), OperationError> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        for page in claim.pages() {
            let old = pipe.release(&mut self.buffer)?;
            // A part of a large folio that is in use elsewhere (by our pipe, say) is zeroed in its place instead of replaced
            // (mm/truncate.c, truncate_inode_partial_folio). Then it already has the new generation: it is not an old page.
            if old.generation() != generation {
                bed.judge(&Retired { page, generation, snapshot: None }, old, "the discarded page, held by a pipe,");
            }
        }
        Ok(())
    }
}

/// A pipe whose buffers are references to our own physical pages.
pub(in crate::ops) struct PagePipe {
    read: File,
    write: OwnedFd,
}

impl PagePipe {
    pub(in crate::ops) fn new() -> nix::Result<Self> {
        let (read, write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)?;
        Ok(Self { read: read.into(), write })
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

    /// Gives the first page back, and tells what it holds now.
    pub(in crate::ops) fn release(&mut self, buffer: &mut [u8]) -> Result<Snapshot, OperationError> {
        self.read
            .read_exact(buffer)
            .map_err(|source| OperationError::Io { what: "reading discarded pages from a pipe", source })?;
        Snapshot::read(|offset| {
            let word = buffer.get(offset as usize..offset as usize + 8).and_then(|bytes| bytes.try_into().ok());
            word.map(u64::from_ne_bytes).ok_or(OperationError::Lost { what: "discard", at: Hva::new(offset) })
        })
    }
}
