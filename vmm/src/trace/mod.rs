//! What a kernel really did to the memory of a VM: recordings of its events, made of any process, and what is read from them.

pub mod export;
mod own;
mod read;
mod record;

pub use own::{OwnTrace, OwnTraceError};
pub use read::{ReadTraceError, profile_of, profile_with};
pub use record::{Ended, RecordingError, Target, Watch, record};
