//! Lines between host and guest.

use super::{
    QemuError,
    socket::{Received, Socket},
};
use std::time::Duration;

/// A guest that reads at all takes what it is sent within this: 1 MB needs half of it.
const SEND: Duration = Duration::from_secs(60);

/// Lines to and from the guest.
///
/// The guest's side is `/dev/ttyS1`, to be made raw before the first byte (`stty -F /dev/ttyS1 raw -echo 115200`, or `cfmakeraw`):
/// a terminal that is not raw cuts lines at 4 KiB, echoes them, and changes ends of line. The speed that is set there changes
/// nothing. Under emulation some 500 kB/s come out of the guest and 30 kB/s go in: enough for results and orders. (A virtio port
/// has a hundred times that, but its six modules are not part of every kernel, and this line is.)
#[derive(Debug)]
pub struct Channel {
    socket: Socket,
}

impl Channel {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket }
    }

    /// Sends a line; its end is added.
    ///
    /// # Errors
    /// When the machine is gone, or the guest does not read.
    pub fn send_line(&mut self, line: &str) -> Result<(), QemuError> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        Ok(self.socket.send(&bytes, SEND)?)
    }

    /// The next line, for at most `timeout`.
    ///
    /// # Errors
    /// When the socket fails, or a line has no end.
    pub fn recv_line(&mut self, timeout: Duration) -> Result<Received, QemuError> {
        Ok(self.socket.line(timeout)?)
    }
}
