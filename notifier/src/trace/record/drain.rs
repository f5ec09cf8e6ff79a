//! Empties the buffers of all CPUs, round after round.

use super::{
    super::{
        file::{Source, Writer},
        format::{PageLayout, Slot},
        page,
    },
    tracefs::{Instance, TracefsError},
};
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

/// Bytes that are written at a time: enough to be worth compressing, and few enough to be read back in small pieces.
const BATCH: usize = 256 << 10;

/// One CPU's buffer.
#[derive(Debug)]
pub(super) struct Pipe {
    source: Source,
    cpu: u16,
    /// `trace_pipe_raw`; each read gives one page.
    raw: File,
    stats: PathBuf,
    /// How many pages are read of it at most in a round: no CPU may keep the others waiting for ever.
    most: usize,
}

/// What became of a round over one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drained {
    /// Pages that were read.
    pub(super) pages: usize,
    /// The last page's time, if the buffer was not emptied: nothing earlier is left in it.
    pub(super) up_to: Option<u64>,
}

impl Pipe {
    /// All of an instance.
    pub(super) fn all(instance: &Instance, source: Source, buffer: u64, page: usize) -> Result<Vec<Self>, TracefsError> {
        let path = instance.file("per_cpu");
        let file = |path: PathBuf| move |error| TracefsError::File { path, error };
        let mut pipes = Vec::new();
        for entry in fs::read_dir(&path).map_err(file(path.clone()))? {
            let entry = entry.map_err(file(path.clone()))?;
            let Some(cpu) = entry.file_name().to_str().and_then(|name| name.strip_prefix("cpu")?.parse().ok()) else { continue };
            let raw = entry.path().join("trace_pipe_raw");
            let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&raw);
            let (stats, most) = (entry.path().join("stats"), (buffer as usize / page).max(1));
            pipes.push(Self { source, cpu, raw: opened.map_err(file(raw))?, stats, most });
        }
        pipes.sort_by_key(|pipe| pipe.cpu);
        Ok(pipes)
    }

    /// Whose it is.
    pub(super) const fn cpu(&self) -> u16 {
        self.cpu
    }

    /// Which part of its buffer so many pages are.
    pub(super) fn filled(&self, pages: usize) -> f64 {
        pages as f64 / self.most as f64
    }

    /// Reads what is there, and writes it. The inner error is the reading's.
    pub(super) fn drain<W: Write>(&mut self, room: &mut Room, writer: &mut Writer<W>) -> io::Result<io::Result<Drained>> {
        let (mut pages, mut up_to) = (0, None);
        let read = loop {
            if pages == self.most {
                break Ok(());
            }
            match self.raw.read(&mut room.page) {
                Ok(0) => {
                    up_to = None;
                    break Ok(());
                }
                Ok(size) => {
                    up_to = room.take(size);
                    pages += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    up_to = None;
                    break Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if room.bytes.len() >= BATCH {
                room.write(self, writer)?;
            }
        };
        room.write(self, writer)?;
        Ok(read.map(|()| Drained { pages, up_to }))
    }

    /// Events that were overwritten before they were read, or had no place.
    pub(super) fn lost(&self) -> u64 {
        lost(&fs::read_to_string(&self.stats).unwrap_or_default())
    }
}

/// `overrun` are those that were overwritten, `dropped events` those that were not written; `commit overrun` is the same of events that
/// interrupted others.
fn lost(stats: &str) -> u64 {
    let counts = stats.lines().filter_map(|line| line.split_once(':'));
    let losses = counts.filter(|(name, _)| matches!(*name, "overrun" | "commit overrun" | "dropped events"));
    losses.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
}

/// Where pages are between being read and being written.
#[derive(Debug)]
pub(super) struct Room {
    layout: PageLayout,
    page: Vec<u8>,
    bytes: Vec<u8>,
    /// Where each page begins, and how long it is.
    ends: Vec<(usize, usize)>,
    /// Where events say in which thread they were.
    tid: Slot,
    last: i32,
    /// In which threads there were events, since somebody asked.
    tids: BTreeSet<i32>,
}

impl Room {
    pub(super) fn new(layout: PageLayout, tid: Slot) -> Self {
        let (page, bytes) = (vec![0; layout.size], Vec::with_capacity(BATCH + layout.size));
        Self { layout, page, bytes, ends: Vec::new(), tid, last: 0, tids: BTreeSet::new() }
    }

    /// In which threads there were events, since somebody asked.
    pub(super) fn threads(&mut self) -> BTreeSet<i32> {
        self.last = 0;
        std::mem::take(&mut self.tids)
    }

    /// Keeps the page that was read; gives its time.
    fn take(&mut self, size: usize) -> Option<u64> {
        let page = &self.page[..size];
        let used = page::used(&self.layout, page);
        self.ends.push((self.bytes.len(), used));
        self.bytes.extend_from_slice(&page[..used]);
        let (mut cursor, _) = page::Cursor::begin(&self.layout, page).ok()?;
        let time = cursor.tsc();
        // whatever is wrong with it, its reader will say
        while let Ok(Some(record)) = cursor.next(page) {
            let tid = self.tid.read(&page[record.start..record.end]).unwrap_or(0) as i32;
            // events of a thread mostly follow each other
            if tid != self.last {
                self.last = tid;
                self.tids.insert(tid);
            }
        }
        Some(time)
    }

    fn write<W: Write>(&mut self, pipe: &Pipe, writer: &mut Writer<W>) -> io::Result<()> {
        if !self.ends.is_empty() {
            let pages = self.ends.iter().map(|(start, size)| &self.bytes[*start..start + size]);
            writer.pages(pipe.source, pipe.cpu, pages)?;
            self.ends.clear();
            self.bytes.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_added_up() {
        let stats =
            "entries: 5\noverrun: 40\ncommit overrun: 2\nbytes: 9\noldest event ts: 1.5\ndropped events: 100\nread events: 7\n";
        assert_eq!(lost(stats), 142);
        assert_eq!(lost(""), 0);
    }
}
