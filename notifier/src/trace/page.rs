//! Pages of the kernel's ring buffer, as `per_cpu/cpuN/trace_pipe_raw` gives them (`kernel/trace/ring_buffer.c`,
//! `Documentation/trace/ring-buffer-design.rst`).
//!
//! A page is a time stamp, the number of bytes that are in use (with flags), and events one behind the other. Each begins with 32 bits:
//! five say what it is or how long, 27 how many ticks after the one before it is.

use super::format::PageLayout;
use thiserror::Error;

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PageError {
    /// It has less bytes than its own head.
    #[error("a page of {0} bytes has no head")]
    Head(usize),
    /// It says that it holds more than it does.
    #[error("a page of {size} bytes says that it holds {commit} bytes of events")]
    Commit {
        /// Bytes of the page.
        size: usize,
        /// Bytes of events that it claims.
        commit: usize,
    },
    /// An event reaches beyond the end of the events.
    #[error("the event at byte {at} does not end on its page")]
    Event {
        /// Where it begins.
        at: usize,
    },
}

/// What is missing before a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// Nothing.
    Nothing,
    /// So many events.
    Events(u64),
    /// Events, nobody knows how many.
    Unknown,
}

/// An event: where its bytes lie on the page, and when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub tsc: u64,
    /// First byte.
    pub start: usize,
    /// First byte behind it.
    pub end: usize,
}

/// `RB_MISSED_EVENTS`: events were lost between the page before and this one.
const MISSED: u64 = 1 << 31;
/// `RB_MISSED_STORED`: their number stands behind the last event.
const STORED: u64 = 1 << 30;
/// The bits of the commit word that are the number of bytes, as libtraceevent has it.
const BYTES: u64 = (1 << 27) - 1;

const TYPE_PADDING: u32 = 29;
const TYPE_TIME_EXTEND: u32 = 30;
const TYPE_TIME_STAMP: u32 = 31;

/// Bits of a time difference within an event's first word.
const DELTA_BITS: u32 = 27;
/// An absolute time stamp has only 59 bits; the others are those of the time before (`TS_MSB`).
const STAMP_BITS: u32 = 59;

/// How far a page has been read. It does not hold the page, so that whoever owns both can.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    at: usize,
    end: usize,
    tsc: u64,
}

fn word(page: &[u8], at: usize, end: usize) -> Option<u32> {
    page.get(..end)?.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The bytes of a page that are in use, of those that were read; the rest need not be kept.
#[must_use]
pub fn used(layout: &PageLayout, page: &[u8]) -> usize {
    let commit = layout.commit.read(page).unwrap_or(0);
    let stored = if commit & MISSED != 0 && commit & STORED != 0 { size_of::<u64>() } else { 0 };
    layout.data.saturating_add((commit & BYTES) as usize).saturating_add(stored).min(page.len())
}

impl Cursor {
    /// On no page.
    pub(crate) const EMPTY: Self = Self { at: 0, end: 0, tsc: 0 };

    /// At the beginning of a page. Also says what is missing before it.
    pub fn begin(layout: &PageLayout, page: &[u8]) -> Result<(Self, Missed), PageError> {
        let head = || PageError::Head(page.len());
        let (tsc, commit) = layout.stamp.read(page).zip(layout.commit.read(page)).ok_or_else(head)?;
        let bytes = (commit & BYTES) as usize;
        let end = layout.data + bytes;
        if end > page.len() {
            return Err(PageError::Commit { size: page.len(), commit: bytes });
        }
        let stored = || page.get(end..)?.first_chunk().map(|bytes| Missed::Events(u64::from_le_bytes(*bytes)));
        let missed = match (commit & MISSED != 0, commit & STORED != 0) {
            (false, _) => Missed::Nothing,
            (true, false) => Missed::Unknown,
            (true, true) => stored().unwrap_or(Missed::Unknown),
        };
        Ok((Self { at: layout.data, end, tsc }, missed))
    }

    /// When the last event was that was read; before the first one, when the page began.
    #[must_use]
    pub const fn tsc(&self) -> u64 {
        self.tsc
    }

    /// The next event on the page; none at its end. Behind an error there is no more to be had of the page.
    #[inline]
    pub fn next(&mut self, page: &[u8]) -> Result<Option<Record>, PageError> {
        let record = self.advance(page);
        if record.is_err() {
            self.at = self.end;
        }
        record
    }

    #[inline]
    fn advance(&mut self, page: &[u8]) -> Result<Option<Record>, PageError> {
        while self.at < self.end {
            let at = self.at;
            let broken = PageError::Event { at };
            let first = word(page, at, self.end).ok_or(broken)?;
            let (kind, delta) = (first & 31, u64::from(first >> 5));
            let start = match kind {
                // the length of a long event stands in front of its bytes, and counts itself
                0 => {
                    let bytes = word(page, at + 4, self.end).ok_or(broken)? as usize;
                    let end = (at + 4).checked_add(bytes).filter(|_| bytes >= 4).ok_or(broken)?;
                    self.step(end, broken)?;
                    at + 8
                }
                TYPE_PADDING => {
                    // up to the end of the page
                    if delta == 0 {
                        self.at = self.end;
                        return Ok(None);
                    }
                    // An event that its writer took back. Later ones count from it, unless it had no difference of its own:
                    // `rb_event_discard` makes that 1, because 0 would be the end of the page.
                    let bytes = word(page, at + 4, self.end).ok_or(broken)? as usize;
                    self.step((at + 4).checked_add(bytes).ok_or(broken)?, broken)?;
                    if delta != 1 {
                        self.tsc = self.tsc.wrapping_add(delta);
                    }
                    continue;
                }
                TYPE_TIME_EXTEND => {
                    let high = u64::from(word(page, at + 4, self.end).ok_or(broken)?);
                    self.step(at + 8, broken)?;
                    self.tsc = self.tsc.wrapping_add((high << DELTA_BITS) + delta);
                    continue;
                }
                TYPE_TIME_STAMP => {
                    let high = u64::from(word(page, at + 4, self.end).ok_or(broken)?);
                    self.step(at + 8, broken)?;
                    self.tsc = absolute((high << DELTA_BITS) + delta, self.tsc);
                    continue;
                }
                words => {
                    self.step(at + 4 + words as usize * 4, broken)?;
                    at + 4
                }
            };
            self.tsc = self.tsc.wrapping_add(delta);
            return Ok(Some(Record { tsc: self.tsc, start, end: self.at }));
        }
        Ok(None)
    }

    #[inline]
    fn step(&mut self, to: usize, broken: PageError) -> Result<(), PageError> {
        if to > self.end {
            return Err(broken);
        }
        self.at = to;
        Ok(())
    }
}

/// `rb_fix_abs_ts`: the upper bits are those of the time before, or one more if that would go backwards.
fn absolute(stamp: u64, before: u64) -> u64 {
    let low = stamp & ((1 << STAMP_BITS) - 1);
    let high = before >> STAMP_BITS << STAMP_BITS;
    let fixed = high | low;
    if high != 0 && fixed < before { fixed.wrapping_add(1 << STAMP_BITS) } else { fixed }
}

#[cfg(test)]
mod tests;
