//! Messages as bytes. What comes from the other side is believed in nothing: every length is checked before it is used.

use super::{Finding, Hello, Message, Pages, Sent, VERSION};
use crate::migration::BATCH;
use nostale_notifier::addr::PAGE_SIZE;
use thiserror::Error;

/// Bytes of a header.
pub(in crate::migration) const HEADER: usize = 16;
const MAGIC: u32 = 0x6d69_6772;
/// No message is longer: a full batch of pages, or a bitmap of 32 GiB.
const LONGEST: usize = 8 + BATCH * (8 + PAGE_SIZE as usize);
/// Says that a page is all zeros.
const ZERO: u64 = 1 << 63;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// Not the beginning of a frame.
    #[error("a frame does not begin with {0:#010x}")]
    Magic(u32),
    /// Another version.
    #[error("version {0} of the stream; this side speaks {VERSION}")]
    Version(u16),
    /// No such message.
    #[error("no message has number {0}")]
    Kind(u16),
    /// Not the frame that follows the last one.
    #[error("frame {found} came where {expected} was due")]
    Sequence {
        /// Its number.
        found: u32,
        /// The number that was due.
        expected: u32,
    },
    /// Longer than any message is.
    #[error("a frame of {0} bytes")]
    TooLong(u32),
    /// Of another length than it says, or than its kind has.
    #[error("a message of kind {kind:?} and {bytes} bytes does not hold what it says")]
    Length {
        /// What it was to be.
        kind: Kind,
        /// Its length.
        bytes: usize,
    },
}

