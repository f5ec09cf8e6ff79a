//! A timeline for Perfetto (`protos/perfetto/trace/trace_packet.proto`): a track for each thread. System calls, invalidations and the
//! time in which KVM lets no fault install are slices, as far as a thread's events pair; everything else is a mark.
//!
//! A recording does not say whose a thread is, so all of them stand under the process that was recorded, the kernel's own too; of a
//! recording without a process, each stands for itself.

use super::{Clock, Export, ExportError, Whole, proto::Message, row};
use crate::trace::{
    describe::{self, FieldKind},
    event::{Item, KernelEvent, What},
    head::{Head, Tail},
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// Field numbers of Perfetto's messages.
mod field {
    pub(super) const TRACE_PACKET: u32 = 1;

    pub(super) const CLOCK_SNAPSHOT: u32 = 6;
    pub(super) const TIMESTAMP: u32 = 8;
    pub(super) const SEQUENCE_ID: u32 = 10;
    pub(super) const TRACK_EVENT: u32 = 11;
    pub(super) const INTERNED_DATA: u32 = 12;
    pub(super) const SEQUENCE_FLAGS: u32 = 13;
    pub(super) const TRACK_DESCRIPTOR: u32 = 60;
}

/// `TrackEvent.Type`.
#[derive(Clone, Copy)]
enum Type {
    Begin = 1,
    End = 2,
    Instant = 3,
}

/// `builtin_clock.proto`.
const BOOTTIME: u64 = 6;
const REALTIME: u64 = 1;

/// Tracks. A thread's is [`THREADS`] with its number in the low half.
const PROCESS: u64 = 1;
const RECORDING: u64 = 2;
const PRIMARY: u64 = 3;
const THREADS: u64 = 1 << 32;

/// Slices of a thread that may be open at once. More means that ends got lost.
const DEEPEST: usize = 16;

/// What a slice is of, and hence what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slice {
    Call,
    Range(u64),
    Blocked(u64),
}

impl Slice {
    fn begun_by(what: &What) -> Option<Self> {
        match *what {
            What::Enter { .. } => Some(Self::Call),
            What::RangeStart { mm, .. } => Some(Self::Range(mm)),
            What::Begin { kvm } => Some(Self::Blocked(kvm)),
            _ => None,
        }
    }

    fn ended_by(what: &What) -> Option<Self> {
        match *what {
            What::Exit { .. } => Some(Self::Call),
            What::RangeEnd { mm, .. } => Some(Self::Range(mm)),
            What::End { kvm } => Some(Self::Blocked(kvm)),
            _ => None,
        }
    }
}

/// Texts that are written once and then named by a number. `InternedData` has a field for each kind.
#[derive(Debug)]
struct Names {
    field: u32,
    known: HashMap<&'static str, u64>,
}

impl Names {
    fn of(field: u32) -> Self {
        Self { field, known: HashMap::new() }
    }

    /// The text's number; if it is new, `interned` hears of it.
    fn number(&mut self, text: &'static str, interned: &mut Message) -> u64 {
        let next = self.known.len() as u64 + 1;
        *self.known.entry(text).or_insert_with(|| {
            interned.nested(self.field, |entry| {
                entry.uint(1, next).text(2, text);
            });
            next
        })
    }
}

/// Writes it.
pub(super) struct Perfetto {
    file: Whole,
    clock: Clock,
    pid: Option<i32>,
    categories: Names,
    events: Names,
    annotations: Names,
    /// Slices that are open, by thread, innermost last.
    open: BTreeMap<i32, Vec<Slice>>,
    begun: bool,
    packet: Message,
    interned: Message,
}

