//! Reads a recording: its items in order of time.

use super::{
    decode::Decoder,
    event::Item,
    file::{Frame, Frames, ReadError},
    format::PageLayout,
    head::{Head, Tail},
    merge::Merge,
};
use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

/// A recording that is being read, in pieces: what is in memory is what happened between two of the recorder's rounds over the CPUs.
#[derive(Debug)]
pub struct Reading<R> {
    frames: Frames<R>,
    merge: Merge,
    tail: Option<Tail>,
    ended: bool,
    truncated: Option<String>,
}

impl Reading<BufReader<File>> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::over(Frames::open(path)?)
    }
}

impl<R: Read> Reading<R> {
    /// Reads a recording from wherever it comes, also while it is being made.
    pub fn new(source: R) -> Result<Self, ReadError> {
        Self::over(Frames::new(source)?)
    }

    fn over(frames: Frames<R>) -> Result<Self, ReadError> {
        let head = frames.head();
        let layout = PageLayout::parse(&head.header_page).map_err(ReadError::Layout)?;
        // An event that cannot be bound to its format was not recorded: the recorder looks at that before it begins.
        let (decoder, _) = Decoder::new(&head.formats);
        let merge = Merge::new(layout, decoder, head.formats.len());
        Ok(Self { frames, merge, tail: None, ended: false, truncated: None })
    }

    /// What the recording says of itself.
    #[must_use]
    pub const fn head(&self) -> &Head {
        self.frames.head()
    }

    /// What it says at its end; none before that, and none if it was not ended in order.
    #[must_use]
    pub const fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Why it ended before its end, if it did. All items were given out up to a point in time before which nothing is missing.
    #[must_use]
    pub fn truncated(&self) -> Option<&str> {
        self.truncated.as_deref()
    }

    /// Events that were given out behind later ones: their CPU took longer to write them than a recorder waits. Mostly none.
    #[must_use]
    pub const fn late(&self) -> u64 {
        self.merge.late
    }

    /// How many events of each name were given out so far, most frequent first; none of those that there were none of.
    #[must_use]
    pub fn counts_by_event(&self) -> Vec<(String, u64)> {
        let formats = self.head().formats.iter().zip(&self.merge.counts);
        let mut counts: Vec<_> =
            formats.filter(|(_, count)| **count > 0).map(|(format, count)| (format.name.clone(), *count)).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    /// What happened next; none at the end. After an error there is nothing more to be had.
    pub fn next_item(&mut self) -> Result<Option<Item>, ReadError> {
        loop {
            match self.merge.next() {
                Ok(None) if self.ended => return Ok(None),
                Ok(None) => {
                    if let Err(error) = self.read() {
                        return Err(self.fail(error));
                    }
                }
                Ok(item) => return Ok(item),
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    fn fail(&mut self, error: ReadError) -> ReadError {
        self.ended = true;
        // what is still held stays where it is
        self.merge = Merge::new(self.merge.layout(), Decoder::default(), 0);
        error
    }

    fn read(&mut self) -> Result<(), ReadError> {
        for buffer in self.merge.done.drain(..) {
            self.frames.give_back(buffer);
        }
        match self.frames.next_frame()? {
            Some(Frame::Pages(pages)) => self.merge.pages(pages)?,
            Some(Frame::Watermark(tsc)) => self.merge.raise(tsc.0),
            Some(Frame::Primary(sample)) => self.merge.side(Item::Primary(sample)),
            Some(Frame::Slots { tsc, slots }) => self.merge.side(Item::Slots { tsc, slots }),
            Some(Frame::Tail(tail)) => {
                self.tail = Some(tail);
                self.merge.raise(u64::MAX);
                self.ended = true;
            }
            None => {
                self.ended = true;
                let why = self.frames.truncated().unwrap_or("it has no end");
                // Of what happened after the last watermark, some CPUs' part is here and some other's is not: whoever looked at it would
                // find that things are missing which are not.
                self.truncated = Some(match self.merge.held() {
                    0 => why.to_owned(),
                    held => format!("{why}; {held} pages before that are left out, because those of other CPUs are missing"),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
