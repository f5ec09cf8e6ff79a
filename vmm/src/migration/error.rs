//! Why a migration failed.

use super::{NO_VISIT, stream::CodecError};
use crate::{
    machine::{MachineError, SlotError, StateError, SuspendError, VcpuState},
    memory::{ArenaError, userfault::UserfaultError},
};
use nix::errno::Errno;
use std::{io, time::Duration};
use thiserror::Error;

/// Why a migration failed.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// There is no destination.
    #[error("cannot start a destination ({what}): {source}")]
    Spawn {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The other side cannot be written to or read from.
    #[error("{what} the other side: {source}")]
    Channel {
        /// What was tried.
        what: &'static str,
        /// What the system says. A timeout is EAGAIN.
        source: io::Error,
    },
    /// What came is no message.
    #[error("the other side sent nonsense: {0}")]
    Codec(#[from] CodecError),
    /// The other side gave up.
    #[error("the other side failed: {0}")]
    Said(String),
    /// The guest came to an end at the destination, which did not.
    #[error("the guest was lost at the destination: {0}")]
    Lost(String),
    /// The other side said something else.
    #[error("{got} came where {wanted} was waited for")]
    Unexpected {
        /// What came.
        got: String,
        /// What was waited for.
        wanted: &'static str,
    },
    /// Nothing came.
    #[error("no {wanted} within {bound:?}")]
    Silent {
        /// What was waited for.
        wanted: &'static str,
        /// How long.
        bound: Duration,
    },
    /// vCPUs did not stop, or did not become others.
    #[error(transparent)]
    Suspend(#[from] SuspendError),
    /// Bytes that are no vCPU's state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A memslot's log.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// Another ioctl of the VM.
    #[error("{call}: {errno}")]
    Kvm {
        /// Which.
        call: &'static str,
        /// How.
        errno: Errno,
    },
    /// Host writers did not stop.
    #[error("host writers did not stop within {0:?}")]
    Devices(Duration),
    /// Pages stayed away from home.
    #[error("{pages} pages, of which arena page {first} is one, were not at home within {bound:?}")]
    NotHome {
        /// How many.
        pages: u64,
        /// One of them.
        first: u64,
        /// How long.
        bound: Duration,
    },
    /// A page that is not in the memory that it is said to be in.
    #[error("page {page} of {pages}")]
    NoSuchPage {
        /// Which.
        page: u64,
        /// How many there are.
        pages: u64,
    },
    /// A page came for the second time after post-copy had put it in its place.
    #[error("arena page {0} came twice")]
    Twice(u64),
    /// The destination's memory.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// The destination's memory, too.
    #[error("{what}: {source}")]
    Memory {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The destination's VM.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The destination's page faults.
    #[error(transparent)]
    Userfault(#[from] UserfaultError),
    /// A guest that never began to go on at the destination.
    #[error("the guest {NO_VISIT} within {0:?} at the destination")]
    NoFirstVisit(Duration),
    /// Guests that stand still.
    #[error("vCPU {vcpu} {NO_VISIT} within {bound:?} {place}{doing}")]
    NoVisit {
        /// Which.
        vcpu: usize,
        /// How long.
        bound: Duration,
        /// Where.
        place: &'static str,
        /// What it does instead, if that is known here.
        doing: String,
    },
    /// It was called off before the hand-over.
    #[error("the migration was called off")]
    CalledOff,
    /// It was killed, as planned.
    #[error("the destination was killed")]
    Killed,
}

impl MigrationError {
    /// Whether the guest itself was lost or stands still: what no host may do to it, whatever it lacks.
    #[must_use]
    pub fn is_the_guests_end(&self) -> bool {
        match self {
            Self::Lost(_) | Self::NoFirstVisit(_) | Self::NoVisit { .. } | Self::Suspend(SuspendError::Stuck { .. }) => true,
            Self::Suspend(SuspendError::Gone { state: VcpuState::Failed(failure), .. }) => !failure.is_lack(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::VcpuFailure;

    #[test]
    fn a_lost_guest_is_told_from_a_lack_of_something() {
        let bound = Duration::from_secs(1);
        let gone = |failure| SuspendError::Gone { vcpu: 0, state: VcpuState::Failed(failure) }.into();
        let ends: [MigrationError; 5] = [
            MigrationError::Lost("a triple fault".to_owned()),
            MigrationError::NoFirstVisit(bound),
            MigrationError::NoVisit { vcpu: 1, bound, place: "after it had come back", doing: String::new() },
            SuspendError::Stuck { vcpu: 0, bound, state: VcpuState::Running }.into(),
            gone(VcpuFailure::TripleFault { rip: 0 }),
        ];
        assert!(ends.iter().all(MigrationError::is_the_guests_end), "{ends:?}");
        let others: [MigrationError; 5] = [
            MigrationError::Killed,
            MigrationError::CalledOff,
            MigrationError::Said("out of memory".to_owned()),
            gone(VcpuFailure::Ioctl(Errno::ENOMEM)),
            SuspendError::Gone { vcpu: 0, state: VcpuState::Stopped }.into(),
        ];
        assert!(!others.iter().any(MigrationError::is_the_guests_end), "{others:?}");
    }
}