impl Perfetto {
    pub(super) fn create(path: &Path, head: &Head, clock: Clock) -> Result<Self, ExportError> {
        let mut this = Self {
            file: Whole::create(path)?,
            clock,
            pid: head.pid,
            categories: Names::of(1),
            events: Names::of(2),
            annotations: Names::of(3),
            open: BTreeMap::new(),
            begun: false,
            packet: Message::new(),
            interned: Message::new(),
        };
        // Time 0 is the first item, which came within the second in which the recording began.
        this.packet.nested(field::CLOCK_SNAPSHOT, |snapshot| {
            for (id, time) in [(BOOTTIME, 0), (REALTIME, head.began.saturating_mul(1_000_000_000))] {
                snapshot.nested(1, |clock| {
                    clock.uint(1, id).uint(2, time);
                });
            }
            snapshot.uint(2, BOOTTIME);
        });
        this.send()?;
        if let Some(pid) = head.pid {
            this.track(PROCESS, |track| {
                track.nested(3, |process| {
                    process.int(1, pid.into()).text(2, &head.command).text(6, &head.command);
                    process.text(8, &head.title).text(8, &head.kernel);
                });
            })?;
        }
        for (track, name) in [(RECORDING, "recording"), (PRIMARY, "looks at the primary MMU")] {
            this.track(track, |track| {
                if head.pid.is_some() {
                    track.uint(5, PROCESS);
                }
                track.text(2, name);
            })?;
        }
        Ok(this)
    }

    /// Writes the packet that has been put together.
    fn send(&mut self) -> Result<(), ExportError> {
        const CLEARED: u64 = 1;
        const NEEDED: u64 = 2;
        self.packet.uint(field::SEQUENCE_ID, 1).uint(field::SEQUENCE_FLAGS, if self.begun { NEEDED } else { CLEARED });
        self.begun = true;
        if !self.interned.is_empty() {
            self.packet.message(field::INTERNED_DATA, &self.interned);
        }
        let mut trace = Message::new();
        trace.message(field::TRACE_PACKET, &self.packet);
        self.packet.clear();
        self.interned.clear();
        self.file.write(trace.as_bytes())
    }

    fn track(&mut self, track: u64, fill: impl FnOnce(&mut Message)) -> Result<(), ExportError> {
        self.packet.nested(field::TRACK_DESCRIPTOR, |descriptor| {
            descriptor.uint(1, track);
            fill(descriptor);
        });
        self.send()
    }

    /// The track of a thread, with its name if that is known. A later description completes an earlier one.
    fn thread(&mut self, tid: i32, name: Option<&str>) -> Result<(), ExportError> {
        let pid = self.pid;
        self.track(track_of(tid), |track| {
            // All CPUs' idle threads are number 0, which is no thread to Perfetto.
            if tid == 0 {
                track.text(2, "idle");
                return;
            }
            track.nested(4, |thread| {
                thread.int(1, pid.unwrap_or(tid).into()).int(2, tid.into());
                if let Some(name) = name {
                    thread.text(5, name);
                }
            });
        })
    }

    /// Puts together and writes an event of a track: its name (not for an end) and what it says.
    fn put(
        &mut self,
        (track, tsc, kind): (u64, u64, Type),
        name: Option<&'static str>,
        row: &row::Row,
        text: Option<&str>,
    ) -> Result<(), ExportError> {
        let time = self.clock.nanoseconds(tsc);
        let interned = &mut self.interned;
        let mut event = Message::new();
        event.uint(9, kind as u64).uint(11, track);
        if let Some(name) = name {
            let group = row.event.split_once('/').map_or("", |(group, _)| group);
            event.uint(3, self.categories.number(group, interned)).uint(10, self.events.number(name, interned));
        }
        let annotations = &mut self.annotations;
        let mut annotation = |event: &mut Message, name, fill: &dyn Fn(&mut Message)| {
            let name = annotations.number(name, interned);
            event.nested(4, |annotation| {
                annotation.uint(1, name);
                fill(annotation);
            });
        };
        if let Some(text) = text {
            annotation(&mut event, "text", &|it| _ = it.text(6, text));
        }
        for (field, value) in row.fields.as_slice() {
            annotation(&mut event, field.name(), &|it| {
                _ = match field.kind() {
                    FieldKind::Hex => it.uint(7, *value),
                    FieldKind::Decimal => it.uint(3, *value),
                    FieldKind::Signed => it.uint(4, *value),
                }
            });
        }
        if let Some(cpu) = row.cpu {
            annotation(&mut event, "cpu", &|it| _ = it.uint(3, cpu.into()));
        }
        annotation(&mut event, "tsc", &|it| _ = it.uint(3, row.tsc));
        self.packet.uint(field::TIMESTAMP, time).message(field::TRACK_EVENT, &event);
        self.send()
    }

