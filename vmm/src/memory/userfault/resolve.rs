//! Ranges, and the ways to resolve faults on them.
//!
//! All of these change only what is mapped at ranges of guest memory, which nobody reaches but by `memory::Primary` and through a
//! secondary MMU: accesses that may fault, and find whatever is there. Callers name no other ranges.

use super::{Modes, Userfault, UserfaultError, abi};
use crate::errno;
use linux_raw_sys::general as uapi;
use nix::errno::Errno;
use nostale_notifier::{Hva, HvaRange, addr::PAGE_SIZE};
use std::sync::atomic::Ordering::Relaxed;

/// The request of which the kernel does not always tell the truth.
const MOVE: &str = "UFFDIO_MOVE";

/// What became of a request to fill in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// All of them are there, and whoever waited goes on.
    All,
    /// This many of the first are; the next one was there already, or is not to be had at the other end.
    Only {
        /// Pages that are there.
        pages: u64,
        /// Why no more.
        errno: Errno,
    },
}

const fn range_of(range: HvaRange) -> abi::uffdio_range {
    abi::uffdio_range { start: range.start().get(), len: range.bytes() }
}

fn failed(call: &'static str, range: HvaRange) -> impl FnOnce(Errno) -> UserfaultError {
    move |errno| UserfaultError::Request { call, range, errno }
}

impl Userfault {
    /// From now on faults of these kinds on `range` come here. The VMAs are cut at its ends, and may have any holes.
    ///
    /// # Errors
    /// EINVAL for memory or kinds that the kernel does not serve, EBUSY where another descriptor does.
    pub fn register(&self, range: HvaRange, modes: Modes) -> Result<(), UserfaultError> {
        let mut register = abi::uffdio_register { range: range_of(range), mode: modes.bits(), ioctls: 0 };
        // SAFETY: the kernel reads and writes `register`; guest memory alone is named (see above).
        unsafe { abi::register(self.raw(), &raw mut register) }.map(drop).map_err(failed("UFFDIO_REGISTER", range))
    }

    /// Faults on `range` are the kernel's own business again; whoever waits goes on, even where nothing is registered any more.
    ///
    /// # Errors
    /// EINVAL when nothing is mapped at its start, or it holds what cannot be registered.
    pub fn unregister(&self, range: HvaRange) -> Result<(), UserfaultError> {
        let mut unregister = range_of(range);
        // SAFETY: the kernel reads `unregister`; guest memory alone is named (see above).
        let done = unsafe { abi::unregister(self.raw(), &raw mut unregister) };
        // The kernel wakes those who wait for missing pages, and forgets the others (fs/userfaultfd.c, userfaultfd_unregister).
        let awake = self.wake(range);
        done.map_err(failed("UFFDIO_UNREGISTER", range)).and(awake)
    }

    /// Whoever waits on `range` tries again.
    ///
    /// # Errors
    /// None that is known of, with a range that is not empty.
    pub fn wake(&self, range: HvaRange) -> Result<(), UserfaultError> {
        let mut wake = range_of(range);
        // SAFETY: the kernel reads `wake`.
        unsafe { abi::wake(self.raw(), &raw mut wake) }.map(drop).map_err(failed("UFFDIO_WAKE", range))
    }

    /// Fills missing pages from `to` on with copies of `from` (whole pages), each of which appears at once and whole, and wakes whoever
    /// waits; `protected` ones are write-protected.
    ///
    /// # Errors
    /// ENOENT when nothing is registered there, ENOMEM, and the like. A page that is not missing (EEXIST) is no error.
    pub fn copy(&self, to: Hva, from: &[u8], protected: bool) -> Result<Filled, UserfaultError> {
        let pages = from.len() as u64 / PAGE_SIZE;
        let mode = if protected { u64::from(uapi::UFFDIO_COPY_MODE_WP) } else { 0 };
        steps("UFFDIO_COPY", to, pages, |at, offset, bytes| {
            let src = from.as_ptr() as u64 + offset;
            let mut copy = abi::uffdio_copy { dst: at.get(), src, len: bytes, mode, copy: 0 };
            // SAFETY: the kernel reads and writes `copy`, reads `from`, and fills missing pages of guest memory alone (see above).
            (unsafe { abi::copy(self.raw(), &raw mut copy) }, copy.copy)
        })
    }

