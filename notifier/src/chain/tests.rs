use super::{
    trial::{Device, Options, Oracle, Report, trial},
    *,
};
use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

/// Writes down what it is told.
#[derive(Default)]
struct Scribe {
    told: Mutex<Vec<String>>,
    refuses: AtomicBool,
}

impl Subscriber for Scribe {
    fn start(&self, change: &Change) -> Result<(), WouldSleep> {
        if self.refuses.load(SeqCst) && !change.may_sleep {
            return Err(WouldSleep);
        }
        self.told.lock().expect("nobody panics").push(format!("start {:?}", change.pages));
        Ok(())
    }

    fn end(&self, change: &Change) {
        self.told.lock().expect("nobody panics").push(format!("end {:?}", change.pages));
    }
}

impl Scribe {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().expect("nobody panics"))
    }
}

#[test]
fn everybody_is_told_the_beginning_and_the_end() {
    let (chain, one, two) = (Chain::new(), Arc::new(Scribe::default()), Arc::new(Scribe::default()));
    chain.subscribe(one.clone());
    chain.subscribe(two.clone());
    let change = chain.start(Change { pages: 2..4, may_sleep: true }).expect("may sleep");
    assert_eq!((one.take(), two.take()), (vec!["start 2..4".to_owned()], vec!["start 2..4".to_owned()]));
    change.end();
    assert_eq!((one.take(), two.take()), (vec!["end 2..4".to_owned()], vec!["end 2..4".to_owned()]));
    let subscriber: Arc<dyn Subscriber> = one.clone();
    assert!(chain.unsubscribe(&subscriber) && !chain.unsubscribe(&subscriber));
    chain.invalidate(&(0..1));
    assert_eq!((one.take().len(), two.take().len()), (0, 2));
}

/// mn_hlist_invalidate_range_start: whoever was told before the one that refused must not wait for an end for ever.
#[test]
fn where_one_cannot_be_told_the_others_are_told_the_end() {
    let (chain, one, two) = (Chain::new(), Arc::new(Scribe::default()), Arc::new(Scribe::default()));
    chain.subscribe(one.clone());
    chain.subscribe(two.clone());
    two.refuses.store(true, SeqCst);
    assert!(chain.start(Change { pages: 0..1, may_sleep: false }).is_err());
    assert_eq!((one.take(), two.take()), (vec!["start 0..1".to_owned(), "end 0..1".to_owned()], Vec::<String>::new()));
    assert!(chain.start(Change { pages: 0..1, may_sleep: true }).is_ok());
}

#[test]
fn nothing_is_installed_over_a_change_that_came_or_is_there() {
    let gate = Gate::new(0);
    let before = gate.snapshot();
    assert!(gate.install(before, |tables| *tables = 1));
    gate.start(|tables| *tables = 0);
    assert!(!gate.install(gate.snapshot(), |tables| *tables = 2), "one is in progress");
    gate.start(|_| {});
    gate.end();
    assert!(!gate.install(gate.snapshot(), |tables| *tables = 2), "the other one still is");
    gate.end();
    assert!(!gate.install(before, |tables| *tables = 2), "one has been");
    assert!(gate.install(gate.snapshot(), |tables| *tables = 3));
    assert_eq!(gate.with(|tables| *tables), 3);
}

fn options(ordering: Ordering) -> Options {
    Options { ordering, time: Duration::from_millis(300), ..Options::default() }
}

/// Until something is found, or for several seconds.
fn found<D: Device + 'static>(device: impl Fn() -> D, ordering: Ordering) -> Report {
    let mut report = Report::default();
    for seed in 0..20 {
        let options = Options { seed, ..options(ordering) };
        report = trial(&Arc::new(device()), &options);
        if !report.violations.is_empty() {
            break;
        }
    }
    report
}

fn oracles(report: &Report) -> BTreeSet<Oracle> {
    report.violations.iter().map(|violation| violation.oracle).collect()
}

#[test]
fn a_mirror_is_coherent_where_it_is_told_in_time() {
    for ordering in [Ordering::StartEnd, Ordering::InsideLock] {
        let options = options(ordering);
        let report = trial(&Arc::new(Mirror::new(options.pages)), &options);
        assert!(report.violations.is_empty() && !report.is_vacuous(), "{ordering}: {report:?}");
    }
}

#[test]
fn a_mirror_that_is_told_too_late_or_too_early_is_found_out() {
    for ordering in [Ordering::AfterUnlock, Ordering::BeforePopulating] {
        let report = found(|| Mirror::new(4), ordering);
        let known = BTreeSet::from([Oracle::Finality, Oracle::Freshness, Oracle::Conservation]);
        assert!(!report.violations.is_empty() && oracles(&report).is_subset(&known), "{ordering}: {report:?}");
    }
}

/// A mirror with a fault.
struct Faulty {
    mirror: Mirror,
    entries: Vec<Mutex<Option<Arc<Frame>>>>,
    fault: Fault,
    calls: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// It keeps what it has looked up, whatever it is told.
    Deaf,
    /// It does not look whether anything has changed since it looked the page up.
    NoRetry,
    /// It accesses each page twice, now and then.
    Twice,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        let entries = (0..4).map(|_| Mutex::new(None)).collect();
        Self { mirror: Mirror::new(4), entries, fault, calls: AtomicU64::new(0) }
    }
}

impl Subscriber for Faulty {
    fn start(&self, change: &Change) -> Result<(), WouldSleep> {
        if self.fault == Fault::NoRetry {
            change.pages.clone().for_each(|page| *self.entries[page].lock().expect("nobody panics") = None);
        }
        self.mirror.start(change)
    }

    fn end(&self, change: &Change) {
        self.mirror.end(change);
    }
}

impl Device for Faulty {
    fn access(&self, host: &Host, page: usize, access: &dyn Fn(&Frame)) {
        if self.fault == Fault::Twice {
            self.mirror.access(host, page, access);
            if self.calls.fetch_add(1, SeqCst).is_multiple_of(1000) {
                self.mirror.access(host, page, access);
            }
            return;
        }
        let mut entry = self.entries[page].lock().expect("nobody panics");
        if entry.is_none() {
            // It waits for nobody while it holds the entry.
            drop(entry);
            let mut frame = host.look_up(page);
            while frame.is_none() {
                std::thread::yield_now();
                frame = host.look_up(page);
            }
            entry = self.entries[page].lock().expect("nobody panics");
            *entry = frame;
        }
        if let Some(frame) = &*entry {
            access(frame);
        }
    }
}

#[test]
fn a_faulty_device_is_found_out() {
    for (fault, telling) in
        [(Fault::Deaf, Oracle::Freshness), (Fault::NoRetry, Oracle::Freshness), (Fault::Twice, Oracle::Access)]
    {
        let report = found(|| Faulty::new(fault), Ordering::StartEnd);
        assert!(
            oracles(&report).contains(&telling) || fault == Fault::NoRetry && !report.violations.is_empty(),
            "{fault:?}: {report:?}"
        );
    }
}