    /// Ends the innermost slice of a thread, without a word.
    fn close(&mut self, tid: i32, tsc: u64) -> Result<(), ExportError> {
        let time = self.clock.nanoseconds(tsc);
        self.packet.uint(field::TIMESTAMP, time).nested(field::TRACK_EVENT, |event| {
            event.uint(9, Type::End as u64).uint(11, track_of(tid));
        });
        self.send()
    }

    fn event(&mut self, event: &KernelEvent, row: &row::Row) -> Result<(), ExportError> {
        let (tid, tsc) = (event.at.tid.0, event.at.tsc.0);
        if !self.open.contains_key(&tid) {
            self.thread(tid, None)?;
        }
        let mut open = self.open.remove(&tid).unwrap_or_default();
        let text = describe::describe(&event.what).to_string();
        let mut kind = Type::Instant;
        if let Some(begins) = Slice::begun_by(&event.what) {
            // A system call cannot begin in another: the other's end was lost. Nor is anything nested so deep.
            if begins == Slice::Call || open.len() >= DEEPEST {
                for _ in open.drain(..) {
                    self.close(tid, tsc)?;
                }
            }
            open.push(begins);
            kind = Type::Begin;
        } else if let Some(ends) = Slice::ended_by(&event.what)
            && let Some(at) = open.iter().rposition(|slice| *slice == ends)
        {
            // What is further in has lost its end.
            for _ in open.drain(at + 1..) {
                self.close(tid, tsc)?;
            }
            open.pop();
            kind = Type::End;
        }
        self.open.insert(tid, open);
        let name = match event.what {
            What::Enter { call, .. } => call.name(),
            What::RangeStart { .. } => "invalidate range",
            What::Begin { .. } => "no fault may install",
            _ => after_slash(row.event),
        };
        let name = (!matches!(kind, Type::End)).then_some(name);
        self.put((track_of(tid), tsc, kind), name, row, Some(&text))
    }
}

impl Export for Perfetto {
    fn item(&mut self, item: &Item) -> Result<(), ExportError> {
        row::rows(item, |row| match item {
            Item::Event(event) => self.event(event, row),
            Item::Lost { .. } | Item::Slots { .. } => {
                self.put((RECORDING, row.tsc, Type::Instant), Some(after_slash(row.event)), row, None)
            }
            Item::Primary(sample) => {
                // The clock begins with the first item's end, and only then.
                self.clock.ticks(row.tsc);
                self.put((PRIMARY, sample.from.0.min(row.tsc), Type::Begin), Some(after_slash(row.event)), row, None)?;
                let time = self.clock.nanoseconds(row.tsc);
                self.packet.uint(field::TIMESTAMP, time).nested(field::TRACK_EVENT, |event| {
                    event.uint(9, Type::End as u64).uint(11, PRIMARY);
                });
                self.send()
            }
        })
    }

    /// Slices that are still open stay so: Perfetto draws them to the end.
    fn finish(mut self: Box<Self>, tail: Option<&Tail>) -> Result<(), ExportError> {
        for (tid, name) in tail.iter().flat_map(|tail| &tail.threads) {
            if self.open.contains_key(tid) {
                self.thread(*tid, Some(name))?;
            }
        }
        self.file.keep()
    }
}

/// The low half is the thread's number as it stands in 32 bits, whatever its sign.
fn track_of(tid: i32) -> u64 {
    THREADS | u64::from(tid.cast_unsigned())
}

fn after_slash(event: &'static str) -> &'static str {
    event.split_once('/').map_or(event, |(_, name)| name)
}
