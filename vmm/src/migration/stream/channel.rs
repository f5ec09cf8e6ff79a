//! The two directions of the socket between source and destination.
//!
//! Writing waits a bounded time for the other side to make room. Reading waits as long as there is another side: threads that do nothing else
//! read, and whoever waits for what they read does so for a bounded time, and then closes the socket.

use super::{HEADER, Header, Message};
use crate::migration::{MigrationError, SILENCE};
use std::{
    io::{self, IoSlice, Read, Write},
    os::unix::net::UnixStream,
};

/// A socket as both directions.
pub(in crate::migration) fn pair(stream: UnixStream) -> Result<(Incoming, Outgoing), MigrationError> {
    let failed = |source| MigrationError::Channel { what: "preparing to speak with", source };
    stream.set_write_timeout(Some(SILENCE)).map_err(failed)?;
    let reading = stream.try_clone().map_err(failed)?;
    Ok((Incoming { stream: reading, sequence: 0 }, Outgoing { stream, sequence: 0 }))
}

/// What comes.
#[derive(Debug)]
pub(in crate::migration) struct Incoming {
    stream: UnixStream,
    sequence: u32,
}

impl Incoming {
    /// The next message; `None` where the other side has closed.
    pub(in crate::migration) fn next(&mut self) -> Result<Option<Message>, MigrationError> {
        let failed = |source| MigrationError::Channel { what: "reading from", source };
        let mut header = [0; HEADER];
        match self.stream.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let header = Header::from_bytes(header, self.sequence)?;
        self.sequence = self.sequence.wrapping_add(1);
        let mut body = vec![0; header.length as usize];
        self.stream.read_exact(&mut body).map_err(failed)?;
        Ok(Some(Message::decode(header.kind, body)?))
    }
}

/// What goes.
#[derive(Debug)]
pub(in crate::migration) struct Outgoing {
    stream: UnixStream,
    sequence: u32,
}

impl Outgoing {
    /// Sends a message; the bytes that went.
    pub(in crate::migration) fn send(&mut self, message: &Message) -> Result<u64, MigrationError> {
        let body = message.body();
        let data = if let Message::Pages(pages) = message { pages.data.as_slice() } else { &[] };
        let length = body.len() + data.len();
        let header = Header { kind: message.kind(), length: length as u32, sequence: self.sequence }.to_bytes();
        self.sequence = self.sequence.wrapping_add(1);
        let mut slices = [IoSlice::new(&header), IoSlice::new(&body), IoSlice::new(data)];
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.stream.write_vectored(left) {
                Ok(0) => return Err(failed_to_write(io::ErrorKind::WriteZero.into())),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed_to_write(error)),
            }
        }
        Ok((HEADER + length) as u64)
    }

    /// Ends the conversation: whoever reads on either side is told so.
    pub(in crate::migration) fn close(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn failed_to_write(source: io::Error) -> MigrationError {
    MigrationError::Channel { what: "writing to", source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::stream::Pages;
    use nostale_notifier::addr::PAGE_SIZE;

    #[test]
    fn messages_come_in_order_and_nonsense_is_refused() {
        let (ours, theirs) = UnixStream::pair().expect("descriptors");
        let (mut incoming, _) = pair(theirs).expect("a socket");
        let (_, mut outgoing) = pair(ours.try_clone().expect("descriptors")).expect("a socket");
        let pages =
            Message::Pages(Pages { arena: true, entries: vec![(7, false), (9, true)], data: vec![3; PAGE_SIZE as usize] });
        outgoing.send(&Message::Ready).expect("room");
        outgoing.send(&pages).expect("room");
        assert_eq!(incoming.next().expect("whole"), Some(Message::Ready));
        assert_eq!(incoming.next().expect("whole"), Some(pages));
        (&ours).write_all(&[7; HEADER]).expect("room");
        assert!(matches!(incoming.next(), Err(MigrationError::Codec(_))));
    }

    #[test]
    fn an_end_is_told_from_a_cut() {
        let (ours, theirs) = UnixStream::pair().expect("descriptors");
        let (mut incoming, _) = pair(theirs).expect("a socket");
        let (_, mut outgoing) = pair(ours).expect("a socket");
        outgoing.send(&Message::Bye).expect("room");
        outgoing.close();
        assert_eq!(incoming.next().expect("whole"), Some(Message::Bye));
        assert_eq!(incoming.next().expect("an end"), None);
    }
}
