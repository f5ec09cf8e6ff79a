//! Why a migration failed.

use super::stream::CodecError;
use crate::{
    machine::{MachineError, SlotError, StateError, SuspendError},
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
    /// Guests that stand still.
    #[error("vCPU {vcpu} made no visit within {bound:?} {place}")]
    NoVisit {
        /// Which.
        vcpu: usize,
        /// How long.
        bound: Duration,
        /// Where.
        place: &'static str,
    },
    /// It was called off before the hand-over.
    #[error("the migration was called off")]
    CalledOff,
    /// It was killed, as planned.
    #[error("the destination was killed")]
    Killed,
}
