//! Live migration: a running guest is moved into a second VM, in a process of its own, and comes back.
//!
//! *Pre-copy* copies all memory while the guest runs and logs what it writes, then copies that, and so on; when little is left (or when it
//! does not get less) the guest is stopped, the rest and the vCPUs' states are copied, and it goes on at the destination.
//! *Post-copy* stops it first, copies what the vCPUs cannot do without, and lets it go on at once; pages follow when the guest asks for
//! them (userfaultfd), and in the background.
//!
//! The hand-over has two phases. The destination takes the states and says that it is ready; until the source then commits, the guest is
//! the source's: whatever becomes of the destination up to there, the source lets its vCPUs go on in place, and nothing has happened.
//! From the commit on the guest is the destination's, in pre-copy and in post-copy alike, and goes down with it.
//!
//! A guest that is away is not lost to the session: its signs of life and its findings come back over the same socket, and in the end so
//! does the guest, with every page and every tally that it has changed.

mod destination;
mod doom;
mod error;
mod figures;
mod home;
mod memory;
mod postcopy;
mod precopy;
mod source;
mod spawn;
mod stream;
mod throttle;
mod track;

pub use destination::entry;
pub use error::MigrationError;
pub use figures::{Figures, Log};
pub use source::{Going, Ways, migrate};

use std::time::Duration;

/// What is said of a vCPU that does not go on.
pub(crate) const NO_VISIT: &str = "made no visit";
/// How long either side waits for a sign of the other before it gives up.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);
/// How long vCPUs and devices may take to stop.
pub(crate) const STOP: Duration = Duration::from_secs(10);
/// How long pages that another operation has may stay away from home when the guest stands still for them.
pub(crate) const HOME: Duration = Duration::from_secs(10);
/// Pages sent at once: enough that a system call does not count, few enough to look up in between.
pub(crate) const BATCH: usize = 256;
