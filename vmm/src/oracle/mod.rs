//! The oracles: what must hold of a live run, each in a file of its own, and the place where their findings come together.

pub mod conservation;
pub mod dirty;
pub mod finality;
pub mod freshness;
pub mod permission;
pub mod progress;
pub mod vacuity;

use crate::{host::clock, memory::Snapshot};
use nostale_guest::page::LINES;
use nostale_notifier::{
    HvaRange,
    event::{Event, EventLog, Tsc},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, ser::SerializeStruct};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// Which rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oracle {
    /// Counters hold exactly what was added to them.
    Conservation,
    /// A page that was replaced or taken away is not written once the operation has returned.
    Finality,
    /// Nor once any host thread has seen the new page, even while the operation runs.
    ThirdThread,
    /// A read that follows a published host write returns it.
    Freshness,
    /// No write lands once write access was taken away.
    Permission,
    /// A litmus test ends in no state that its model does not allow.
    Litmus,
    /// Every vCPU makes progress.
    Progress,
    /// The kernel does not complain.
    Kernel,
    /// Guest accesses went through the secondary MMU, and invalidations hit it.
    Vacuity,
}

impl Oracle {
    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conservation => "conservation",
            Self::Finality => "finality",
            Self::ThirdThread => "third-thread",
            Self::Freshness => "freshness",
            Self::Permission => "permission",
            Self::Litmus => "litmus",
            Self::Progress => "progress",
            Self::Kernel => "kernel",
            Self::Vacuity => "vacuity",
        }
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How somebody reached a page that was no longer theirs to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// By reading it.
    Read,
    /// By writing to it.
    Write,
}

/// Contents of a page, for whoever looks into a violation.
#[derive(Clone, Debug)]
pub struct PageDump {
    /// Which page it is and when it was read.
    pub what: String,
    /// Its lines.
    pub snapshot: Snapshot,
}

impl Serialize for PageDump {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lines = self.snapshot.lines.map(|line| line.map(|word| format!("{word:#x}")));
        let mut dump = serializer.serialize_struct("PageDump", 2)?;
        dump.serialize_field("what", &self.what)?;
        dump.serialize_field("lines", &lines)?;
        dump.end()
    }
}

impl<'de> Deserialize<'de> for PageDump {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Words are text, because JavaScript and its like round numbers above 2^53.
        #[derive(Deserialize)]
        struct Words {
            what: String,
            lines: [[String; 8]; LINES],
        }
        let Words { what, lines } = Words::deserialize(deserializer)?;
        let mut snapshot = Snapshot { lines: [[0; 8]; LINES] };
        for (word, text) in snapshot.lines.iter_mut().flatten().zip(lines.iter().flatten()) {
            let number = text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
            *word = number
                .ok_or_else(|| D::Error::custom(format_args!("'{text}' is no word of a page: 0x and hexadecimal digits")))?;
        }
        Ok(Self { what, snapshot })
    }
}

/// A broken rule, with what is needed to look into it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// Which rule.
    pub oracle: Oracle,
    /// Host operation on which it was seen.
    pub operation: String,
    /// Arena page.
    pub page: Option<u64>,
    /// Its place at home.
    pub range: Option<HvaRange>,
    /// Who wrote or read.
    pub writer: Option<String>,
    /// Whether it is about a stale write or a stale read; neither for what was lost.
    pub access: Option<Access>,
    /// What had been promised (an epoch, a value, a count).
    pub expected: u64,
    /// What was found.
    pub found: u64,
    /// When.
    pub tsc: Tsc,
    /// In words.
    pub detail: String,
    /// The events that touched the page just before.
    pub events: Vec<Event>,
    /// Contents of the pages concerned.
    pub pages: Vec<PageDump>,
}

