//! The rules of invalidate ordering, as data: each has a name, says what must hold and why, and lists the kinds of events that it wants to
//! see. To add one, copy the file of another and list it in [`all`].
//!
//! A rule sees each event *before* it takes effect on the [`World`], so that it can compare what was with what comes. It reports what
//! cannot be in a kernel that is right, whatever the timing; what may be right or wrong it lets pass.

mod announced;
mod closed;
mod flushed;
mod freed;
mod in_progress;
mod installed_over;
mod migrating;
mod primary;
mod returned;
mod zapped;

use super::{
    event::{KernelEvent, PrimarySample, Tid},
    head::{Head, Mmu},
    kind::Kind,
    world::{Opening, World},
};
use crate::{Hva, event::Tsc};
use std::collections::VecDeque;

/// What a recording can show.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Kind of secondary MMU.
    pub mmu: Mmu,
    /// Whether probes tell where invalidations begin and end.
    pub probes: bool,
    /// Events that were recorded, by group and name.
    pub events: Vec<String>,
}

impl Sight {
    /// That of a recording.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        let events = head.formats.iter().map(|format| format.name.clone()).collect();
        Self { mmu: head.mmu, probes: head.probes, events }
    }

    /// Whether an event was recorded, by its name without the group.
    #[must_use]
    pub fn has(&self, event: &str) -> bool {
        self.events.iter().any(|name| name.rsplit('/').next() == Some(event))
    }

    /// Why an event was not there to be seen, if so.
    ///
    /// # Errors
    /// It was not.
    pub fn needs(&self, event: &str) -> Result<(), String> {
        if self.has(event) { Ok(()) } else { Err(format!("{event} was not recorded")) }
    }
}

/// What a rule says of itself.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What must hold, in one line.
    pub says: &'static str,
    /// Why, and where in the kernel that is to be read.
    pub because: &'static str,
    /// The kinds of events that it wants to see.
    pub kinds: &'static [Kind],
    /// Why it cannot be asked of what a recording shows, if so.
    pub asks: fn(&Sight) -> Result<(), String>,
}

/// A rule that was broken once.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// What is wrong.
    pub what: String,
    /// Where, in the host.
    pub hva: Option<Hva>,
    /// In whose operation.
    pub tid: Tid,
    /// What shows it; the last is the event that broke it.
    pub events: Vec<KernelEvent>,
}

/// Breaks of a rule that are kept in full.
pub const EXAMPLES: usize = 5;

/// What a rule found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How often it was asked.
    pub checks: u64,
    /// How often it was broken.
    pub breaks: u64,
    /// The first breaks, and when they were.
    pub examples: Vec<(Tsc, Broken)>,
    /// When the latest breaks were.
    when: VecDeque<Tsc>,
}

/// Breaks that can be withdrawn.
const WITHDRAWABLE: usize = 4096;

impl Findings {
    /// It was asked, and held.
    pub(crate) const fn holds(&mut self) {
        self.checks += 1;
    }

    /// It was asked, and did not hold `at` this time.
    pub(crate) fn breaks(&mut self, at: Tsc, how: impl FnOnce() -> Broken) {
        self.checks += 1;
        self.breaks += 1;
        if self.when.len() == WITHDRAWABLE {
            self.when.pop_front();
        }
        self.when.push_back(at);
        if self.examples.len() < EXAMPLES {
            self.examples.push((at, how()));
        }
    }

    /// Withdraws what was found since: it turns out that events were missing by then, and one of them may have said what nobody seemed to
    /// have said.
    pub(crate) fn withdraw(&mut self, since: Tsc) {
        while self.when.back().is_some_and(|when| *when >= since) {
            self.when.pop_back();
            self.breaks -= 1;
            self.checks -= 1;
        }
        self.examples.retain(|(when, _)| *when < since);
    }
}

/// A rule at work.
pub trait Rule {
    /// What it says of itself.
    fn about(&self) -> &'static About;

    /// An event of a kind that it wants to see is about to happen in `world`.
    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        let _ = (event, world, found);
    }

    /// A thread has come back from an announcement, and is about to do `event`.
    fn closes(&mut self, opening: &Opening, event: &KernelEvent, world: &World, found: &mut Findings) {
        let _ = (opening, event, world, found);
    }

    /// The primary MMU was looked at. Everything that had happened when the look was over has been applied to `world`.
    fn sample(&mut self, sample: &PrimarySample, world: &World, found: &mut Findings) {
        let _ = (sample, world, found);
    }

    /// Events were lost: what was seen before says nothing of what comes.
    fn forget(&mut self) {}

    /// The recording is over; `last` was its last event.
    fn ends(&mut self, last: &KernelEvent, world: &World, found: &mut Findings) {
        let _ = (last, world, found);
    }
}

/// Every rule there is, in the order in which they are listed.
#[must_use]
pub fn all() -> Vec<Box<dyn Rule>> {
    vec![
        Box::new(announced::Announced::default()),
        Box::new(returned::Returned),
        Box::new(zapped::Zapped),
        Box::new(flushed::Flushed),
        Box::new(in_progress::InProgress),
        Box::new(migrating::Migrating),
        Box::new(installed_over::InstalledOver),
        Box::new(primary::Primary),
        Box::new(freed::Freed),
        Box::new(closed::Closed),
    ]
}

/// The rule that a finding of this name is of.
#[must_use]
pub fn named(name: &str) -> Option<&'static About> {
    all().iter().map(|rule| rule.about()).find(|about| about.name == name)
}
