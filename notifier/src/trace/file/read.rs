use super::{
    super::{
        event::{Gfn, PrimarySample, SlotMap},
        format::FormatError,
        head::{Head, Tail},
        page::PageError,
    },
    HEADER, Header, Kind, MAGIC, MAJOR, MOST, START, Source,
};
use crate::{Hva, event::Tsc};
use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Buffers that are kept to be read into again.
const SPARES: usize = 16;

/// Why a recording cannot be read, or not further.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error("{}: {error}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file or pipe gives no more, and not because it ends.
    #[error("at byte {at}: {error}")]
    Io {
        /// Where.
        at: u64,
        /// Why.
        error: io::Error,
    },
    /// It is something else.
    #[error("this is no recording of nostale: it does not begin as one")]
    Magic,
    /// It was made by a nostale that writes them otherwise.
    #[error("a recording of version {major}, where version {MAJOR} is understood: read it with the nostale that made it")]
    Version {
        /// Its version.
        major: u16,
    },
    /// Its head is not there, or makes no sense.
    #[error("a recording without its head: {0}")]
    Head(String),
    /// The layout of its pages, as it has it, makes no sense.
    #[error("the recording's 'header_page': {0}")]
    Layout(FormatError),
    /// A page is whole by its checksum and yet none.
    #[error("a page of CPU {cpu}: {error}")]
    Page {
        /// Of which CPU.
        cpu: u16,
        /// What is wrong.
        error: PageError,
    },
    /// An event is shorter than its format says.
    #[error("an event of CPU {cpu} at {}: {bytes} bytes are too few for the recording's format {format}", tsc.0)]
    Event {
        /// Of which CPU.
        cpu: u16,
        /// When.
        tsc: Tsc,
        /// Which, among the formats of the recording's head.
        format: usize,
        /// How long it is.
        bytes: usize,
    },
}

/// A frame of a recording.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// Pages of one CPU's buffer.
    Pages(Pages),
    /// All that happened until then stands before this frame.
    Watermark(Tsc),
    /// What the primary MMU maps.
    Primary(PrimarySample),
    /// Where guest memory lies.
    Slots {
        /// Since when.
        tsc: Tsc,
        /// All of it.
        slots: Vec<SlotMap>,
    },
    /// The end.
    Tail(Tail),
}

/// Pages of one CPU's buffer, in the order in which they were read.
#[derive(Debug, PartialEq)]
pub struct Pages {
    /// Which buffer.
    pub source: Source,
    /// Which CPU.
    pub cpu: u16,
    /// Each with its length before it.
    pub(crate) bytes: Vec<u8>,
}

impl Pages {
    /// The page that begins at a place, and where the next one does. A page is as long as it was in use: the kernel has zeros behind.
    pub(crate) fn page(&self, at: usize) -> Option<(usize, usize)> {
        let size = u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?) as usize;
        let start = at + 4;
        Some((start, start.checked_add(size).filter(|end| *end <= self.bytes.len())?))
    }

    /// Each page, as the kernel gave it, without the unused bytes at its end.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (start, end) = self.page(at)?;
            at = end;
            Some(&self.bytes[start..end])
        })
    }
}

/// Frames as they are in the file.
#[derive(Debug)]
struct Raw<R> {
    source: R,
    at: u64,
    stored: Vec<u8>,
    ended: bool,
    truncated: Option<String>,
}

impl<R: Read> Raw<R> {
    fn cut(&mut self, why: &str) {
        self.ended = true;
        self.truncated = Some(format!("the recording ends at byte {}: {why}", self.at));
    }

    /// Reads one frame, whatever its kind, and unpacks it; none at the end.
    fn next(&mut self, plain: &mut Vec<u8>) -> Result<Option<Header>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        let at = self.at;
        match self.take(plain).map_err(|error| ReadError::Io { at, error })? {
            Ok(header) => {
                self.at += HEADER as u64 + u64::from(header.stored);
                Ok(Some(header))
            }
            Err(why) => {
                self.cut(&why);
                Ok(None)
            }
        }
    }

    /// The inner error is why there is no whole frame.
    fn take(&mut self, plain: &mut Vec<u8>) -> io::Result<Result<Header, String>> {
        let mut bytes = [0; HEADER];
        match read_full(&mut self.source, &mut bytes)? {
            0 => return Ok(Err("it was not ended in order".to_owned())),
            HEADER => {}
            _ => return Ok(Err("a frame's head is cut off".to_owned())),
        }
        let (header, checksum) = Header::parse(&bytes);
        let (stored, size) = (header.stored as usize, header.plain as usize);
        if stored > MOST || size > MOST {
            return Ok(Err("a frame's head is damaged".to_owned()));
        }
        // in pieces, so that a damaged length does not ask for memory that the file cannot fill
        self.stored.clear();
        let read = self.source.by_ref().take(stored as u64).read_to_end(&mut self.stored)?;
        if read < stored {
            return Ok(Err("a frame is cut off".to_owned()));
        } else if header.checksum(&self.stored) != checksum {
            return Ok(Err("a frame is damaged: its checksum is another one".to_owned()));
        }
        plain.clear();
        let unpacked = match header.packed {
            0 => {
                plain.extend_from_slice(&self.stored);
                Ok(stored)
            }
            1 => {
                plain.resize(size, 0);
                lz4_flex::block::decompress_into(&self.stored, plain).map_err(|error| error.to_string())
            }
            other => Err(format!("packing {other} is not known")),
        };
        Ok(match unpacked {
            Ok(unpacked) if unpacked == size => Ok(header),
            Ok(_) => Err("a frame does not have the size that it says".to_owned()),
            Err(error) => Err(format!("a frame does not unpack: {error}")),
        })
    }
}

