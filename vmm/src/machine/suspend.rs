//! Stopping vCPUs where they are, at any instruction, and letting them go on: here, or as somebody else.
//!
//! A pause ([`super::Machine::pause`]) is the guest's own doing, at the end of a batch of visits. This is the host's: the vCPU's
//! thread is kicked out of KVM_RUN in the middle of whatever the guest is at, and waits.

use super::{
    exit::VcpuFailure,
    state::CpuState,
    view::{VcpuState, VcpuView},
};
use kvm_ioctls::VcpuFd;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};
use thiserror::Error;

/// Between two kicks: a signal that arrives just before the entry into KVM_RUN is lost.
const KICK_EVERY: Duration = Duration::from_micros(50);

/// A bound, so that no lost wake-up holds a thread for long.
const LOOK: Duration = Duration::from_millis(20);

/// Why vCPUs could not be stopped, or not be made to go on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SuspendError {
    /// It did not come out of the kernel.
    #[error("vCPU {vcpu} did not leave KVM_RUN within {bound:?}; it is {state:?}")]
    Stuck {
        /// Which.
        vcpu: usize,
        /// The bound.
        bound: Duration,
        /// What it does instead.
        state: VcpuState,
    },
    /// It is not there any more.
    #[error("vCPU {vcpu} does not run any more: {state:?}")]
    Gone {
        /// Which.
        vcpu: usize,
        /// How it ended.
        state: VcpuState,
    },
    /// Another number of states than vCPUs.
    #[error("{states} states for {vcpus} vCPUs")]
    Count {
        /// States that were given.
        states: usize,
        /// vCPUs.
        vcpus: usize,
    },
}

/// What is said between a vCPU's thread and whoever stops it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// It is to stop, and to stay so.
    closed: AtomicBool,
    /// It is to leave its state.
    asked: AtomicBool,
    taken: Mutex<Option<Box<CpuState>>>,
    to_put: Mutex<Option<Box<CpuState>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    /// Whether the gate is to be closed or opened is only said with the view locked: a thread that leaves is running for everybody.
    pub(super) fn close(&self) {
        self.closed.store(true, Release);
    }

    fn open(&self) {
        self.closed.store(false, Release);
    }
}

/// Waits at a closed gate, on the vCPU's own thread, outside KVM_RUN. Nothing that it has begun may be left to be completed: its last
/// entry was one with `immediate_exit` that ended without anything to do.
pub(super) fn wait_at_gate(fd: &mut VcpuFd, view: &VcpuView) -> Result<(), VcpuFailure> {
    let gate = &view.shared.gate;
    view.set(VcpuState::Suspended);
    while !view.leave_gate() {
        if gate.asked.swap(false, Acquire) {
            *lock(&gate.taken) = Some(Box::new(CpuState::take(fd).map_err(VcpuFailure::State)?));
            view.tell();
        }
        let new = lock(&gate.to_put).take();
        if let Some(new) = new {
            new.put(fd).map_err(VcpuFailure::State)?;
            // Whoever waits for it sees it by the state being set (again).
            view.set(VcpuState::Suspended);
        }
        view.wait_for_news(LOOK, || !gate.is_closed() || gate.asked.load(Acquire) || lock(&gate.to_put).is_some());
    }
    Ok(())
}

/// All vCPUs of a machine, to be stopped and let go together. A handle: it may outlive the machine, whose vCPUs are gone then.
#[derive(Clone, Debug)]
pub struct Vcpus {
    views: Vec<VcpuView>,
}

impl Vcpus {
    pub(super) fn new(views: Vec<VcpuView>) -> Self {
        Self { views }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.views.len()
    }

    /// Stops all of them where they are, and takes their states.
    ///
    /// # Errors
    /// The first that cannot be stopped within `bound`; then all go on.
    pub fn suspend(&self, bound: Duration) -> Result<Vec<CpuState>, SuspendError> {
        for view in &self.views {
            *lock(&view.shared.gate.taken) = None;
            view.shared.gate.asked.store(true, Release);
        }
        self.hold(bound)?;
        let mut states = Vec::new();
        for (vcpu, view) in self.views.iter().enumerate() {
            // It may have stood there before it was asked.
            view.tell();
            let left = view.wait(bound, |state| state.is_final() || lock(&view.shared.gate.taken).is_some());
            match lock(&view.shared.gate.taken).take() {
                Some(state) => states.push(*state),
                None => {
                    self.go_on();
                    let stuck = SuspendError::Stuck { vcpu, bound, state: view.state() };
                    return Err(left.map_or(stuck, |state| SuspendError::Gone { vcpu, state }));
                }
            }
        }
        Ok(states)
    }

    /// Stops all of them where they are, for a while.
    ///
    /// # Errors
    /// The first that cannot be stopped within `bound`; then all go on.
    pub fn hold(&self, bound: Duration) -> Result<(), SuspendError> {
        self.close_gates();
        let deadline = Instant::now() + bound;
        loop {
            let mut running = None;
            for (vcpu, view) in self.views.iter().enumerate() {
                match view.state() {
                    VcpuState::Suspended => {}
                    state if state.is_final() => {
                        self.go_on();
                        return Err(SuspendError::Gone { vcpu, state });
                    }
                    state => {
                        view.kick();
                        running = Some((vcpu, state));
                    }
                }
            }
            let Some((vcpu, state)) = running else { return Ok(()) };
            if Instant::now() > deadline {
                self.go_on();
                return Err(SuspendError::Stuck { vcpu, bound, state });
            }
            std::thread::sleep(KICK_EVERY);
        }
    }

    /// Makes vCPUs stop before they enter the guest for the first time.
    pub(super) fn close_gates(&self) {
        self.views.iter().for_each(VcpuView::close_gate);
    }

    /// Makes stopped vCPUs others: they go on from these states when they are let go.
    ///
    /// # Errors
    /// When one does not take its state, or not within `bound`.
    pub fn put(&self, states: Vec<CpuState>, bound: Duration) -> Result<(), SuspendError> {
        if states.len() != self.views.len() {
            return Err(SuspendError::Count { states: states.len(), vcpus: self.views.len() });
        }
        for (view, state) in self.views.iter().zip(states) {
            view.set(VcpuState::Starting);
            *lock(&view.shared.gate.to_put) = Some(Box::new(state));
            view.tell();
        }
        for (vcpu, view) in self.views.iter().enumerate() {
            match view.wait(bound, |state| *state == VcpuState::Suspended || state.is_final()) {
                Some(VcpuState::Suspended) => {}
                Some(state) => return Err(SuspendError::Gone { vcpu, state }),
                None => return Err(SuspendError::Stuck { vcpu, bound, state: view.state() }),
            }
        }
        Ok(())
    }

    /// Lets all of them go on.
    pub fn go_on(&self) {
        for view in &self.views {
            view.shared.gate.asked.store(false, Relaxed);
            view.shared.gate.open();
            view.tell();
        }
    }
}
