//! How long to wait for a kernel under test.

use crate::inside::{Event, RunRequest};
use std::time::{Duration, Instant};

/// From QEMU's start to the agent's first word. Emulated machines on a busy host take their time.
pub(super) const BOOT: Duration = Duration::from_secs(120);
/// A short question.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// The next word of one that reads a recording, which takes a while where every instruction is emulated.
pub(super) const READING: Duration = Duration::from_secs(180);
/// The next word of a kernel that has complained of more than a warning: one that lost a thread, or a processor, seldom says any.
pub(super) const COMPLAINED: Duration = Duration::from_secs(20);
/// A word from PID 1 after a run.
pub(super) const SHORT: Duration = Duration::from_secs(5);
/// Beside its planned time, what a scenario takes at most: making and ending a VM, the final check, and each of the bounds within
/// which threads and vCPUs are given up.
const BESIDE: Duration = Duration::from_secs(20);
/// After a complaint of the kernel, in a run that ends with the first one: its report takes a moment to be printed.
const AFTER_ALARM: Duration = Duration::from_secs(1);

/// When nothing more is to be hoped for.
#[derive(Debug)]
pub(super) struct Deadline {
    stall_bound: Duration,
    until_violation: bool,
    quiet: Duration,
    last: Instant,
    /// Whatever comes, nobody waits longer than this.
    end: Instant,
    alarmed: bool,
}

impl Deadline {
    pub(super) fn new(request: &RunRequest) -> Self {
        let stall_bound = Duration::try_from_secs_f64(request.stall_bound_seconds).unwrap_or(BESIDE);
        let mut deadline = Self {
            stall_bound,
            until_violation: request.until_violation,
            quiet: Duration::ZERO,
            last: Instant::now(),
            end: Instant::now() + 3 * Duration::try_from_secs_f64(request.seconds).unwrap_or(BESIDE) + 10 * BESIDE,
            alarmed: false,
        };
        deadline.allow(Duration::ZERO);
        deadline
    }

    fn allow(&mut self, planned: Duration) {
        self.quiet = planned + BESIDE + 3 * self.stall_bound;
        self.last = Instant::now();
    }

    /// Something came.
    pub(super) fn heard(&mut self, event: &Event) {
        // A kernel that complains without end says nothing new.
        if self.alarmed || matches!(event, Event::Kernel(_)) {
            return;
        }
        let planned = match event {
            Event::Starts { planned_seconds, .. } => Duration::try_from_secs_f64(*planned_seconds).unwrap_or_default(),
            _ => self.quiet.saturating_sub(BESIDE + 3 * self.stall_bound),
        };
        self.allow(planned);
    }

    /// The kernel complained.
    pub(super) fn alarmed(&mut self) {
        if !self.alarmed {
            self.alarmed = true;
            self.last = Instant::now();
        }
    }

    /// How long it has been quiet, if that is too long.
    pub(super) fn passed(&self) -> Option<Duration> {
        let quiet = if self.alarmed && self.until_violation { AFTER_ALARM } else { self.quiet };
        Some(self.last.elapsed()).filter(|&elapsed| elapsed > quiet || Instant::now() > self.end)
    }

    /// Whether it was the kernel's complaint that made this short.
    pub(super) fn was_alarmed(&self) -> bool {
        self.alarmed
    }
}
