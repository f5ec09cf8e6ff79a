use super::{
    super::{
        event::{PrimarySample, SlotMap},
        head::{Head, Tail},
    },
    Header, Kind, MAGIC, MAJOR, MINOR, MOST, Source,
};
use crate::event::Tsc;
use std::io::{self, Write};

/// Below this many bytes, compression saves nothing worth its time.
const SMALL: usize = 64;

/// Writes a recording, to a file or a pipe: nothing is ever gone back to.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    pub fn new(mut sink: W, head: &Head) -> io::Result<Self> {
        sink.write_all(&MAGIC)?;
        sink.write_all(&MAJOR.to_le_bytes())?;
        sink.write_all(&MINOR.to_le_bytes())?;
        let mut writer = Self { sink, plain: Vec::new(), packed: Vec::new() };
        serde_json::to_writer(&mut writer.plain, head)?;
        writer.frame(Kind::Head, 0, 0)?;
        Ok(writer)
    }

    /// Writes what is in `self.plain`, and empties it.
    fn frame(&mut self, kind: Kind, cpu: u16, source: u8) -> io::Result<()> {
        let plain = self.plain.len();
        if plain > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{plain} bytes are too many for a frame")));
        }
        let mut packed = None;
        if plain > SMALL {
            self.packed.resize(lz4_flex::block::get_maximum_output_size(plain), 0);
            let size = lz4_flex::block::compress_into(&self.plain, &mut self.packed).map_err(io::Error::other)?;
            packed = (size < plain).then_some(size);
        }
        let stored = packed.map_or(&self.plain[..], |size| &self.packed[..size]);
        let header = Header {
            kind: kind as u8,
            packed: packed.is_some().into(),
            cpu,
            source,
            // both at most `MOST`
            stored: stored.len() as u32,
            plain: plain as u32,
        };
        self.sink.write_all(&header.bytes())?;
        self.sink.write_all(&header.checksum(stored).to_le_bytes())?;
        self.sink.write_all(stored)?;
        self.plain.clear();
        Ok(())
    }

    fn numbers(&mut self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|number| self.plain.extend_from_slice(&number.to_le_bytes()));
    }

    /// Pages of one CPU, in the order in which they were read, each as long as it is in use (see [`super::super::page::used`]).
    pub fn pages<'a>(&mut self, source: Source, cpu: u16, pages: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        for page in pages {
            let size = u32::try_from(page.len()).map_err(io::Error::other)?;
            self.plain.extend_from_slice(&size.to_le_bytes());
            self.plain.extend_from_slice(page);
        }
        self.frame(Kind::Pages, cpu, source as u8)
    }

    /// All that happened until then has been written.
    pub fn watermark(&mut self, tsc: Tsc) -> io::Result<()> {
        self.numbers([tsc.0]);
        self.frame(Kind::Watermark, 0, 0)
    }

    /// What the primary MMU maps.
    pub fn primary(&mut self, sample: &PrimarySample) -> io::Result<()> {
        self.numbers([sample.from.0, sample.to.0, sample.start.get()]);
        self.numbers(sample.entries.iter().copied());
        self.frame(Kind::Primary, 0, 0)
    }

    /// Where guest memory lies from now on.
    pub fn slots(&mut self, tsc: Tsc, slots: &[SlotMap]) -> io::Result<()> {
        self.numbers([tsc.0]);
        self.numbers(slots.iter().flat_map(|slot| [slot.gfn.0, slot.pages, slot.hva.get()]));
        self.frame(Kind::Slots, 0, 0)
    }

    /// Ends it. What was written is flushed; whether it is on disk is the caller's business, as is its name.
    pub fn finish(mut self, tail: &Tail) -> io::Result<W> {
        serde_json::to_writer(&mut self.plain, tail)?;
        self.frame(Kind::Tail, 0, 0)?;
        self.sink.flush()?;
        Ok(self.sink)
    }
}
