//! Forked children of an operation: waited for, but not for ever, and heard through memory that both share.

use super::{Bed, OperationError};
use crate::host::task::{Patience, Task};
use nix::{
    errno::Errno,
    sys::{
        mman::{MapFlags, ProtFlags, mmap_anonymous, munmap},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    num::NonZeroUsize,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How long a child may get nothing done before it is killed.
const BOUND: Duration = Duration::from_secs(10);

/// Waits for a child of `operation`, but not for ever.
pub(super) fn wait(bed: &Bed<'_>, operation: &str, child: Pid) -> Result<(), OperationError> {
    let failed = |call: String, errno| OperationError::Call { call: call.into(), range: bed.arena.home(), errno };
    let mut patience = Patience::new(Task::process(child.as_raw()), BOUND);
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if patience.is_over() => {
                let told = patience.told();
                let _ = kill(child, Signal::SIGKILL);
                let _ = waitpid(child, None);
                return Err(failed(format!("{operation}: the child did not end: {told}"), Errno::ETIMEDOUT));
            }
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_micros(50)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
            Ok(status) => return Err(failed(format!("{operation}: the child ended with {status:?}"), Errno::ECHILD)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed("waitpid".to_owned(), errno)),
        }
    }
}

/// Words that children share with their parent.
pub(super) struct SharedWords {
    words: NonNull<[AtomicU64; Self::COUNT]>,
}

// SAFETY: a mapping of atomics, freed when dropped; nothing about it belongs to a thread.
unsafe impl Send for SharedWords {}

impl SharedWords {
    const COUNT: usize = 8;
    const SIZE: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

    /// Zeroed words, for `what`.
    pub(super) fn new(what: &'static str) -> Result<Self, OperationError> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping at a place of the kernel's choice.
        let mapped = unsafe { mmap_anonymous(None, Self::SIZE, protection, MapFlags::MAP_SHARED) };
        let words = mapped.map_err(|errno| OperationError::io(what)(errno.into()))?;
        Ok(Self { words: words.cast() })
    }

    /// Word number `index`, below [`Self::COUNT`].
    pub(super) fn get(&self, index: usize) -> &AtomicU64 {
        // SAFETY: mapped, zeroed and page-aligned as long as `self`.
        unsafe { &self.words.as_ref()[index] }
    }

    /// Sets all of them to 0.
    pub(super) fn clear(&self) {
        (0..Self::COUNT).for_each(|index| self.get(index).store(0, Relaxed));
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and nobody has a reference left.
        let _ = unsafe { munmap(self.words.cast(), Self::SIZE.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{ForkResult, fork};

    #[test]
    fn a_child_is_heard() {
        let words = SharedWords::new("a test").expect("memory");
        // SAFETY: the child stores one word and ends.
        match unsafe { fork() }.expect("processes") {
            ForkResult::Child => {
                words.get(7).store(9, Relaxed);
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0))),
        }
        assert_eq!(words.get(7).load(Relaxed), 9);
        words.clear();
        assert_eq!(words.get(7).load(Relaxed), 0);
    }
}
