//! A subscriber's trial: host operations on its pages while its own threads use them, and the same oracles as for a guest on KVM.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Change, Frame, Host, Ordering, Subscriber, WouldSleep};

/// A subscriber that accesses memory.
pub trait Device: Subscriber {
    /// Accesses a page through a translation of its own; where it has none, it makes one of what [`Host::look_up`] says. `access` is to be
    /// called exactly once, while the translation is in use.
    fn access(&self, host: &Host, page: usize, access: &dyn Fn(&Frame));
}

/// How long, how large, and how the host tells.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Pages.
    pub pages: usize,
    /// Threads of the device.
    pub device_threads: usize,
    /// Threads of the host that use the same pages.
    pub host_threads: usize,
    /// Threads that change the pages.
    pub operations: usize,
    /// When the host tells.
    pub ordering: Ordering,
    /// How long.
    pub time: Duration,
    /// Where all choices come from.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pages: 4,
            device_threads: 2,
            host_threads: 1,
            operations: 1,
            ordering: Ordering::StartEnd,
            time: Duration::from_secs(1),
            seed: 1,
        }
    }
}

/// What went wrong, by oracle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Oracle {
    /// A write that knew of a newer mapping was found on an older page.
    Finality,
    /// A read that knew of a newer mapping saw an older page.
    Freshness,
    /// An increment was lost, or counted twice.
    Conservation,
    /// The device did not call `access` exactly once.
    Access,
}

/// A violation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which oracle.
    pub oracle: Oracle,
    /// Which page.
    pub page: usize,
    /// What was expected and found.
    pub detail: String,
}

/// What came of a trial.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What went wrong: the first of each oracle and page.
    pub violations: Vec<Violation>,
    /// Violations, all of them.
    pub violated: u64,
    /// Accesses by the device.
    pub device_accesses: u64,
    /// Accesses by the host's threads.
    pub host_accesses: u64,
    /// Host operations.
    pub operations: u64,
    /// Translations that the device has looked up again.
    pub changes_told: u64,
}

impl Report {
    /// Whether nothing was tried: no access, no operation, or the device was never told.
    #[must_use]
    pub fn is_vacuous(&self) -> bool {
        self.device_accesses == 0 || self.operations == 0 || self.changes_told == 0
    }
}

/// Passes everything on, and counts.
struct Told<D> {
    device: Arc<D>,
    times: AtomicU64,
}

/// Frames that are looked at only when so many others have been retired: a late write would be on its way for long.
const KEPT: usize = 256;

/// What all threads share.
struct Ground<'a, D> {
    host: &'a Host,
    device: &'a D,
    stop: AtomicBool,
    /// Increments, by page.
    increments: Vec<AtomicU64>,
    found: Mutex<(BTreeSet<(Oracle, usize)>, Report)>,
}

/// Tries a device. A [`Report`] without violations that is not [vacuous](Report::is_vacuous) speaks for it; how much, depends on the time.
///
/// Half of the pages are remapped (another page takes their place: finality, freshness), the other half migrate (contents move:
/// conservation).
pub fn trial<D: Device + 'static>(device: &Arc<D>, options: &Options) -> Report {
    let host = Host::new(options.pages.max(2), options.host_threads, options.ordering);
    let told = Arc::new(Told { device: Arc::clone(device), times: AtomicU64::new(0) });
    host.chain().subscribe(Arc::clone(&told) as Arc<dyn Subscriber>);
    let ground = Ground {
        host: &host,
        device: &**device,
        stop: AtomicBool::new(false),
        increments: (0..host.pages()).map(|_| AtomicU64::new(0)).collect(),
        found: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let ground = &ground;
        let random = |kind: u64, number: usize| Xoshiro256PlusPlus::seed_from_u64(options.seed ^ kind << 32 ^ number as u64);
        for number in 0..options.operations.max(1) {
            let random = random(1, number);
            scope.spawn(move || ground.operate(random));
        }
        for cpu in 0..options.host_threads {
            let random = random(2, cpu);
            scope.spawn(move || ground.use_host(cpu, random));
        }
        for number in 0..options.device_threads.max(1) {
            let random = random(3, number);
            scope.spawn(move || ground.use_device(random));
        }
        std::thread::sleep(options.time);
        ground.stop.store(true, SeqCst);
    });
    ground.settle();
    let (_, mut report) = ground.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.changes_told = told.times.load(SeqCst);
    report
}