impl Violation {
    /// A broken rule, of which nothing but this is known yet.
    #[must_use]
    pub fn new(oracle: Oracle, operation: &str, detail: String) -> Self {
        Self {
            oracle,
            operation: operation.to_owned(),
            page: None,
            range: None,
            writer: None,
            access: None,
            expected: 0,
            found: 0,
            tsc: clock::now(),
            detail,
            events: Vec::new(),
            pages: Vec::new(),
        }
    }
}

/// How many violations are kept with all their details; more are counted.
const KEPT: usize = 32;
/// Events kept by each actor.
const EVENTS: usize = 4096;
/// Events shown with a violation.
const SHOWN: usize = 24;

#[derive(Debug, Default)]
struct Found {
    kept: Vec<Violation>,
    counts: BTreeMap<Oracle, u64>,
    stale_writes: u64,
    witnessed: u64,
    remarks: BTreeSet<&'static str>,
}

/// What all oracles found together.
#[derive(Debug, Default)]
pub struct Findings {
    /// The first violations, with their details.
    pub violations: Vec<Violation>,
    /// How often each rule was broken.
    pub counts: BTreeMap<Oracle, u64>,
    /// Breaches that were stale writes.
    pub stale_writes: u64,
    /// Replaced pages that were looked at again.
    pub witnessed: u64,
    /// What is worth knowing, though no rule was broken.
    pub remarks: BTreeSet<&'static str>,
}

/// What the oracles found so far, and the history to read it against.
#[derive(Debug)]
pub struct Watch {
    logs: Vec<Mutex<EventLog>>,
    found: Mutex<Found>,
    /// Whether there is anything in `found`, for those who ask often.
    tripped: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// A watch over `actors` actors, each with an event log of its own so that none waits for another.
    #[must_use]
    pub fn new(actors: usize) -> Self {
        Self {
            logs: (0..actors.max(1)).map(|_| Mutex::new(EventLog::new(EVENTS))).collect(),
            found: Mutex::default(),
            tripped: AtomicBool::new(false),
        }
    }

    /// Notes an event of actor number `actor`.
    pub fn note(&self, actor: usize, event: Event) {
        lock(&self.logs[actor % self.logs.len()]).push(event);
    }

    /// The last events of all actors that touch `range`, oldest first.
    #[must_use]
    pub fn events(&self, range: HvaRange) -> Vec<Event> {
        let mut events: Vec<_> = self.logs.iter().flat_map(|log| lock(log).around(range, SHOWN)).collect();
        events.sort_by_key(|event| event.tsc);
        events.split_off(events.len().saturating_sub(SHOWN))
    }

    /// Takes a violation down, completing it with the events around its page.
    pub fn report(&self, mut violation: Violation) {
        let keep = {
            let mut found = lock(&self.found);
            *found.counts.entry(violation.oracle).or_default() += 1;
            found.stale_writes += u64::from(violation.access == Some(Access::Write));
            found.kept.len() < KEPT
        };
        if keep {
            if let Some(range) = violation.range {
                violation.events = self.events(range);
            }
            lock(&self.found).kept.push(violation);
        }
        // Last: who stops at it wants to find it with its details.
        self.tripped.store(true, Relaxed);
    }

    /// Whether any oracle has found anything yet.
    #[must_use]
    pub fn tripped(&self) -> bool {
        self.tripped.load(Relaxed)
    }

    /// A replaced page was looked at again.
    pub fn witnessed(&self) {
        lock(&self.found).witnessed += 1;
    }

    /// Something is worth knowing, though no rule is broken.
    pub fn remark(&self, remark: &'static str) {
        lock(&self.found).remarks.insert(remark);
    }

    /// Everything found so far; the watch starts afresh.
    #[must_use]
    pub fn take(&self) -> Findings {
        self.tripped.store(false, Relaxed);
        let Found { kept, counts, stale_writes, witnessed, remarks } = std::mem::take(&mut *lock(&self.found));
        Findings { violations: kept, counts, stale_writes, witnessed, remarks }
    }
}
