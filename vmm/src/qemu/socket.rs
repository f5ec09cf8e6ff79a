//! A stream socket with deadlines: lines and bytes, never blocked for ever by a peer that does not read or write.
//!
//! The channel to the guest, the monitor and the gdb stub all go through it.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

/// No line is longer. What a guest sends is not to be trusted with the host's memory.
pub const LONGEST_LINE: usize = 64 << 20;

/// What came of waiting for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole line, without its end. Bytes that are not UTF-8 are replaced.
    Line(String),
    /// Nothing whole came in time. What did come is kept for the next call.
    Timeout,
    /// The other side is gone, and everything it sent has been taken. A last line without an end is in `unfinished`.
    Closed {
        /// What came after the last end of line.
        unfinished: String,
    },
}

/// Why a socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The other side has gone away.
    #[error("the other side is gone")]
    Closed,
    /// The other side does not take what it is sent.
    #[error("the other side took only {sent} of {length} bytes in {} s", limit.as_secs_f64())]
    Stuck {
        /// What it took.
        sent: usize,
        /// What it was to take.
        length: usize,
        /// The bound.
        limit: Duration,
    },
    /// A line that has no end.
    #[error("the other side sent {} MiB without an end of line", LONGEST_LINE >> 20)]
    Endless,
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A socket, and what has been read from it but not yet asked for.
#[derive(Debug)]
pub(super) struct Socket {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are not looked at again: they hold no end of line, or were taken one by one.
    scanned: usize,
    closed: bool,
}

impl Socket {
    /// Takes over a connected socket.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, buffer: Vec::new(), scanned: 0, closed: false })
    }

    /// The next line, for at most `timeout`.
    ///
    /// # Errors
    /// When the socket cannot be read, or a line has no end.
    pub(super) fn line(&mut self, timeout: Duration) -> Result<Received, SocketError> {
        let deadline = deadline(timeout);
        loop {
            if let Some(end) = self.buffer[self.scanned..].iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=self.scanned + end).collect();
                self.scanned = 0;
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                return Ok(Received::Line(String::from_utf8_lossy(line).into_owned()));
            }
            self.scanned = self.buffer.len();
            if self.scanned > LONGEST_LINE {
                return Err(SocketError::Endless);
            }
            if self.closed {
                let unfinished = String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned();
                self.scanned = 0;
                return Ok(Received::Closed { unfinished });
            }
            if !self.wait(deadline, PollFlags::POLLIN)? {
                return Ok(Received::Timeout);
            }
            self.fill()?;
        }
    }

    /// The next byte, for at most until `deadline`; `None` when that passes. A socket is read by lines or by bytes, not by both.
    ///
    /// # Errors
    /// When the other side is gone.
    pub(super) fn byte(&mut self, deadline: Instant) -> Result<Option<u8>, SocketError> {
        while self.buffer.len() == self.scanned {
            self.buffer.clear();
            self.scanned = 0;
            if self.closed {
                return Err(SocketError::Closed);
            }
            if !self.wait(deadline, PollFlags::POLLIN)? {
                return Ok(None);
            }
            self.fill()?;
        }
        self.scanned += 1;
        Ok(Some(self.buffer[self.scanned - 1]))
    }

    /// Sends all of `bytes`. What arrives meanwhile is kept, so that two sides that both send much do not wait for each other.
    ///
    /// # Errors
    /// When the other side is gone, or does not take it within `timeout`.
    pub(super) fn send(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), SocketError> {
        let deadline = deadline(timeout);
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(more) => sent += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let reading = if self.closed { PollFlags::empty() } else { PollFlags::POLLIN };
                    if !self.wait(deadline, PollFlags::POLLOUT | reading)? {
                        return Err(SocketError::Stuck { sent, length: bytes.len(), limit: timeout });
                    }
                    self.fill()?;
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                    return Err(SocketError::Closed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until one of `flags` (or an error or a hang-up) is there. False when `deadline` passes first.
    fn wait(&self, deadline: Instant, flags: PollFlags) -> io::Result<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up: a wait of less than a millisecond is not to become a busy loop.
            let millis = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
            let mut fds = [PollFd::new(self.stream.as_fd(), flags)];
            match poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
                Ok(0) if left.is_zero() => return Ok(false),
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes what is there now, up to a bound, and notes the end of the stream.
    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 1 << 16];
        while !self.closed && self.buffer.len() <= LONGEST_LINE {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.closed = true,
                Ok(length) => {
                    self.buffer.extend_from_slice(&chunk[..length]);
                    if length < chunk.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A QEMU that was killed with our bytes unread resets the connection: that is an end as well.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.closed = true,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// `timeout` from now, or as far away as the clock goes.
pub(super) fn deadline(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600))
}
