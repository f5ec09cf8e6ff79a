//! One message, one line: `nostale SEQUENCE LENGTH CRC32 JSON`.
//!
//! A serial port loses bytes when nobody reads, and a kernel that dies does so in the middle of a line. Length and checksum tell
//! a whole message from what is left of one, sequence numbers show what never came, and what is no message is named and skipped.

use flate2::Crc;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, Write},
    marker::PhantomData,
};
use thiserror::Error;

/// What every line starts with.
const MARK: &str = "nostale ";
/// No message is longer; what seems to be is noise without a line's end.
const LONGEST: usize = 64 << 20;
/// How much of a bad line is shown.
const SHOWN: usize = 120;

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Writes messages, each with the next sequence number.
#[derive(Debug)]
pub struct Sender<W> {
    to: W,
    next: u64,
}

impl<W: Write> Sender<W> {
    /// A sender whose first message is number 0.
    pub const fn new(to: W) -> Self {
        Self { to, next: 0 }
    }

    /// Where it writes to.
    pub fn into_inner(self) -> W {
        self.to
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.send_json(&serde_json::to_string(message)?)
    }

    /// Sends a message that is JSON already, without any line break in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn send_json(&mut self, json: &str) -> io::Result<()> {
        let line = format!("{MARK}{} {} {:08x} {json}\n", self.next, json.len(), crc(json.as_bytes()));
        self.next += 1;
        self.to.write_all(line.as_bytes())?;
        self.to.flush()
    }
}

/// A line that is no whole message.
#[derive(Debug, Error)]
pub enum BadLine {
    /// Somebody else wrote it.
    #[error("not a message: {beginning:?}")]
    Foreign {
        /// The line, or its beginning.
        beginning: String,
    },
    /// A message of which bytes are missing or too many.
    #[error("a message of {said} bytes has {found}: {beginning:?}")]
    Length {
        /// What it should have.
        said: usize,
        /// What it has.
        found: usize,
        /// The line, or its beginning.
        beginning: String,
    },
    /// A message that changed on its way.
    #[error("a message with a wrong checksum: {beginning:?}")]
    Checksum {
        /// The line, or its beginning.
        beginning: String,
    },
    /// A message that makes no sense, most likely from another version.
    #[error("a message that is not understood ({error}): {beginning:?}")]
    Json {
        /// What is wrong with it.
        error: serde_json::Error,
        /// The line, or its beginning.
        beginning: String,
    },
    /// The stream ended within a line.
    #[error("the stream ended after {found} bytes of a line: {beginning:?}")]
    Unfinished {
        /// Bytes that came.
        found: usize,
        /// The line, or its beginning.
        beginning: String,
    },
}

/// A message, and how many did not come before it.
#[derive(Debug)]
pub struct Decoded<M> {
    /// The message.
    pub message: M,
    /// Messages that should have come since the last one. A sender that has started afresh has missed nothing.
    pub missed: u64,
}

/// Takes a stream apart, however its bytes come.
#[derive(Debug)]
pub struct Decoder<M> {
    bytes: Vec<u8>,
    /// Up to here there is no line's end.
    searched: usize,
    next: Option<u64>,
    message: PhantomData<fn() -> M>,
}

impl<M> Default for Decoder<M> {
    fn default() -> Self {
        Self { bytes: Vec::new(), searched: 0, next: None, message: PhantomData }
    }
}

impl<M: DeserializeOwned> Decoder<M> {
    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, or what came in its place; `None` when more bytes are needed.
    #[allow(clippy::should_implement_trait, reason = "not an iterator: after `None` there may be more")]
    pub fn next(&mut self) -> Option<Result<Decoded<M>, BadLine>> {
        loop {
            let Some(end) = self.bytes[self.searched..].iter().position(|&byte| byte == b'\n') else {
                self.searched = self.bytes.len();
                return (self.bytes.len() > LONGEST).then(|| Err(self.give_up()));
            };
            let line: Vec<u8> = self.bytes.drain(..=self.searched + end).collect();
            self.searched = 0;
            let line = line.trim_ascii();
            if !line.is_empty() {
                return Some(self.decode(line));
            }
        }
    }

    /// The stream is at its end: what is left of a line.
    pub fn finish(&mut self) -> Option<BadLine> {
        (!self.bytes.trim_ascii().is_empty()).then(|| self.give_up())
    }

    fn give_up(&mut self) -> BadLine {
        let bytes = std::mem::take(&mut self.bytes);
        self.searched = 0;
        BadLine::Unfinished { found: bytes.len(), beginning: beginning(&bytes) }
    }

