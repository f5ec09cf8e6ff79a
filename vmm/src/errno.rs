//! The error number in an error of the standard library.

use nix::errno::Errno;
use std::io;

/// It, or EIO where there is none: what was read is not what was asked for, say.
pub(crate) fn of(error: io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
