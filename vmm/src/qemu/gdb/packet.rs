//! The framing of the gdb remote protocol: `$payload#checksum`, acknowledged with `+` or asked for again with `-`.

use super::GdbError;
use crate::qemu::socket::{Socket, SocketError};
use std::time::{Duration, Instant};

/// How often a damaged packet is sent, or asked for, again.
const RETRIES: u32 = 4;
/// A stub that sends longer packets than it announced is broken.
const LONGEST: usize = 1 << 20;

/// The sum of the payload's bytes.
pub(super) fn checksum(payload: &[u8]) -> u8 {
    payload.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

/// A payload in its frame. What frames are made of is escaped.
pub(super) fn encode(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![b'$'];
    for &byte in payload {
        match byte {
            b'$' | b'#' | b'}' | b'*' => frame.extend([b'}', byte ^ 0x20]),
            _ => frame.push(byte),
        }
    }
    let sum = checksum(&frame[1..]);
    frame.extend(format!("#{sum:02x}").into_bytes());
    frame
}

/// What a frame's payload stands for: escapes and repetitions taken out. `None` when they are cut off or impossible.
pub(super) fn decode(payload: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(payload.len());
    let mut bytes = payload.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'}' => plain.push(bytes.next()? ^ 0x20),
            b'*' => {
                let (last, count) = (*plain.last()?, bytes.next()?.checked_sub(29)?);
                plain.extend(std::iter::repeat_n(last, usize::from(count)));
            }
            _ => plain.push(byte),
        }
    }
    Some(plain)
}

/// `bytes` in hexadecimal.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|&byte| [byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)]))).collect()
}

/// The bytes of a hexadecimal text.
pub(super) fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// Packets over a socket.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    /// Both sides acknowledge what they get.
    pub(super) acknowledged: bool,
    limit: Duration,
}

impl Link {
    /// Acknowledges to begin with, as the protocol wants it. Every exchange has `limit`.
    pub(super) fn new(socket: Socket, limit: Duration) -> Self {
        Self { socket, acknowledged: true, limit }
    }

    /// Sends a command and takes the reply to it: news that the machine has stopped is passed over.
    pub(super) fn exchange(&mut self, command: &str) -> Result<Vec<u8>, GdbError> {
        let deadline = Instant::now() + self.limit;
        let frame = encode(command.as_bytes());
        self.socket.send(&frame, self.limit)?;
        let mut retries = 0;
        loop {
            match self.next(deadline)? {
                Some(Incoming::Ack) => {}
                Some(Incoming::Again | Incoming::Damaged) if retries == RETRIES => {
                    return Err(GdbError::Damaged { command: shorten(command) });
                }
                Some(Incoming::Again) => {
                    retries += 1;
                    self.socket.send(&frame, self.limit)?;
                }
                Some(Incoming::Damaged) if !self.acknowledged => return Err(GdbError::Damaged { command: shorten(command) }),
                Some(Incoming::Damaged) => {
                    retries += 1;
                    self.socket.send(b"-", self.limit)?;
                }
                Some(Incoming::Packet(payload)) => {
                    if self.acknowledged {
                        self.socket.send(b"+", self.limit)?;
                    }
                    if !is_stop(&payload) {
                        return Ok(payload);
                    }
                }
                None => return Err(GdbError::Late { command: shorten(command), limit: self.limit }),
            }
        }
    }

    /// The next of what the stub sends; `None` when nothing whole comes until `deadline`.
    fn next(&mut self, deadline: Instant) -> Result<Option<Incoming>, SocketError> {
        let mut payload = Vec::new();
        loop {
            let Some(byte) = self.socket.byte(deadline)? else { return Ok(None) };
            match byte {
                b'+' => return Ok(Some(Incoming::Ack)),
                b'-' => return Ok(Some(Incoming::Again)),
                b'$' => break,
                // Noise between packets.
                _ => {}
            }
        }
        loop {
            let Some(byte) = self.socket.byte(deadline)? else { return Ok(None) };
            match byte {
                // The end of the last one was lost.
                b'$' => payload.clear(),
                b'#' => break,
                _ if payload.len() == LONGEST => return Ok(Some(Incoming::Damaged)),
                _ => payload.push(byte),
            }
        }
        let mut sum = [0; 2];
        for digit in &mut sum {
            let Some(byte) = self.socket.byte(deadline)? else { return Ok(None) };
            *digit = byte;
        }
        if from_hex(&sum) != Some(vec![checksum(&payload)]) {
            return Ok(Some(Incoming::Damaged));
        }
        Ok(Some(decode(&payload).map_or(Incoming::Damaged, Incoming::Packet)))
    }
}

/// What a stub sends.
#[derive(Debug)]
enum Incoming {
    /// It has got our packet.
    Ack,
    /// It has got it damaged.
    Again,
    /// We have got its packet damaged.
    Damaged,
    /// A packet.
    Packet(Vec<u8>),
}

/// The news that the machine has stopped: QEMU sends it unasked when a debugger attaches.
fn is_stop(payload: &[u8]) -> bool {
    match payload {
        [b'T', rest @ ..] | [b'S', rest @ ..] => rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit),
        _ => false,
    }
}

/// As much of a command as a message can bear.
pub(super) fn shorten(command: &str) -> String {
    command.chars().take(40).collect()
}