/// A recording, frame by frame, in the order of the file: for whoever wants the kernel's pages as they are. [`super::super::Reading`]
/// gives what they say, in order of time.
#[derive(Debug)]
pub struct Frames<R> {
    raw: Raw<R>,
    head: Head,
    /// Buffers that were given back.
    spare: Vec<Vec<u8>>,
}

impl Frames<BufReader<File>> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|error| ReadError::Open { path: path.to_owned(), error })?;
        Self::new(BufReader::with_capacity(1 << 16, file))
    }
}

impl<R: Read> Frames<R> {
    /// Reads a recording from wherever it comes.
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let mut start = [0; START];
        let have = read_full(&mut source, &mut start).map_err(|error| ReadError::Io { at: 0, error })?;
        if have < START || start[..8] != MAGIC {
            return Err(ReadError::Magic);
        }
        let major = u16::from_le_bytes([start[8], start[9]]);
        if major != MAJOR {
            return Err(ReadError::Version { major });
        }
        let mut raw = Raw { source, at: START as u64, stored: Vec::new(), ended: false, truncated: None };
        let mut plain = Vec::new();
        let head = match raw.next(&mut plain)? {
            Some(header) if header.kind == Kind::Head as u8 => {
                serde_json::from_slice(&plain).map_err(|error| ReadError::Head(error.to_string()))
            }
            Some(_) => Err(ReadError::Head("something else stands in its place".to_owned())),
            None => Err(ReadError::Head(raw.truncated.take().unwrap_or_default())),
        };
        Ok(Self { raw, head: head?, spare: Vec::new() })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Why it ended before its end, if it did.
    #[must_use]
    pub fn truncated(&self) -> Option<&str> {
        self.raw.truncated.as_deref()
    }

    /// A buffer to read into, instead of a new one.
    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARES {
            self.spare.push(buffer);
        }
    }

    /// The next frame of a known kind; none at the end, behind the tail or where the recording is cut off.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            let mut plain = self.spare.pop().unwrap_or_default();
            let Some(header) = self.raw.next(&mut plain)? else { return Ok(None) };
            let frame = match (Kind::of(header.kind), Source::of(header.source)) {
                (Some(Kind::Pages), Some(source)) => Some(Frame::Pages(Pages { source, cpu: header.cpu, bytes: plain })),
                (Some(Kind::Watermark), _) => numbers(&plain).next().map(|tsc| Frame::Watermark(Tsc(tsc))),
                (Some(Kind::Primary), _) => primary(&plain),
                (Some(Kind::Slots), _) => slots(&plain),
                (Some(Kind::Tail), _) => {
                    self.raw.ended = true;
                    match serde_json::from_slice(&plain) {
                        Ok(tail) => Some(Frame::Tail(tail)),
                        Err(error) => {
                            self.raw.cut(&format!("its tail makes no sense: {error}"));
                            return Ok(None);
                        }
                    }
                }
                // what a later version added
                (Some(Kind::Head) | None, _) | (Some(Kind::Pages), None) => None,
            };
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }
}

/// `read_exact` that says how far it came.
fn read_full(source: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < bytes.len() {
        match source.read(&mut bytes[have..]) {
            Ok(0) => break,
            Ok(read) => have += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

fn primary(plain: &[u8]) -> Option<Frame> {
    let mut numbers = numbers(plain);
    let (from, to, start) = (Tsc(numbers.next()?), Tsc(numbers.next()?), Hva::new(numbers.next()?));
    Some(Frame::Primary(PrimarySample { from, to, start, entries: numbers.collect() }))
}

fn slots(plain: &[u8]) -> Option<Frame> {
    let mut numbers = numbers(plain);
    let tsc = Tsc(numbers.next()?);
    let slot = || Some(SlotMap { gfn: Gfn(numbers.next()?), pages: numbers.next()?, hva: Hva::new(numbers.next()?) });
    Some(Frame::Slots { tsc, slots: std::iter::from_fn(slot).collect() })
}
