//! Looking at pages that the primary MMU lets nobody read: `/proc/self/mem` reads through any protection (FOLL_FORCE), where the
//! kernel allows it (`proc_mem.force_override=`).

use super::{Fault, Snapshot};
use nostale_notifier::{Hva, addr::PAGE_SIZE};
use std::{fs::File, os::unix::fs::FileExt};

/// `/proc/self/mem`.
#[derive(Debug)]
pub(super) struct Forced(Option<File>);

impl Forced {
    pub(super) fn open() -> Self {
        Self(File::open("/proc/self/mem").ok())
    }

    /// The page at `at`.
    pub(super) fn snapshot(&self, at: Hva) -> Result<Snapshot, Fault> {
        let mut page = [0; PAGE_SIZE as usize];
        let file = self.0.as_ref().ok_or(Fault(at))?;
        file.read_exact_at(&mut page, at.get()).map_err(|_| Fault(at))?;
        Snapshot::read(|offset| {
            let word = page.get(offset as usize..offset as usize + 8).and_then(|bytes| bytes.try_into().ok());
            word.map(u64::from_ne_bytes).ok_or(Fault(at))
        })
    }
}
