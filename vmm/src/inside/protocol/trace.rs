//! What to record: the options of `nostale trace --kernel`, for a program.

use serde::{Deserialize, Serialize};
use std::{ffi::OsString, path::PathBuf};

/// A command to start, and how to record it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceRequest {
    /// The file of its program.
    pub program: PathBuf,
    /// The command, from the name of the program on.
    pub command: Vec<OsString>,
    /// `--seconds`
    pub seconds: f64,
    /// `--disturb`
    pub disturb: Vec<Disturbance>,
    /// Whether the command stands still while the kernel's text is patched for the recording. Emulated processors stumble over text that
    /// changes under them.
    pub still: bool,
}

/// What moves the memory of a process that does not do so by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disturbance {
    /// All memory is compacted (`/proc/sys/vm/compact_memory`).
    Compact,
    /// Its pages go from one NUMA node to the next (`migrate_pages(2)`).
    Migrate,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TracePhase {
    /// The command was started, and has no VM yet.
    Starting,
    /// Its process is recorded, for so long.
    Recording {
        /// How long.
        seconds: f64,
    },
    /// The recording is read.
    Reading {
        /// So much of it.
        events: u64,
    },
}