    fn decode(&mut self, line: &[u8]) -> Result<Decoded<M>, BadLine> {
        let foreign = || BadLine::Foreign { beginning: beginning(line) };
        let rest = line.strip_prefix(MARK.as_bytes()).ok_or_else(foreign)?;
        let mut fields = rest.splitn(4, |&byte| byte == b' ');
        let mut field = || fields.next().and_then(|field| std::str::from_utf8(field).ok()).unwrap_or_default();
        let (sequence, said, sum) = (field().parse::<u64>(), field().parse::<usize>(), u32::from_str_radix(field(), 16));
        let (Ok(sequence), Ok(said), Ok(sum)) = (sequence, said, sum) else { return Err(foreign()) };
        let json = fields.next().unwrap_or_default();
        if json.len() != said {
            return Err(BadLine::Length { said, found: json.len(), beginning: beginning(line) });
        }
        if crc(json) != sum {
            return Err(BadLine::Checksum { beginning: beginning(line) });
        }
        // From here on this *is* message number `sequence`, understood or not.
        let missed = self.next.map_or(0, |next| sequence.saturating_sub(next));
        self.next = Some(sequence.saturating_add(1));
        let message = serde_json::from_slice(json).map_err(|error| BadLine::Json { error, beginning: beginning(line) })?;
        Ok(Decoded { message, missed })
    }
}

fn beginning(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).into_owned();
    if line.len() > SHOWN { text + "…" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inside::protocol::{Event, Request};

    fn sent(messages: &[Event]) -> Vec<u8> {
        let mut sender = Sender::new(Vec::new());
        messages.iter().for_each(|message| sender.send(message).expect("a vector takes everything"));
        sender.to
    }

    fn notes(bytes: &[u8]) -> Vec<String> {
        let mut decoder = Decoder::<Event>::default();
        // Byte by byte, as a slow port would bring them.
        let mut all = Vec::new();
        for byte in bytes {
            decoder.push(&[*byte]);
            while let Some(decoded) = decoder.next() {
                all.push(match decoded {
                    Ok(Decoded { message: Event::Note(note), missed }) => format!("{note}/{missed}"),
                    other => format!("{other:?}"),
                });
            }
        }
        all.extend(decoder.finish().map(|bad| bad.to_string()));
        all
    }

    fn note(text: &str) -> Event {
        Event::Note(text.to_owned())
    }

    #[test]
    fn what_is_sent_arrives() {
        let bytes = sent(&[note("one"), note("zwei\nΔ \u{1} \"quoted\""), note("")]);
        assert_eq!(notes(&bytes), ["one/0", "zwei\nΔ \u{1} \"quoted\"/0", "/0"]);
        assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 3, "one line each");
    }

    #[test]
    fn noise_is_named_and_skipped() {
        let mut bytes = b"\r\n\n[    1.0] kernel noise \xff\n".to_vec();
        bytes.extend(sent(&[note("one")]));
        bytes.extend(b"nostale \nnostale x y z {}\nnostale 1\n");
        bytes.extend(vec![b'x'; 4000]);
        let all = notes(&bytes);
        assert_eq!(all.len(), 6, "{all:#?}");
        assert!(all[0].contains("kernel noise"), "{all:#?}");
        assert_eq!(all[1], "one/0");
        assert!(all[2..5].iter().all(|bad| bad.contains("Foreign")), "{all:#?}");
        assert!(all[5].starts_with("the stream ended after 4000 bytes of a line: \"xxx") && all[5].len() < 300, "{all:#?}");
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let whole = sent(&[note("a result that matters")]);
        for end in 1..whole.len() - 1 {
            let all = notes(&whole[..end]);
            assert!(all.len() == 1 && all[0].starts_with("the stream ended"), "{end}: {all:?}");
            // The rest of a line behind a cut: the machine was reset, and something else goes on.
            let all = notes(&[&whole[..end], b"\n"].concat());
            assert!(all.len() == 1 && all[0].starts_with("Err("), "{end}: {all:?}");
        }
        // Not the sequence number, which is checked against others, nor the line's end.
        for at in (0..whole.len() - 1).filter(|&at| at != MARK.len()) {
            let mut changed = whole.clone();
            changed[at] ^= 0x04;
            assert!(notes(&changed).iter().all(|note| note.starts_with("Err(")), "{at}: {:?}", notes(&changed));
        }
    }

    #[test]
    fn what_never_came_is_counted() {
        let bytes = sent(&[note("0"), note("1"), note("2"), note("3")]);
        let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        assert_eq!(notes(&[lines[0], lines[3]].concat()), ["0/0", "3/2"]);
        assert_eq!(notes(lines[2]), ["2/0"], "who joins later has missed nothing");
        assert_eq!(notes(&[lines[3], lines[0], lines[1]].concat()), ["3/0", "0/0", "1/0"], "a snapshot takes the sender back");
    }

    #[test]
    fn a_message_of_another_version_is_not_understood_but_counted() {
        let mut sender = Sender::new(Vec::new());
        sender.send(&note("0")).expect("sent");
        sender.send_json(r#"{"event":"of-the-future"}"#).expect("sent");
        sender.send(&note("2")).expect("sent");
        let all = notes(&sender.to);
        assert!(all[1].contains("of-the-future") && all[1].contains("Json"), "{all:?}");
        assert_eq!((all[0].as_str(), all[2].as_str()), ("0/0", "2/0"));
    }

    #[test]
    fn requests_go_the_other_way() {
        let mut sender = Sender::new(Vec::new());
        let requests = [Request::Ping, Request::Run(Default::default()), Request::PowerOff];
        requests.iter().for_each(|request| sender.send(request).expect("sent"));
        let mut decoder = Decoder::<Request>::default();
        decoder.push(&sender.to);
        for request in requests {
            assert_eq!(decoder.next().expect("whole").expect("good").message, request);
        }
    }
}
