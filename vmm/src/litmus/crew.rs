//! All who take part in a round: where they meet, and what has gone wrong.

use super::meeting::Meeting;
use crate::machine::{GuestFinding, Observer, VcpuState, VcpuView};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How long a round may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// All who take part in a round, and what has gone wrong.
pub(super) struct Crew {
    pub(super) meeting: Meeting,
    views: Vec<VcpuView>,
    begun: Vec<AtomicBool>,
    /// When the round began, and when the last vCPU was through with it, in nanoseconds from then.
    since: Mutex<Instant>,
    through: AtomicU64,
    wrong: Mutex<Option<String>>,
}

impl Crew {
    /// So many threads of the test, these vCPUs among them, and who leads.
    pub(super) fn new(threads: usize, views: Vec<VcpuView>) -> Self {
        Self {
            meeting: Meeting::new(1 + threads),
            begun: views.iter().map(|_| AtomicBool::new(false)).collect(),
            views,
            since: Mutex::new(Instant::now()),
            through: AtomicU64::new(0),
            wrong: Mutex::default(),
        }
    }

    /// For who leads: lets a round begin, and waits for its end, or says what has gone wrong.
    pub(super) fn round(&self) -> Result<(), String> {
        let begin = Instant::now();
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = begin;
        self.through.store(0, Relaxed);
        if self.meet() && self.meet() {
            return Ok(());
        }
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(wrong.unwrap_or_else(|| "a round was called off".to_owned()))
    }

    /// How long the guests took in the last round.
    pub(super) fn guests_took(&self) -> Duration {
        Duration::from_nanos(self.through.load(Relaxed))
    }

    /// Where a round begins, and where it ends. False: there is none any more.
    pub(super) fn meet(&self) -> bool {
        self.meeting.meet(&|| self.look())
    }

    /// Whether all can still come.
    fn look(&self) -> bool {
        let failed = self.views.iter().enumerate().find_map(|(vcpu, view)| match view.state() {
            VcpuState::Failed(failure) => Some(format!("vCPU {vcpu}: {failure}")),
            _ => None,
        });
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let late = || (since.elapsed() > PATIENCE).then(|| format!("a round did not end within {PATIENCE:?}"));
        let Some(wrong) = failed.or_else(late) else { return true };
        self.say(wrong);
        false
    }

    /// Notes what has gone wrong, if it is the first to.
    pub(super) fn say(&self, wrong: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(wrong);
    }
}

impl Observer for Crew {
    fn finding(&self, finding: GuestFinding) {
        self.say(format!("the guest of a litmus test has a finding: {finding:?}"));
    }

    fn before_entry(&self, vcpu: usize) {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        self.through.fetch_max(since.elapsed().as_nanos() as u64, Relaxed);
        // It has ended a round, unless it has not begun one.
        if !self.begun[vcpu].swap(true, Relaxed) || self.meet() {
            self.meet();
        }
    }
}
