//! Puts the buffers of all CPUs in one order of time.
//!
//! Each CPU's buffer is in order by itself. The next event of all is therefore the first of one of them, as soon as it is known that
//! nothing earlier is still to come from any: up to the *watermark*, which the recorder moves on after each round over the buffers.
//! What is held in memory is what lies between two watermarks.

use super::{
    decode::Decoder,
    event::{At, Item, KernelEvent},
    file::{Pages, ReadError},
    format::PageLayout,
    page::{Cursor, Missed, Record},
};
use crate::event::Tsc;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

/// What comes next of a buffer.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Nothing, until more is read.
    Dry,
    Event {
        plan: u16,
        start: usize,
        end: usize,
    },
    Lost {
        since: u64,
        events: Option<u64>,
    },
}

/// One CPU's buffer of one kind.
#[derive(Debug)]
struct Stream {
    cpu: u16,
    batches: VecDeque<Pages>,
    /// Where the next page begins in the first batch.
    at: usize,
    /// The page that is being read, in the first batch.
    page: Option<(usize, usize)>,
    cursor: Cursor,
    next: Next,
    /// When that is.
    tsc: u64,
}

impl Stream {
    const fn new(cpu: u16) -> Self {
        let batches = VecDeque::new();
        Self { cpu, batches, at: 0, page: None, cursor: Cursor::EMPTY, next: Next::Dry, tsc: 0 }
    }

    /// Goes on to what comes next. A batch that is done goes to `done`.
    fn advance(&mut self, layout: &PageLayout, decoder: &Decoder, done: &mut Vec<Vec<u8>>) -> Result<(), ReadError> {
        let cpu = self.cpu;
        let broken = |error| ReadError::Page { cpu, error };
        self.next = Next::Dry;
        while let Some(batch) = self.batches.front() {
            if let Some((first, last)) = self.page {
                let page = &batch.bytes[first..last];
                while let Some(Record { tsc, start, end }) = self.cursor.next(page).map_err(broken)? {
                    // an event that nobody here knows is passed over
                    if let Some(plan) = decoder.plan(&page[start..end]) {
                        self.next = Next::Event { plan, start: first + start, end: first + end };
                        self.tsc = tsc;
                        return Ok(());
                    }
                }
                self.page = None;
            }
            let Some((first, last)) = batch.page(self.at) else {
                done.extend(self.batches.pop_front().map(|batch| batch.bytes));
                self.at = 0;
                continue;
            };
            let (cursor, missed) = Cursor::begin(layout, &batch.bytes[first..last]).map_err(broken)?;
            (self.at, self.page, self.cursor) = (last, Some((first, last)), cursor);
            let lost = match missed {
                Missed::Nothing => continue,
                Missed::Events(events) => Some(events),
                Missed::Unknown => None,
            };
            self.next = Next::Lost { since: self.tsc, events: lost };
            self.tsc = cursor.tsc();
            return Ok(());
        }
        Ok(())
    }
}

/// A place in the order of time: when, and which stream, so that the order is the same each time.
type Key = (u64, u32);

/// All buffers.
#[derive(Debug)]
pub(super) struct Merge {
    layout: PageLayout,
    decoder: Decoder,
    streams: Vec<Stream>,
    /// By CPU and kind.
    places: BTreeMap<(u16, u8), u32>,
    /// The streams that have something, but for the current one.
    heap: BinaryHeap<Reverse<Key>>,
    /// The one whose events are being given out: events of one come in bursts, which need not go through the heap.
    current: Option<u32>,
    /// How far the current one may go.
    limit: Key,
    /// What came otherwise, in order of time.
    side: VecDeque<Item>,
    watermark: u64,
    /// Of each format, how many events.
    pub(super) counts: Vec<u64>,
    /// The last that was given out.
    last: u64,
    /// Events that came behind later ones.
    pub(super) late: u64,
    /// Buffers to be read into again.
    pub(super) done: Vec<Vec<u8>>,
}

impl Merge {
    pub(super) fn new(layout: PageLayout, decoder: Decoder, formats: usize) -> Self {
        Self {
            layout,
            decoder,
            streams: Vec::new(),
            places: BTreeMap::new(),
            heap: BinaryHeap::new(),
            current: None,
            limit: (0, 0),
            side: VecDeque::new(),
            watermark: 0,
            counts: vec![0; formats],
            last: 0,
            late: 0,
            done: Vec::new(),
        }
    }

