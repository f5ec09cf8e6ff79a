//! The notifier chain: how a primary MMU tells its secondary MMUs what it is about to change, as mm/mmu_notifier.c does.
//!
//! Whoever mirrors a primary MMU's translations (a hypervisor, an IOMMU driver, a device model) is a [`Subscriber`]. A change of the
//! primary MMU is announced to all of them by [`Chain::start`], made, and concluded by [`Invalidation::end`]. Between the two, no
//! subscriber makes a translation of the range, and by the time that `start` returns, nobody uses one that was made before. [`Gate`]
//! is what a subscriber keeps to live up to that. [`Host`] is a primary MMU to try it on, with real memory, TLBs and threads;
//! [`trial`](trial::trial) lets host operations loose on a subscriber's pages while its own threads use them, and says what went wrong.
//!
//! ```
//! use nostale_notifier::chain::{Mirror, Ordering, trial::{Options, trial}};
//! use std::{sync::Arc, time::Duration};
//!
//! let options = Options { time: Duration::from_millis(50), ..Options::default() };
//! let report = trial(&Arc::new(Mirror::new(options.pages)), &options);
//! assert!(report.violations.is_empty() && !report.is_vacuous(), "{report:?}");
//! ```

mod gate;
mod host;
mod mirror;
pub mod trial;

pub use gate::{Gate, Snapshot};
pub use host::{Frame, Host, Ordering, UnknownOrdering};
pub use mirror::Mirror;

use std::{
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};

/// A subscriber cannot be told without sleeping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the subscriber would have to sleep; ask again where that is allowed")]
pub struct WouldSleep;

/// What is about to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Pages of the primary MMU.
    pub pages: Range<usize>,
    /// Whether subscribers may sleep: not where memory has to be freed for somebody who waits for it (the OOM reaper).
    pub may_sleep: bool,
}

/// Somebody who mirrors a primary MMU's translations.
///
/// Callbacks come from any thread, several at a time, also for pages that the subscriber has never seen, for pages that it has dropped
/// already, and nested: two changes of overlapping ranges may be in progress at once.
pub trait Subscriber: Send + Sync {
    /// The pages are about to change: `invalidate_range_start`. When it returns, no access through a translation of them is in flight
    /// or begins, until the change has ended.
    ///
    /// # Errors
    /// That it would have to sleep, if that is not allowed; then nothing has begun, and no `end` follows.
    fn start(&self, change: &Change) -> Result<(), WouldSleep>;

    /// The change has been made: `invalidate_range_end`. Translations may be made again.
    fn end(&self, change: &Change);

    /// The old callback, of a single moment, for orderings without a bracket: everything that is known of the pages goes now, and
    /// whatever is being looked up is forgotten.
    fn invalidate(&self, pages: Range<usize>) {
        let change = Change { pages, may_sleep: true };
        if self.start(&change).is_ok() {
            self.end(&change);
        }
    }
}

/// Everybody who has to be told.
#[derive(Default)]
pub struct Chain {
    subscribers: RwLock<Vec<Arc<dyn Subscriber>>>,
}

/// A change that was announced, and has to be concluded.
#[must_use = "subscribers make no translations until it has ended"]
pub struct Invalidation {
    told: Vec<Arc<dyn Subscriber>>,
    change: Change,
}

impl Chain {
    /// A chain without anybody on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells a subscriber from now on. A change that is in progress was announced without it: subscribe before the first translation is
    /// made.
    pub fn subscribe(&self, subscriber: Arc<dyn Subscriber>) {
        self.subscribers.write().unwrap_or_else(PoisonError::into_inner).push(subscriber);
    }

    /// Tells a subscriber no more. Returns whether it was on the chain.
    pub fn unsubscribe(&self, subscriber: &Arc<dyn Subscriber>) -> bool {
        let mut subscribers = self.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        let before = subscribers.len();
        subscribers.retain(|known| !Arc::ptr_eq(known, subscriber));
        subscribers.len() < before
    }

    /// Announces a change.
    ///
    /// # Errors
    /// That a subscriber would have to sleep and may not. Whoever has been told before is told the end again
    /// (`mn_hlist_invalidate_range_start`), so that nothing is in progress.
    pub fn start(&self, change: Change) -> Result<Invalidation, WouldSleep> {
        let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut told = Invalidation { told: Vec::new(), change };
        for subscriber in subscribers {
            subscriber.start(&told.change)?;
            told.told.push(subscriber);
        }
        Ok(told)
    }

    /// Tells everybody at once that pages have changed or are about to.
    pub fn invalidate(&self, pages: &Range<usize>) {
        let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner).clone();
        subscribers.iter().for_each(|subscriber| subscriber.invalidate(pages.clone()));
    }
}

impl Invalidation {
    /// The change has been made.
    pub fn end(self) {}
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        self.told.iter().for_each(|subscriber| subscriber.end(&self.change));
    }
}

#[cfg(test)]
mod tests;
