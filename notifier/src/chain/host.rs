//! A primary MMU: pages of an address space, the frames that they are in, and a TLB for each CPU.

use std::{
    fmt,
    ops::Range,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use super::{Chain, Change};

/// When subscribers are told of a change: the answers that there were in January 2008.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Ordering {
    /// Before and after, and no translation is made in between. Today's.
    #[default]
    StartEnd,
    /// Once, between the moment in which the old translation is gone and that in which the new one can be seen, under the page-table
    /// lock (`ptep_clear_flush_notify`).
    InsideLock,
    /// Once, when the page-table lock has been dropped.
    AfterUnlock,
    /// Once, before anything is changed.
    BeforePopulating,
}

impl Ordering {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::StartEnd, Self::InsideLock, Self::AfterUnlock, Self::BeforePopulating];

    /// As the language calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StartEnd => "start_end",
            Self::InsideLock => "inside_lock",
            Self::AfterUnlock => "after_unlock",
            Self::BeforePopulating => "before_populating",
        }
    }
}

impl fmt::Display for Ordering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No ordering has this name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no ordering is called '{0}'; there are start_end, inside_lock, after_unlock and before_populating")]
pub struct UnknownOrdering(pub String);

impl FromStr for Ordering {
    type Err = UnknownOrdering;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|ordering| ordering.name() == name).ok_or_else(|| UnknownOrdering(name.to_owned()))
    }
}

/// A page of physical memory.
#[derive(Debug, Default)]
pub struct Frame {
    /// Which mapping of the page this frame was made for: it grows with each [`Host::remap`].
    pub generation: AtomicU64,
    /// The greatest generation that anybody who wrote here knew of.
    pub stamp: AtomicU64,
    /// Increments.
    pub count: AtomicU64,
    /// Which page of the address space it belongs to, or belonged to.
    pub page: AtomicUsize,
}

/// A page of the address space.
#[derive(Debug)]
struct Page {
    /// The entry, under its lock. While a change is under way it is empty, and whoever needs it waits, as at the page-table lock.
    entry: Mutex<Option<Arc<Frame>>>,
    /// The generation that everybody may know of: the operation that made it has returned, or somebody has seen it.
    published: AtomicU64,
}

/// The translations that a CPU has cached, each in use as long as it is read-locked: a flush waits for the accesses in flight, as the
/// interrupt to that CPU does.
type Tlb = Vec<RwLock<Option<Arc<Frame>>>>;

/// A primary MMU.
pub struct Host {
    chain: Chain,
    pages: Vec<Page>,
    tlbs: Vec<Tlb>,
    ordering: Ordering,
    /// Frames that nobody maps any more, to be looked at.
    retired: Mutex<Vec<Arc<Frame>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// An address space of so many pages, used by so many CPUs; changes are announced in this ordering.
    #[must_use]
    pub fn new(pages: usize, cpus: usize, ordering: Ordering) -> Self {
        let page = |number| {
            let frame = Frame { generation: AtomicU64::new(1), page: AtomicUsize::new(number), ..Frame::default() };
            Page { entry: Mutex::new(Some(Arc::new(frame))), published: AtomicU64::new(1) }
        };
        Self {
            chain: Chain::new(),
            pages: (0..pages).map(page).collect(),
            tlbs: (0..cpus).map(|_| (0..pages).map(|_| RwLock::new(None)).collect()).collect(),
            ordering,
            retired: Mutex::default(),
        }
    }

    /// Who is told of changes.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// How many pages there are.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// What is mapped at a page now, for somebody who is about to make a translation of it (`get_user_pages`). It takes no lock but the
    /// page table's, and by the time it returns it may be out of date: that is what [`Gate`](super::Gate) is for. None while the entry is
    /// being changed.
    #[must_use]
    pub fn look_up(&self, page: usize) -> Option<Arc<Frame>> {
        lock(&self.pages.get(page)?.entry).clone()
    }