    /// Fills missing pages with zeros and wakes whoever waits.
    ///
    /// # Errors
    /// As for [`Self::copy`].
    pub fn zeropage(&self, range: HvaRange) -> Result<Filled, UserfaultError> {
        steps("UFFDIO_ZEROPAGE", range.start(), range.pages(), |at, _, len| {
            let range = abi::uffdio_range { start: at.get(), len };
            let mut zero = abi::uffdio_zeropage { range, mode: 0, zeropage: 0 };
            // SAFETY: the kernel reads and writes `zero`, and fills missing pages of guest memory alone (see above).
            (unsafe { abi::zeropage(self.raw(), &raw mut zero) }, zero.zeropage)
        })
    }

    /// Maps pages that the file has and wakes whoever waits.
    ///
    /// # Errors
    /// As for [`Self::copy`]; EFAULT where the file has no page.
    pub fn continue_(&self, range: HvaRange) -> Result<Filled, UserfaultError> {
        steps("UFFDIO_CONTINUE", range.start(), range.pages(), |at, _, len| {
            let range = abi::uffdio_range { start: at.get(), len };
            let mut minor = abi::uffdio_continue { range, mode: 0, mapped: 0 };
            // SAFETY: the kernel reads and writes `minor`, and maps pages of the file that is mapped there anyway.
            (unsafe { abi::continue_(self.raw(), &raw mut minor) }, minor.mapped)
        })
    }

    /// Moves pages to `to`, which is registered and where none are, and wakes whoever waits there. Private anonymous memory only.
    ///
    /// # Errors
    /// EINVAL where the two mappings do not agree, and the like. A page that is there already (EEXIST), missing at the other end
    /// (ENOENT) or in use by others (EBUSY) is no error.
    pub fn move_pages(&self, from: HvaRange, to: Hva) -> Result<Filled, UserfaultError> {
        let to =
            HvaRange::new(to, from.pages()).ok_or(UserfaultError::Request { call: MOVE, range: from, errno: Errno::EINVAL })?;
        let had = self.has_pages(from)?;
        let moved = |page: u64| {
            let (Some(left), Some(there)) = (from.part(page, 1), to.part(page, 1)) else { return Ok(false) };
            if !had.get(page as usize).is_some_and(|had| *had) || self.has_pages(left)? == [true] {
                return Ok(false);
            }
            self.misreported.fetch_add(1, Relaxed);
            // Nobody who waits has been told, either.
            self.wake(there).map(|()| true)
        };
        let move_rest = |first| {
            let rest = |range: HvaRange| range.part(first, from.pages() - first);
            rest(from).zip(rest(to)).map_or(Ok(Filled::All), |(from, to)| self.move_some(from, to.start()))
        };
        through(move_rest, moved)
    }

    fn move_some(&self, from: HvaRange, to: Hva) -> Result<Filled, UserfaultError> {
        steps(MOVE, to, from.pages(), |at, offset, len| {
            let src = from.start().get() + offset;
            let mut request = abi::uffdio_move { dst: at.get(), src, len, mode: 0, move_: 0 };
            // SAFETY: the kernel reads and writes `request`; both places are guest memory (see above).
            (unsafe { abi::move_pages(self.raw(), &raw mut request) }, request.move_)
        })
    }

    /// Which pages of `range` there are, mapped or on their way.
    fn has_pages(&self, range: HvaRange) -> Result<Vec<bool>, UserfaultError> {
        let entries = self.pagemap.entries(range).map_err(errno::of).map_err(UserfaultError::Pagemap)?;
        Ok(entries.iter().map(|entry| !entry.is_empty()).collect())
    }

    /// Pages that UFFDIO_MOVE had moved when it said EEXIST. From 6.18 on, and until somebody mends it, the kernel forgets that it has
    /// succeeded if it had to try again before (`err` stays -EAGAIN in move_pages, mm/userfaultfd.c), and then meets the page that it has
    /// put there itself. Who believes it loses the page.
    #[must_use]
    pub fn misreported(&self) -> u64 {
        self.misreported.load(Relaxed)
    }