    /// How pages are laid out.
    pub(super) const fn layout(&self) -> PageLayout {
        self.layout
    }

    /// More of a buffer.
    pub(super) fn pages(&mut self, pages: Pages) -> Result<(), ReadError> {
        self.settle();
        let new = self.streams.len() as u32;
        let place = *self.places.entry((pages.cpu, pages.source as u8)).or_insert(new);
        if place == new {
            self.streams.push(Stream::new(pages.cpu));
        }
        let stream = &mut self.streams[place as usize];
        stream.batches.push_back(pages);
        if let Next::Dry = stream.next {
            stream.advance(&self.layout, &self.decoder, &mut self.done)?;
            if !matches!(stream.next, Next::Dry) {
                self.heap.push(Reverse((stream.tsc, place)));
            }
        }
        Ok(())
    }

    /// Something that is no event.
    pub(super) fn side(&mut self, item: Item) {
        self.settle();
        let at = self.side.partition_point(|other| other.tsc() <= item.tsc());
        self.side.insert(at, item);
    }

    /// All that happened before then is here.
    pub(super) fn raise(&mut self, watermark: u64) {
        self.settle();
        self.watermark = self.watermark.max(watermark);
    }

    /// Pages that are held, and items beside.
    pub(super) fn held(&self) -> usize {
        let pages = |stream: &Stream| {
            let mut at = stream.at;
            let whole = stream.batches.iter().map(|batch| {
                let from = std::mem::take(&mut at);
                std::iter::successors(batch.page(from), |(_, end)| batch.page(*end)).count()
            });
            whole.sum::<usize>() + usize::from(stream.page.is_some())
        };
        self.streams.iter().map(pages).sum::<usize>() + self.side.len()
    }

    /// Puts the current stream back among the others, because what it is compared with changes.
    fn settle(&mut self) {
        if let Some(place) = self.current.take() {
            let stream = &self.streams[place as usize];
            if !matches!(stream.next, Next::Dry) {
                self.heap.push(Reverse((stream.tsc, place)));
            }
        }
    }

    /// The stream that has the next event; none if the next is something else, or not known yet.
    fn choose(&mut self) -> Option<u32> {
        self.settle();
        let bound = self.side.front().map_or(self.watermark, |item| item.tsc().0.min(self.watermark));
        let Reverse((_, place)) = *self.heap.peek().filter(|Reverse((tsc, _))| *tsc < bound)?;
        self.heap.pop();
        let others = self.heap.peek().map_or((u64::MAX, u32::MAX), |Reverse(key)| *key);
        self.limit = others.min((bound, 0));
        self.current = Some(place);
        Some(place)
    }

    /// What comes next; none if that is not known before more is read.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Item>, ReadError> {
        let going = |place: &u32| {
            let stream = &self.streams[*place as usize];
            (stream.tsc, *place) < self.limit && !matches!(stream.next, Next::Dry)
        };
        let Some(place) = self.current.filter(going).or_else(|| self.choose()) else {
            let known = |item: &Item| item.tsc().0 < self.watermark;
            return Ok(if self.side.front().is_some_and(known) { self.side.pop_front() } else { None });
        };
        let stream = &mut self.streams[place as usize];
        let (cpu, tsc) = (stream.cpu, Tsc(stream.tsc));
        self.late += u64::from(tsc.0 < self.last);
        self.last = tsc.0;
        let item = match stream.next {
            // it was not dry a moment ago
            Next::Dry => return Ok(None),
            Next::Lost { since, events } => Item::Lost { since: Tsc(since), until: tsc, cpu, events },
            Next::Event { plan, start, end } => {
                let bytes = stream.batches.front().and_then(|batch| batch.bytes.get(start..end)).unwrap_or_default();
                let decoded = self.decoder.get(plan).and_then(|(plan, format)| Some((plan.decode(bytes)?, *format)));
                let Some(((tid, what), format)) = decoded else {
                    let format = self.decoder.get(plan).map_or(usize::MAX, |(_, format)| *format);
                    return Err(ReadError::Event { cpu, tsc, format, bytes: bytes.len() });
                };
                self.counts[format] += 1;
                Item::Event(KernelEvent { at: At { tsc, cpu, tid }, what })
            }
        };
        stream.advance(&self.layout, &self.decoder, &mut self.done)?;
        Ok(Some(item))
    }
}
