//! Writes pages of a ring buffer, byte by byte as the kernel does.

use super::super::format::PageLayout;

/// A page that is being filled.
#[derive(Debug)]
pub(crate) struct PageWriter {
    layout: PageLayout,
    bytes: Vec<u8>,
    tsc: u64,
}

impl PageWriter {
    pub(crate) fn new(layout: PageLayout, tsc: u64) -> Self {
        let mut bytes = Vec::with_capacity(layout.size);
        bytes.resize(layout.data, 0);
        layout.stamp.write(&mut bytes, tsc);
        Self { layout, bytes, tsc }
    }

    /// Whether anything is on it.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == self.layout.data
    }

    fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|word| self.bytes.extend_from_slice(&word.to_le_bytes()));
    }

    /// Adds an event; `false` if it does not fit. One that is earlier than the one before it gets an absolute time stamp, which no
    /// kernel writes, but no reader refuses.
    pub(crate) fn push(&mut self, tsc: u64, event: &[u8]) -> bool {
        let words = event.len().div_ceil(4);
        let long = words > 28 || words == 0;
        let delta = tsc.checked_sub(self.tsc).filter(|delta| *delta < 1 << 27);
        let size = 4 + words * 4 + usize::from(long) * 4 + usize::from(delta.is_none()) * 8;
        if self.bytes.len() + size > self.layout.size {
            return false;
        }
        let delta = delta.unwrap_or_else(|| {
            let (kind, time) = tsc.checked_sub(self.tsc).map_or((31, tsc & ((1 << 59) - 1)), |delta| (30, delta));
            self.words(&[kind | (time as u32) << 5, (time >> 27) as u32]);
            0
        });
        match long {
            true => self.words(&[(delta as u32) << 5, words as u32 * 4 + 4]),
            false => self.words(&[words as u32 | (delta as u32) << 5]),
        }
        self.bytes.extend_from_slice(event);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.tsc = tsc;
        true
    }

    /// Adds the kernel's way of taking an event back.
    #[cfg(test)]
    pub(crate) fn push_discarded(&mut self, delta: u32, words: u32) {
        self.words(&[29 | delta << 5, words * 4]);
        self.bytes.resize(self.bytes.len() + words as usize * 4 - 4, 0xaa);
        self.tsc += if delta == 1 { 0 } else { u64::from(delta) };
    }

    /// The page, as long as what is on it. `lost` says that events are missing before it, and perhaps how many.
    pub(crate) fn finish(mut self, lost: Option<Option<u64>>) -> Vec<u8> {
        let flags = match lost {
            None => 0,
            Some(None) => 1 << 31,
            Some(Some(_)) => 1 << 31 | 1 << 30,
        };
        let commit = (self.bytes.len() - self.layout.data) as u64 | flags;
        self.layout.commit.write(&mut self.bytes, commit);
        if let Some(Some(events)) = lost {
            self.bytes.extend_from_slice(&events.to_le_bytes());
        }
        self.bytes
    }
}
