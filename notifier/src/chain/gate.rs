//! What a subscriber keeps so that it installs nothing that is out of date: a count of changes in progress and a sequence of those that
//! have been, as KVM's `mmu_invalidate_in_progress` and `mmu_invalidate_seq` (virt/kvm/kvm_main.c).

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Changes in progress and changes that have been, around the tables that they are about.
#[derive(Debug, Default)]
pub struct Gate<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug, Default)]
struct Inner<T> {
    in_progress: u64,
    sequence: u64,
    tables: T,
}

/// The sequence, as it was before something was looked up in the primary MMU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot(u64);

impl<T> Gate<T> {
    /// A gate around tables.
    #[must_use]
    pub fn new(tables: T) -> Self {
        Self { inner: Mutex::new(Inner { in_progress: 0, sequence: 0, tables }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change begins; `zap` takes out of the tables what it is about.
    pub fn start(&self, zap: impl FnOnce(&mut T)) {
        let mut inner = self.lock();
        inner.in_progress += 1;
        zap(&mut inner.tables);
    }

    /// The same, unless somebody else is at the tables: for who may not sleep.
    ///
    /// # Errors
    /// That somebody is.
    pub fn try_start(&self, zap: impl FnOnce(&mut T)) -> Result<(), super::WouldSleep> {
        let mut inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return Err(super::WouldSleep),
        };
        inner.in_progress += 1;
        zap(&mut inner.tables);
        Ok(())
    }

    /// A change ends. The sequence goes on first: whoever sees that nothing is in progress sees that something has been.
    pub fn end(&self) {
        let mut inner = self.lock();
        inner.sequence += 1;
        inner.in_progress -= 1;
    }

    /// To be taken before anything is looked up in the primary MMU.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.lock().sequence)
    }

    /// Installs what was looked up since a snapshot, unless something has changed or is about to. Returns whether it did; if not, look it
    /// up again.
    #[must_use = "if nothing was installed, it has to be looked up again"]
    pub fn install(&self, since: Snapshot, install: impl FnOnce(&mut T)) -> bool {
        let mut inner = self.lock();
        let current = inner.in_progress == 0 && inner.sequence == since.0;
        if current {
            install(&mut inner.tables);
        }
        current
    }

    /// The tables, as they are.
    pub fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.lock().tables)
    }
}
