//! Why a knob was not set.

use super::{JournalError, Kind, KnobError};
use std::path::PathBuf;

/// Why a knob was not set. Except for [`SetError::RollBack`] it is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The journal is out of order, so nothing was touched.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The knob cannot be read, or does not take the value.
    #[error(transparent)]
    Knob(#[from] KnobError),
    /// A live process needs another value.
    #[error("{path} is held at {held:?} by process {pid}, so it cannot be {wanted:?} now; run again when that one is done")]
    Conflict {
        /// The file of the knob.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What the holder keeps it at.
        held: String,
        /// The first holder.
        pid: u32,
    },
    /// A live process has it for something that two cannot have at once.
    #[error("{path} is in use as {held} by process {pid}, so it cannot be {wanted} as well; run again when that one is done")]
    InUse {
        /// The file of the knob.
        path: PathBuf,
        /// What it was asked for as.
        wanted: Kind,
        /// What the holder has it as.
        held: Kind,
        /// The holder.
        pid: u32,
    },
    /// A disk that is there already, and that no run has made.
    #[error("{path} has been set up with {found} bytes by somebody else, who may want what is on it; it was left alone")]
    Foreign {
        /// The device.
        path: PathBuf,
        /// Its size.
        found: String,
    },
    /// The value that other holders set is not there any more.
    #[error("{path} was set to {wanted:?} by process {pid}, but somebody else has made it {found:?}; it was left alone")]
    Disturbed {
        /// The file of the knob.
        path: PathBuf,
        /// What was asked for, and set by the first holder.
        wanted: String,
        /// What the knob holds.
        found: String,
        /// The first holder.
        pid: u32,
    },
    /// The value was not taken, and then the original was not either.
    #[error("{cause}; and then {path} could not be put back to {original:?}: {source}")]
    RollBack {
        /// The file of the knob.
        path: PathBuf,
        /// Its value before.
        original: String,
        /// Why it was not set.
        cause: Box<SetError>,
        /// Why it was not put back.
        source: Box<KnobError>,
    },
}