impl<D: Device> Subscriber for Told<D> {
    fn start(&self, change: &Change) -> Result<(), WouldSleep> {
        self.times.fetch_add(1, Relaxed);
        self.device.start(change)
    }

    fn end(&self, change: &Change) {
        self.device.end(change);
    }

    fn invalidate(&self, pages: std::ops::Range<usize>) {
        self.times.fetch_add(1, Relaxed);
        self.device.invalidate(pages);
    }
}

impl<D: Device> Ground<'_, D> {
    fn report(&self, oracle: Oracle, page: usize, detail: impl FnOnce() -> String) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.1.violated += 1;
        if found.0.insert((oracle, page)) {
            found.1.violations.push(Violation { oracle, page, detail: detail() });
        }
    }

    fn add(&self, add: impl FnOnce(&mut Report)) {
        add(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner).1);
    }

    /// Whether a page is remapped, and not migrated.
    fn is_remapped(page: usize) -> bool {
        page.is_multiple_of(2)
    }

    fn operate(&self, mut random: Xoshiro256PlusPlus) {
        let (mut operations, mut retired) = (0, VecDeque::new());
        while !self.stop.load(Relaxed) {
            let page = random.random_range(0..self.host.pages());
            if Self::is_remapped(page) {
                self.host.remap(page)
            } else {
                self.host.migrate(page)
            }
            operations += 1;
            retired.extend(self.host.take_retired());
            let late = retired.len().saturating_sub(KEPT);
            retired.drain(..late).for_each(|frame| self.look(&frame));
            if random.random_range(0..4) == 0 {
                std::thread::yield_now();
            }
        }
        self.host.retire(retired);
        self.add(|report| report.operations += operations);
    }

    /// A thread of the host: what it sees through the primary MMU, it tells.
    fn use_host(&self, cpu: usize, mut random: Xoshiro256PlusPlus) {
        let mut accesses = 0;
        while !self.stop.load(Relaxed) {
            let page = random.random_range(0..self.host.pages());
            let known = self.host.published(page);
            let seen = AtomicU64::new(0);
            self.host.access(cpu, page, |frame| self.touch(frame, page, known, &seen));
            self.host.publish(page, seen.into_inner());
            accesses += 1;
        }
        self.add(|report| report.host_accesses += accesses);
    }

    fn use_device(&self, mut random: Xoshiro256PlusPlus) {
        let mut accesses = 0;
        while !self.stop.load(Relaxed) {
            let page = random.random_range(0..self.host.pages());
            let known = self.host.published(page);
            let (seen, calls) = (AtomicU64::new(0), AtomicU64::new(0));
            self.device.access(self.host, page, &|frame| {
                calls.fetch_add(1, Relaxed);
                self.touch(frame, page, known, &seen);
            });
            let (seen, calls) = (seen.into_inner(), calls.into_inner());
            if calls != 1 {
                self.report(Oracle::Access, page, || format!("access was called {calls} times for one access"));
            } else if seen < known {
                let detail = || format!("read generation {seen} when generation {known} had been published");
                self.report(Oracle::Freshness, page, detail);
            }
            accesses += 1;
        }
        self.add(|report| report.device_accesses += accesses);
    }

    /// Reads, writes and counts.
    fn touch(&self, frame: &Frame, page: usize, known: u64, seen: &AtomicU64) {
        seen.store(frame.generation.load(SeqCst), SeqCst);
        frame.stamp.fetch_max(known, SeqCst);
        if !Self::is_remapped(page) {
            frame.count.fetch_add(1, SeqCst);
            self.increments[page].fetch_add(1, SeqCst);
        }
    }

    /// Looks at a frame for what nobody may have written there.
    fn look(&self, frame: &Frame) {
        let (stamp, generation) = (frame.stamp.load(SeqCst), frame.generation.load(SeqCst));
        if stamp > generation {
            let detail = || format!("a write that knew of generation {stamp} is on the page of generation {generation}");
            self.report(Oracle::Finality, frame.page.load(SeqCst), detail);
        }
    }

    /// Looks at everything that is left, when all threads have ended.
    fn settle(&self) {
        self.host.take_retired().iter().for_each(|frame| self.look(frame));
        for (page, increments) in self.increments.iter().enumerate() {
            let Some(frame) = self.host.look_up(page) else { continue };
            self.look(&frame);
            let (found, made) = (frame.count.load(SeqCst), increments.load(SeqCst));
            if !Self::is_remapped(page) && found != made {
                self.report(Oracle::Conservation, page, || format!("{made} increments were made, and {found} are there"));
            }
        }
    }
}