    /// The generation of a page that everybody may know of. Whoever has read it and then uses an older frame uses a stale translation.
    #[must_use]
    pub fn published(&self, page: usize) -> u64 {
        self.pages[page].published.load(SeqCst)
    }

    /// Tells everybody of a generation that was seen.
    pub fn publish(&self, page: usize, generation: u64) {
        self.pages[page].published.fetch_max(generation, SeqCst);
    }

    /// An access by a CPU of the host, through its TLB.
    pub fn access(&self, cpu: usize, page: usize, access: impl Fn(&Frame)) {
        let slot = &self.tlbs[cpu][page];
        loop {
            if let Some(frame) = &*slot.read().unwrap_or_else(PoisonError::into_inner) {
                return access(frame);
            }
            // The walk: nobody flushes between the look at the entry and the making of the translation.
            let mut slot = slot.write().unwrap_or_else(PoisonError::into_inner);
            let entry = lock(&self.pages[page].entry);
            slot.clone_from(&entry);
            drop(entry);
            if slot.is_none() {
                drop(slot);
                std::thread::yield_now();
            }
        }
    }

    fn flush(&self, page: usize) {
        self.tlbs.iter().for_each(|tlb| *tlb[page].write().unwrap_or_else(PoisonError::into_inner) = None);
    }

    /// A new frame takes the place of the old one, contents and all. When it has returned, the new generation is published.
    pub fn remap(&self, page: usize) {
        let new = |old: &Frame| Frame { generation: AtomicU64::new(old.generation.load(SeqCst) + 1), ..Frame::default() };
        let (generation, old) = self.change(page, new);
        self.publish(page, generation);
        lock(&self.retired).push(old);
    }

    /// The contents move to another frame.
    pub fn migrate(&self, page: usize) {
        self.change(page, |old| {
            let copy = |of: &AtomicU64| AtomicU64::new(of.load(SeqCst));
            Frame {
                generation: copy(&old.generation),
                stamp: copy(&old.stamp),
                count: copy(&old.count),
                page: AtomicUsize::new(0),
            }
        });
    }

    /// Puts the frame that `new` makes of the old one in its place, and tells everybody in this host's ordering. Returns its generation
    /// and the old frame.
    fn change(&self, page: usize, new: impl Fn(&Frame) -> Frame) -> (u64, Arc<Frame>) {
        let pages: Range<usize> = page..page + 1;
        let change = Change { pages: pages.clone(), may_sleep: true };
        let bracket = match self.ordering {
            // Nobody has to sleep where that is allowed.
            Ordering::StartEnd => self.chain.start(change).ok(),
            _ => None,
        };
        if self.ordering == Ordering::BeforePopulating {
            self.chain.invalidate(&pages);
        }
        let mut entry = lock(&self.pages[page].entry);
        let old = loop {
            match entry.take() {
                Some(old) => break old,
                None => {
                    // Somebody else is changing it, and has dropped the lock to let its CPUs go.
                    drop(entry);
                    std::thread::yield_now();
                    entry = lock(&self.pages[page].entry);
                }
            }
        };
        // A CPU that walks holds its TLB entry and wants the page table's lock.
        drop(entry);
        self.flush(page);
        if self.ordering == Ordering::InsideLock {
            self.chain.invalidate(&pages);
        }
        let frame = new(&old);
        frame.page.store(page, SeqCst);
        let generation = frame.generation.load(SeqCst);
        *lock(&self.pages[page].entry) = Some(Arc::new(frame));
        if self.ordering == Ordering::AfterUnlock {
            self.chain.invalidate(&pages);
        }
        if let Some(bracket) = bracket {
            bracket.end();
        }
        (generation, old)
    }

    /// The frames that nobody maps any more, since this was last asked.
    pub fn take_retired(&self) -> Vec<Arc<Frame>> {
        std::mem::take(&mut *lock(&self.retired))
    }

    /// Puts frames back among those that nobody maps any more.
    pub fn retire(&self, frames: impl IntoIterator<Item = Arc<Frame>>) {
        lock(&self.retired).extend(frames);
    }
}
