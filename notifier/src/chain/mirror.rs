//! A secondary MMU as KVM is one: a table of its own that mirrors the host's, and translations in use on its CPUs.

use std::{
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Change, Frame, Gate, Host, Subscriber, WouldSleep, trial::Device};

/// A secondary MMU: an entry for each page of the host, which is in use while it is read-locked.
pub struct Mirror {
    gate: Gate<()>,
    entries: Vec<RwLock<Option<Arc<Frame>>>>,
}

impl Mirror {
    /// A secondary MMU for so many pages.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        Self { gate: Gate::new(()), entries: (0..pages).map(|_| RwLock::new(None)).collect() }
    }

    /// Drops translations, and waits for the accesses in flight.
    fn zap(&self, pages: Range<usize>) {
        for entry in self.entries.get(pages).into_iter().flatten() {
            *entry.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Subscriber for Mirror {
    fn start(&self, change: &Change) -> Result<(), WouldSleep> {
        let zap = |(): &mut ()| self.zap(change.pages.clone());
        if change.may_sleep {
            self.gate.start(zap);
            Ok(())
        } else {
            self.gate.try_start(zap)
        }
    }

    fn end(&self, _change: &Change) {
        self.gate.end();
    }
}

impl Device for Mirror {
    fn access(&self, host: &Host, page: usize, access: &dyn Fn(&Frame)) {
        loop {
            if let Some(frame) = &*self.entries[page].read().unwrap_or_else(PoisonError::into_inner) {
                return access(frame);
            }
            let since = self.gate.snapshot();
            let Some(frame) = host.look_up(page) else {
                std::thread::yield_now();
                continue;
            };
            // Whoever zaps holds the gate and waits for the entry, so the entry must not be held while the gate is waited for.
            let entry = &self.entries[page];
            let _ = self.gate.install(since, |()| *entry.write().unwrap_or_else(PoisonError::into_inner) = Some(frame));
        }
    }
}