    /// Takes write access to the pages of `range` away, or gives it back and wakes whoever waits.
    ///
    /// # Errors
    /// ENOENT when it is not registered for this, and the like.
    pub fn write_protect(&self, range: HvaRange, protected: bool) -> Result<(), UserfaultError> {
        const PROTECT: u64 = 1;
        let mode = if protected { PROTECT } else { 0 };
        let mut request = abi::uffdio_writeprotect { range: range_of(range), mode };
        // EAGAIN while the mapping changes under a descriptor that reports such changes.
        again(|| {
            // SAFETY: the kernel reads `request`; guest memory alone is named (see above).
            unsafe { abi::write_protect(self.raw(), &raw mut request) }
        })
        .map_err(failed("UFFDIO_WRITEPROTECT", range))
    }
}

/// How often a request is repeated that is to be tried again. Each time the kernel has met somebody else at work on the same page.
const TRIES: u32 = 100_000;

fn again(mut request: impl FnMut() -> nix::Result<i32>) -> Result<(), Errno> {
    let mut left = TRIES;
    loop {
        match request() {
            Ok(_) => return Ok(()),
            Err(Errno::EAGAIN | Errno::EINTR) if left > 0 => left -= 1,
            Err(errno) => return Err(errno),
        }
    }
}

/// Moves all pages, from the first on, and goes on behind each that is said to be there already, but has `moved` all the same.
fn through(
    mut move_rest: impl FnMut(u64) -> Result<Filled, UserfaultError>,
    moved: impl Fn(u64) -> Result<bool, UserfaultError>,
) -> Result<Filled, UserfaultError> {
    let mut first = 0;
    loop {
        match move_rest(first)? {
            Filled::All => return Ok(Filled::All),
            Filled::Only { pages, errno: Errno::EEXIST } if moved(first + pages)? => first += pages + 1,
            Filled::Only { pages, errno } => return Ok(Filled::Only { pages: first + pages, errno }),
        }
    }
}

/// Repeats a request that may do a part of its work at a time: with an errno it says how many bytes are done, or the errno once more.
fn steps(
    call: &'static str,
    to: Hva,
    pages: u64,
    mut request: impl FnMut(Hva, u64, u64) -> (nix::Result<i32>, i64),
) -> Result<Filled, UserfaultError> {
    let (bytes, mut done, mut left) = (pages * PAGE_SIZE, 0, TRIES);
    while done < bytes {
        let (result, moved) = request(Hva::new(to.get() + done), done, bytes - done);
        match (result, u64::try_from(moved)) {
            (Ok(_), _) => return Ok(Filled::All),
            (Err(Errno::EAGAIN | Errno::EINTR), Ok(moved)) if moved > 0 => done += moved,
            (Err(Errno::EAGAIN | Errno::EINTR), _) if left > 0 => left -= 1,
            (Err(errno @ (Errno::EEXIST | Errno::EBUSY)), _) => return Ok(Filled::Only { pages: done / PAGE_SIZE, errno }),
            // Also what is said where nothing is registered; then nothing has been done.
            (Err(Errno::ENOENT), _) if call == MOVE => {
                return Ok(Filled::Only { pages: done / PAGE_SIZE, errno: Errno::ENOENT });
            }
            (Err(errno), _) => {
                let range = HvaRange::new(Hva::new(to.get() + done), (bytes - done) / PAGE_SIZE);
                let range = range.or(HvaRange::new(Hva::new(0), 1)).expect("page 0 is a range");
                return Err(UserfaultError::Request { call, range, errno });
            }
        }
    }
    Ok(Filled::All)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that moves pages and says so, but for those in `lies`, of which it says that they were there.
    fn moved_by(lies: &[u64], really: &[u64]) -> Result<Filled, UserfaultError> {
        let move_rest = |first: u64| {
            let lie = (first..4).find(|page| lies.contains(page));
            Ok(lie.map_or(Filled::All, |page| Filled::Only { pages: page - first, errno: Errno::EEXIST }))
        };
        through(move_rest, |page| Ok(really.contains(&page)))
    }

    #[test]
    fn a_page_that_came_though_the_kernel_says_that_it_was_there_counts_as_moved() {
        assert_eq!(moved_by(&[], &[]), Ok(Filled::All));
        assert_eq!(moved_by(&[0, 1, 3], &[0, 1, 3]), Ok(Filled::All));
        assert_eq!(moved_by(&[0, 2], &[0]), Ok(Filled::Only { pages: 2, errno: Errno::EEXIST }));
        assert_eq!(moved_by(&[1], &[]), Ok(Filled::Only { pages: 1, errno: Errno::EEXIST }));
    }
}
