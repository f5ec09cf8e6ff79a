//! The result of trying something on the running kernel.

use nix::errno::Errno;
use serde::Serialize;

/// What came of a try. A kernel version proves little (back-ports, seccomp, configurations), so what matters is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempt {
    /// Nobody tried, so nothing is promised; facts that come from files alone are left like this.
    NotTried,
    /// It works for this process on this kernel.
    Works,
    /// The kernel, or a filter in front of it, refused.
    Refused {
        /// The error number.
        errno: i32,
        /// The call and the error, for people.
        reason: String,
    },
}

impl Attempt {
    /// Whether it was tried and works.
    pub fn works(&self) -> bool {
        matches!(self, Attempt::Works)
    }

    /// A refusal of `call` with `errno`.
    pub(crate) fn refused(call: &str, errno: Errno) -> Self {
        Attempt::Refused { errno: errno as i32, reason: format!("{call}: {errno:?} ({})", errno.desc()) }
    }

    /// The result of a call in the form in which `nix` and `Errno::result` give it.
    pub(crate) fn of<T>(call: &str, result: Result<T, Errno>) -> Self {
        match result {
            Ok(_) => Attempt::Works,
            Err(errno) => Attempt::refused(call, errno),
        }
    }

    /// The error number, if it was refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Attempt::Refused { errno, .. } => Some(Errno::from_raw(*errno)),
            _ => None,
        }
    }

    /// Why it does not work, as a clause.
    pub fn why_not(&self) -> &str {
        match self {
            Attempt::NotTried => "not tried",
            Attempt::Works => "works",
            Attempt::Refused { reason, .. } => reason,
        }
    }
}