macro_rules! kinds {
    ($($name:ident = $number:literal,)*) => {
        /// Which message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "as in `Message`")]
        pub enum Kind { $($name = $number,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

kinds! {
    Hello = 1, Welcome = 2, Pages = 3, Missing = 4, States = 5, Ready = 6, Commit = 7, Running = 8, Pulse = 9, Finding = 10,
    Request = 11, Resident = 12, Return = 13, Sent = 14, Failed = 15, Bye = 16, Lost = 17,
}

/// What stands before every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::migration) struct Header {
    pub(in crate::migration) kind: Kind,
    pub(in crate::migration) length: u32,
    pub(in crate::migration) sequence: u32,
}

impl Header {
    pub(in crate::migration) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..8].copy_from_slice(&(self.kind as u16).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, of frame number `expected`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::migration) fn from_bytes(bytes: [u8; HEADER], expected: u32) -> Result<Self, CodecError> {
        let long = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        if long(0) != MAGIC {
            return Err(CodecError::Magic(long(0)));
        }
        if short(4) != VERSION {
            return Err(CodecError::Version(short(4)));
        }
        let kind = Kind::ALL.iter().copied().find(|kind| *kind as u16 == short(6)).ok_or(CodecError::Kind(short(6)))?;
        if long(12) != expected {
            return Err(CodecError::Sequence { found: long(12), expected });
        }
        if long(8) as usize > LONGEST {
            return Err(CodecError::TooLong(long(8)));
        }
        Ok(Self { kind, length: long(8), sequence: expected })
    }
}

impl Message {
    /// What kind it is of.
    #[must_use]
    pub(in crate::migration) const fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Welcome => Kind::Welcome,
            Self::Pages(_) => Kind::Pages,
            Self::Missing(_) => Kind::Missing,
            Self::States(_) => Kind::States,
            Self::Ready => Kind::Ready,
            Self::Commit => Kind::Commit,
            Self::Running(_) => Kind::Running,
            Self::Pulse(_) => Kind::Pulse,
            Self::Finding(_) => Kind::Finding,
            Self::Request(_) => Kind::Request,
            Self::Resident => Kind::Resident,
            Self::Return => Kind::Return,
            Self::Sent(_) => Kind::Sent,
            Self::Failed(_) => Kind::Failed,
            Self::Lost(_) => Kind::Lost,
            Self::Bye => Kind::Bye,
        }
    }

    /// What follows the header, but for the contents of pages, which stay where they are.
    #[must_use]
    pub(super) fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |word: u64| out.extend_from_slice(&word.to_le_bytes());
        match self {
            Self::Hello(hello) => {
                let flags = u64::from(hello.shared) | u64::from(hello.huge) << 1 | u64::from(hello.forgets) << 2;
                let slots = hello.slots.iter().flatten().copied();
                [hello.pages, hello.vcpus, hello.ring_entries.into(), flags].into_iter().chain(slots).for_each(put);
            }
            Self::Pages(pages) => {
                put(u64::from(pages.arena) << 32 | pages.entries.len() as u64);
                pages.entries.iter().for_each(|&(page, zero)| put(page | if zero { ZERO } else { 0 }));
            }
            Self::Missing(words) | Self::Pulse(words) => words.iter().copied().for_each(put),
            Self::States(states) => {
                put(states.len() as u64);
                states.iter().for_each(|state| put(state.len() as u64));
                states.iter().for_each(|state| out.extend_from_slice(state));
            }
            Self::Running(word) | Self::Request(word) => put(*word),
            Self::Finding(finding) => finding.words.into_iter().for_each(put),
            Self::Sent(sent) => {
                let Sent { rounds, pages, zeros, bytes, sending_us, converged, throttled, stopped_tsc } = *sent;
                [rounds, pages, zeros, bytes, sending_us, converged.into(), throttled, stopped_tsc].into_iter().for_each(put);
            }
            // What is too long for a frame would end the conversation in another way than it means to.
            Self::Failed(why) | Self::Lost(why) => out.extend(why.bytes().take(4096)),
            Self::Welcome | Self::Ready | Self::Commit | Self::Resident | Self::Return | Self::Bye => {}
        }
        out
    }

    /// The message of this kind in `body`.
    ///
    /// # Errors
    /// When it does not hold what it says.
    pub(super) fn decode(kind: Kind, mut body: Vec<u8>) -> Result<Self, CodecError> {
        let bytes = body.len();
        let wrong = CodecError::Length { kind, bytes };
        if kind == Kind::Pages {
            return pages(&mut body).map(Self::Pages).ok_or(wrong);
        }
        let words = || words(&body);
        let message = match kind {
            Kind::Hello => words().and_then(|words| hello(&words)).map(Self::Hello),
            Kind::Missing => words().map(Self::Missing),
            Kind::Pulse => words().map(Self::Pulse),
            Kind::States => states(&body).map(Self::States),
            Kind::Running => words().and_then(one).map(Self::Running),
            Kind::Request => words().and_then(one).map(Self::Request),
            Kind::Finding => {
                words().and_then(|words| <[u64; 6]>::try_from(words).ok()).map(|words| Self::Finding(Finding { words }))
            }
            Kind::Sent => words().and_then(|words| sent(&words)).map(Self::Sent),
            Kind::Failed => Some(Self::Failed(String::from_utf8_lossy(&body).into_owned())),
            Kind::Lost => Some(Self::Lost(String::from_utf8_lossy(&body).into_owned())),
            Kind::Welcome => body.is_empty().then_some(Self::Welcome),
            Kind::Ready => body.is_empty().then_some(Self::Ready),
            Kind::Commit => body.is_empty().then_some(Self::Commit),
            Kind::Resident => body.is_empty().then_some(Self::Resident),
            Kind::Return => body.is_empty().then_some(Self::Return),
            Kind::Bye => body.is_empty().then_some(Self::Bye),
            Kind::Pages => None,
        };
        message.ok_or(wrong)
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

fn words(bytes: &[u8]) -> Option<Vec<u64>> {
    bytes.len().is_multiple_of(8).then(|| bytes.chunks_exact(8).map(word).collect())
}

fn one(words: Vec<u64>) -> Option<u64> {
    <[u64; 1]>::try_from(words).ok().map(|[word]| word)
}

fn hello(words: &[u64]) -> Option<Hello> {
    let (&[pages, vcpus, ring_entries, flags], slots) = words.split_first_chunk()?;
    let (slots, []) = slots.as_chunks() else { return None };
    let flag = |bit: u32| flags >> bit & 1 == 1;
    let ring_entries = u32::try_from(ring_entries).ok().filter(|_| flags < 8)?;
    Some(Hello { pages, vcpus, ring_entries, slots: slots.to_vec(), shared: flag(0), huge: flag(1), forgets: flag(2) })
}

fn sent(words: &[u64]) -> Option<Sent> {
    let &[rounds, pages, zeros, bytes, sending_us, converged, throttled, stopped_tsc] = words else { return None };
    (converged < 2).then_some(Sent { rounds, pages, zeros, bytes, sending_us, converged: converged == 1, throttled, stopped_tsc })
}

fn states(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (count, rest) = bytes.split_at_checked(8)?;
    let count = usize::try_from(word(count)).ok().filter(|&count| count <= rest.len() / 8)?;
    let (lengths, mut rest) = rest.split_at_checked(count * 8)?;
    let mut states = Vec::new();
    for length in lengths.chunks_exact(8).map(word) {
        let (state, more) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        states.push(state.to_vec());
        rest = more;
    }
    rest.is_empty().then_some(states)
}

fn pages(body: &mut Vec<u8>) -> Option<Pages> {
    let head = word(body.get(..8)?);
    let count = (head & u64::from(u32::MAX)) as usize;
    let entries: Vec<_> = words(body.get(8..8usize.checked_add(count.checked_mul(8)?)?)?)?
        .into_iter()
        .map(|entry| (entry & !ZERO, entry & ZERO != 0))
        .collect();
    let full = entries.iter().filter(|(_, zero)| !zero).count();
    body.drain(..8 + count * 8);
    (head >> 33 == 0 && body.len() == full * PAGE_SIZE as usize).then(|| Pages {
        arena: head >> 32 == 1,
        entries,
        data: std::mem::take(body),
    })
}

#[cfg(test)]
mod tests;
