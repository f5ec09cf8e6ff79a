//! What others know of a vCPU while its thread runs it, and how they make it stop and go on.

use super::{
    exit::VcpuFailure,
    suspend::Gate,
    vcpu::{AWAY, kick_signal},
};
use nix::unistd::Pid;
use nostale_notifier::{Gpa, event::Tsc};
use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicI32, AtomicU64,
            Ordering::{Acquire, Relaxed},
        },
    },
    time::{Duration, Instant},
};

/// What a vCPU is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VcpuState {
    /// Not in guest code yet.
    Starting,
    /// In the guest, or being entered.
    Running,
    /// Waits at a pause.
    Paused,
    /// Its thread waits outside KVM_RUN, whatever the guest is in the middle of.
    Suspended,
    /// Stopped at the end of a visit: its tally is final.
    Stopped,
    /// Its thread left KVM_RUN because it was told to, in the middle of a visit.
    Abandoned,
    /// It failed.
    Failed(VcpuFailure),
}

impl VcpuState {
    /// Whether its thread has ended or is about to.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Stopped | Self::Abandoned | Self::Failed(_))
    }
}

/// What others may know of a vCPU while it runs.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<VcpuState>,
    pub(super) changed: Condvar,
    pub(super) gate: Gate,
    pub(super) resume: AtomicBool,
    pub(super) abandon: AtomicBool,
    pub(super) efaults: AtomicU64,
    pub(super) last_gpa: AtomicU64,
    pub(super) ready_host_tsc: AtomicU64,
    /// Odd while it is in KVM_RUN.
    pub(super) entered: AtomicU64,
    /// Its thread, 0 while there is none.
    pub(super) thread: AtomicI32,
    pub(super) ring_full: AtomicU64,
    pub(super) carried_out: AtomicU64,
}

/// A view of one vCPU.
#[derive(Clone)]
pub struct VcpuView {
    pub(super) shared: Arc<Shared>,
}

impl fmt::Debug for VcpuView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VcpuView").field(&self.shared).finish()
    }
}

impl VcpuView {
    pub(super) fn new() -> Self {
        let shared = Shared {
            state: Mutex::new(VcpuState::Starting),
            changed: Condvar::new(),
            gate: Gate::default(),
            resume: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            efaults: AtomicU64::new(0),
            last_gpa: AtomicU64::new(u64::MAX),
            ready_host_tsc: AtomicU64::new(0),
            entered: AtomicU64::new(0),
            thread: AtomicI32::new(0),
            ring_full: AtomicU64::new(0),
            carried_out: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, VcpuState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, state: VcpuState) {
        *self.lock() = state;
        self.shared.changed.notify_all();
    }

    /// Wakes everybody who waits for something about it.
    pub(super) fn tell(&self) {
        let _state = self.lock();
        self.shared.changed.notify_all();
    }

    /// From here on its thread stops before it enters the guest.
    pub(super) fn close_gate(&self) {
        let _state = self.lock();
        self.shared.gate.close();
    }

    /// Goes on as running, if it may.
    pub(super) fn leave_gate(&self) -> bool {
        let mut state = self.lock();
        let leaves = !self.shared.gate.is_closed() || self.shared.abandon.load(Relaxed);
        if leaves {
            *state = VcpuState::Running;
        }
        leaves
    }

    /// Waits until somebody tells, and `news` is true, for at most `bound`.
    pub(super) fn wait_for_news(&self, bound: Duration, news: impl Fn() -> bool) {
        let abandoned = || self.shared.abandon.load(Relaxed);
        let wait = self.shared.changed.wait_timeout_while(self.lock(), bound, |_| !news() && !abandoned());
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> VcpuState {
        self.lock().clone()
    }

    /// Waits until `done` holds of its state; `None` when it does not within `bound`.
    #[must_use]
    pub fn wait(&self, bound: Duration, mut done: impl FnMut(&VcpuState) -> bool) -> Option<VcpuState> {
        let wait = self.shared.changed.wait_timeout_while(self.lock(), bound, |state| !done(state));
        let (state, timeout) = wait.unwrap_or_else(PoisonError::into_inner);
        (!timeout.timed_out()).then(|| state.clone())
    }

    /// Times the guest touched memory whose host mapping was gone or did not allow it.
    #[must_use]
    pub fn efaults(&self) -> u64 {
        self.shared.efaults.load(Relaxed)
    }

    /// Guest-physical address of the last such access, where KVM says.
    #[must_use]
    pub fn last_fault(&self) -> Option<Gpa> {
        Some(self.shared.last_gpa.load(Relaxed)).filter(|&gpa| gpa != u64::MAX).map(Gpa::new)
    }

    /// Times it waited because its dirty ring was full.
    #[must_use]
    pub fn ring_full(&self) -> u64 {
        self.shared.ring_full.load(Relaxed)
    }

    /// Accesses to memory without a memslot (or to a read-only one, to write) that were carried out for it.
    #[must_use]
    pub fn carried_out(&self) -> u64 {
        self.shared.carried_out.load(Relaxed)
    }

    /// A number that is odd while the vCPU is in KVM_RUN, and never the same for two entries.
    pub(super) fn entered(&self) -> u64 {
        self.shared.entered.load(Acquire)
    }

    /// Makes it leave KVM_RUN, if it is still in the entry `then`. `false` if it did not before `deadline`.
    pub(super) fn leave(&self, then: u64, deadline: Instant) -> bool {
        while then % 2 == 1 && self.entered() == then {
            let thread = self.shared.thread.load(Acquire);
            if thread == 0 {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            self.kick();
            // One that arrives just before the entry is lost: again, then.
            std::thread::sleep(AWAY);
        }
        true
    }

    /// Interrupts its thread, if there is one.
    pub(super) fn kick(&self) {
        let thread = self.shared.thread.load(Acquire);
        if thread != 0 {
            // SAFETY: a signal to a thread of this process, whose handler does nothing. If the thread has just ended there is none,
            // or a new one of ours that takes no notice.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, kick_signal()) };
        }
    }

    /// Its thread, while there is one.
    #[must_use]
    pub fn thread(&self) -> Option<Pid> {
        Some(self.shared.thread.load(Acquire)).filter(|&thread| thread != 0).map(Pid::from_raw)
    }

    /// Forgets that somebody resumed it while it was not paused.
    pub(super) fn forget_resume(&self) {
        self.shared.resume.store(false, Relaxed);
    }

    /// The host's time stamp counter when the guest, which had just read its own, said it was ready.
    #[must_use]
    pub fn ready_tsc(&self) -> Tsc {
        Tsc(self.shared.ready_host_tsc.load(Relaxed))
    }

    /// Lets a paused vCPU go on.
    pub(super) fn resume(&self) {
        self.shared.resume.store(true, Relaxed);
        let _state = self.lock();
        self.shared.changed.notify_all();
    }

    /// Makes its thread leave at the next return from KVM_RUN.
    pub(super) fn abandon(&self) {
        self.shared.abandon.store(true, Relaxed);
        self.resume();
    }
}
