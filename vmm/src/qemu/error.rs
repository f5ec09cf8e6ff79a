//! What can go wrong with an emulated machine, and what to do about it.

use super::{gdb::GdbError, qmp::QmpError, socket::SocketError};
use std::{io, path::PathBuf, time::Duration};

/// Starting, watching, saving or patching a machine failed.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// There is no QEMU on PATH.
    #[error("{program} is not on PATH; `scripts/setup qemu` installs it")]
    Missing {
        /// What was looked for.
        program: &'static str,
    },
    /// The program is there, but does not say what it is.
    #[error("`{program} --version` says {said:?}, which names no version; is that QEMU?")]
    Version {
        /// The program.
        program: PathBuf,
        /// What it printed.
        said: String,
    },
    /// What was asked for cannot be a machine.
    #[error("no such machine: {why}")]
    Spec {
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused something.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A socket, a pipe or a process could not be made.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The refusal.
        source: io::Error,
    },
    /// QEMU ended while something was expected of it.
    #[error("QEMU ended ({ending}) while {doing}{}", said(stderr))]
    Ended {
        /// What was being done.
        doing: &'static str,
        /// How it ended.
        ending: String,
        /// The last lines it printed to stderr.
        stderr: String,
    },
    /// The monitor refused a command, or cannot be understood.
    #[error("QEMU's monitor while {doing}: {source}")]
    Monitor {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: QmpError,
    },
    /// The gdb stub refused a command, or cannot be understood.
    #[error("QEMU's gdb stub while {doing}: {source}")]
    Debug {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: GdbError,
    },
    /// Talking to the guest failed.
    #[error("the channel to the guest: {0}")]
    Channel(#[from] SocketError),
    /// Something took longer than it may.
    #[error("{doing} took longer than {} s{}", limit.as_secs_f64(), said(stderr))]
    Late {
        /// What was being done.
        doing: &'static str,
        /// The bound.
        limit: Duration,
        /// The last lines it printed to stderr.
        stderr: String,
    },
    /// A saved machine cannot be used here.
    #[error("the saved machine in {dir}: {why}; save it again")]
    Saved {
        /// Its directory.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The end of QEMU's own words, on lines of their own.
fn said(stderr: &str) -> String {
    match stderr.trim_end() {
        "" => String::new(),
        text => format!("; it said:\n{text}"),
    }
}

impl QemuError {
    /// For `map_err`: a file that could not be opened, written or the like.
    pub(super) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    /// For `map_err`: a resource that the operating system refused.
    pub(super) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { what, source: source.into() }
    }
}
