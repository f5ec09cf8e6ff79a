//! Tests that need no QEMU, and in `live` those that do.

mod installed;
mod live;
mod qmp;
mod socket;
mod spec;

use super::socket::Socket;
use std::{os::unix::net::UnixStream, time::Duration};

/// Longer than anything takes here, on a host with too much to do.
const LONG: Duration = Duration::from_secs(20);
/// Enough to see that nothing comes.
const SHORT: Duration = Duration::from_millis(30);

/// One end for the code under test, and the other for the test.
fn pair() -> (Socket, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Socket::new(ours).unwrap(), theirs)
}
