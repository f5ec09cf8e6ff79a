//! The recorder: a thread of its own, from the first event enabled to the last page written.

use super::{
    super::{
        decode::Decoder,
        event::SlotMap,
        file::{Source, Writer},
        format::{FormatError, Layout, PageLayout, Slot},
        head::{Format, Head, Tail},
    },
    drain::{Pipe, Room},
    host,
    names::Names,
    owner::Owner,
    probes::Probes,
    sample::Sampler,
    tracefs::{self, Instance, TracefsError},
    wanted::{self, Event, Wanted},
};
use crate::event::Tsc;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use thiserror::Error;

/// Why nothing is recorded, or not to the end.
#[derive(Debug, Error)]
pub enum RecordError {
    /// tracefs refuses something.
    #[error(transparent)]
    Tracefs(#[from] TracefsError),
    /// The kernel's description of its buffers makes no sense.
    #[error("tracefs's 'events/header_page': {0}")]
    Layout(#[from] FormatError),
    /// Events cannot be stamped with the time stamp counter.
    #[error("this kernel's events cannot be stamped with the time stamp counter, only with: {offered}")]
    Clock {
        /// Which clocks there are.
        offered: String,
    },
    /// There is no such process.
    #[error("there is no process {pid} to record")]
    Process {
        /// Which.
        pid: i32,
    },
    /// The recorder's thread cannot be made.
    #[error("no thread for the recorder: {0}")]
    Thread(io::Error),
    /// A buffer cannot be read.
    #[error("the events of CPU {cpu}: {error}")]
    Drain {
        /// Of which CPU.
        cpu: u16,
        /// Why.
        error: io::Error,
    },
    /// What was recorded cannot be written.
    #[error("writing the recording: {0}")]
    Sink(io::Error),
    /// A fault of nostale's.
    #[error("the recorder's thread panicked")]
    Panicked,
}

/// How long after an event its CPU may take to write it down: between both it holds no lock and cannot be preempted, but a CPU that is
/// itself a guest's may be taken away.
const SLACK: Duration = Duration::from_millis(10);

/// Rests between rounds.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(20);

/// Which part of a buffer may fill between two rounds: the rest is for when the recorder does not get a CPU.
const FILL: f64 = 1.0 / 16.0;

/// What others tell the recorder's thread.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    slots: Mutex<Vec<(Tsc, Vec<SlotMap>)>>,
}

/// A recording that is being made. Dropped, it ends without its tail.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Tail, RecordError>>>,
}

impl Recorder {
    /// Begins. When this returns, events are recorded. `sink` gets the recording, see [`Writer`]; buffered, or not.
    pub fn start(wanted: Wanted, sink: impl Write + Send + 'static) -> Result<Self, RecordError> {
        let set_up = SetUp::new(&wanted)?;
        let shared = Arc::new(Shared::default());
        let (began, begins) = mpsc::channel();
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("nostale-record".to_owned()).spawn(move || {
            let going = Going::new(set_up, wanted, sink);
            match going {
                Ok(mut going) => {
                    // whoever started it waits for this
                    let _ = began.send(Ok(()));
                    going.run(&theirs)?;
                    going.finish(&theirs)
                }
                Err(error) => {
                    let _ = began.send(Err(error));
                    Ok(Tail::default())
                }
            }
        });
        let thread = Some(thread.map_err(RecordError::Thread)?);
        let recorder = Self { shared, thread };
        begins.recv().map_err(|_| RecordError::Panicked)??;
        Ok(recorder)
    }

    /// From now on, guest memory lies so in the host. For a VMM that records itself, from whichever thread.
    pub fn slots(&self, slots: Vec<SlotMap>) {
        let mut pending = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // under the lock: what is not yet pending when the recorder looks is later than when it looked
        pending.push((host::now(), slots));
    }

    /// Whether it has ended by itself: what was recorded could not be written, or not be read. [`Recorder::stop`] says why.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends, with all that happened until now.
    pub fn stop(mut self) -> Result<Tail, RecordError> {
        self.join().unwrap_or(Err(RecordError::Panicked))
    }

    fn join(&mut self) -> Option<Result<Tail, RecordError>> {
        let thread = self.thread.take()?;
        self.shared.stop.store(true, Ordering::Release);
        thread.thread().unpark();
        Some(thread.join().unwrap_or(Err(RecordError::Panicked)))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.join();
    }
}

/// Buffers, with all that is wanted enabled in them. Fields are dropped in this order: what reads, what is read, what it is made by.
struct SetUp {
    pipes: Vec<Pipe>,
    task: Instance,
    memory: Instance,
    /// Held for its drop.
    _probes: Option<Probes>,
    head: Head,
    layout: PageLayout,
    /// Where events say in which thread they were: the same place in all of them.
    tid: Slot,
}

impl SetUp {
    fn new(wanted: &Wanted) -> Result<Self, RecordError> {
        let Wanted { tracefs, pid, .. } = wanted;
        if !fs::exists(format!("/proc/{pid}")).unwrap_or(false) {
            return Err(RecordError::Process { pid: *pid });
        }
        tracefs::remove_leftovers(tracefs);
        let owner = Owner::new();
        let (probes, mut missing) = match wanted.probes {
            true => {
                let (probes, missing) = Probes::place(tracefs, owner);
                (Some(probes), missing)
            }
            false => (None, BTreeMap::new()),
        };
        let task = Instance::create(tracefs, &owner.instance("task"))?;
        let memory = Instance::create(tracefs, &owner.instance("memory"))?;
        // the instance's own: pages of others may have another size
        let header_page = tracefs::read(&task.file("events/header_page"))?;
        let layout = PageLayout::parse(&header_page)?;
        // of a machine with many CPUs, not all of the memory
        let cpus = fs::read_dir(task.file("per_cpu")).into_iter().flatten().count().max(1) as u64;
        let most = host::memory().map_or(u64::MAX, |bytes| bytes / 16 / cpus);
        let mut pipes = Vec::new();
        for (instance, source, bytes) in
            [(&task, Source::Task, wanted.buffer_bytes), (&memory, Source::Memory, wanted.buffer_bytes / 2)]
        {
            let bytes = bytes.min(most).max(1 << 18);
            configure(instance, bytes)?;
            pipes.extend(Pipe::all(instance, source, bytes, layout.size)?);
        }
        let mut formats = Vec::new();
        let mut enable =
            |instance: &Instance, path: &str, name: String, filter: Option<&str>| match add(instance, path, &name, filter) {
                Ok(format) => formats.push(format),
                Err(why) => {
                    missing.insert(name, why);
                }
            };
        for Event { name, source, filter } in wanted::events(wanted.frees) {
            let instance = if source == Source::Task { &task } else { &memory };
            enable(instance, &name, name.clone(), filter);
        }
        for (path, name, filter) in probes.iter().flat_map(Probes::events) {
            enable(&memory, &path, name, filter);
        }
        follow(&task, *pid)?;
        let head = Head {
            kernel: host::kernel(),
            cpu: host::cpu(),
            cpus: pipes.iter().map(Pipe::cpu).collect::<BTreeSet<_>>().len() as u16,
            mmu: host::mmu(),
            hertz: wanted.hertz,
            began: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            pid: Some(*pid),
            command: host::command(*pid),
            title: wanted.title.clone(),
            header_page,
            formats,
            missing,
            probes: probes.as_ref().is_some_and(Probes::are_decisive),
        };
        let tid = head.formats.iter().find_map(|format| Layout::parse(&format.text).ok()?.field("common_pid")?.slot().ok());
        let tid = tid.unwrap_or_default();
        Ok(Self { pipes, task, memory, _probes: probes, head, layout, tid })
    }
}

fn configure(instance: &Instance, bytes: u64) -> Result<(), RecordError> {
    let clocks = tracefs::read(&instance.file("trace_clock"))?;
    let offered = clocks.replace(['[', ']'], "");
    if !offered.split_whitespace().any(|clock| clock == "x86-tsc") {
        return Err(RecordError::Clock { offered: offered.trim().to_owned() });
    }
    instance.write("trace_clock", "x86-tsc")?;
    // A buffer that is full makes room: only then do pages say that, and how many, events are missing before them.
    instance.write("options/overwrite", "1")?;
    // what user memory holds is nobody's business, and large (since Linux 6.19)
    instance.write_if_there("syscall_user_buf_size", "0")?;
    instance.write("buffer_size_kb", &(bytes >> 10).to_string())?;
    Ok(())
}

/// Enables an event, if it can be read; the error says why it will be missing.
fn add(instance: &Instance, path: &str, name: &str, filter: Option<&str>) -> Result<Format, String> {
    let directory = format!("events/{path}");
    if !instance.file(&directory).exists() {
        return Err("this kernel has no such event".to_owned());
    }
    let text = tracefs::read(&instance.file(&format!("{directory}/format"))).map_err(|error| error.to_string())?;
    let format = Format { name: name.to_owned(), text };
    let (_, unreadable) = Decoder::new(std::slice::from_ref(&format));
    if let Some(error) = unreadable.into_values().next() {
        return Err(error.to_string());
    }
    let write = |name: &str, text: &str| instance.write(&format!("{directory}/{name}"), text).map_err(|error| error.to_string());
    if let Some(filter) = filter {
        write("filter", filter)?;
    }
    write("enable", "1")?;
    Ok(format)
}

/// Records the threads of a process, and those that they come to have.
fn follow(instance: &Instance, pid: i32) -> Result<(), TracefsError> {
    // before its threads are listed: a thread that is made between both is one way or the other among them
    instance.write("options/event-fork", "1")?;
    let mut known = BTreeSet::new();
    loop {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let new: Vec<_> =
            threads.filter_map(|entry| entry.file_name().into_string().ok()).filter(|tid| known.insert(tid.clone())).collect();
        if new.is_empty() {
            break;
        }
        tracefs::append(&instance.file("set_event_pid"), &new.join(" "))?;
    }
    // an empty list is no filter at all
    match known.is_empty() {
        true => instance.write("set_event_pid", &pid.to_string()),
        false => Ok(()),
    }
}

/// The recorder's thread.
struct Going<W> {
    set_up: SetUp,
    writer: Option<Writer<W>>,
    room: Room,
    names: Names,
    sampler: Option<Sampler>,
    slack: u64,
    began: Instant,
}

impl<W: Write> Going<W> {
    fn new(set_up: SetUp, wanted: Wanted, sink: W) -> Result<Self, RecordError> {
        // What the recorder itself calls is no part of the VM, though it may live in its process. (What it does to memory is: it may be
        // the one that frees the VM's, if there is none left.)
        // SAFETY: it takes no arguments.
        let tid = unsafe { libc::gettid() };
        set_up.task.write_if_there("set_event_notrace_pid", &tid.to_string())?;
        let mut writer = Writer::new(sink, &set_up.head).map_err(RecordError::Sink)?;
        let mut sampler = wanted.sample_every.map(|every| Sampler::new(wanted.pid, every));
        if !wanted.slots.is_empty() {
            writer.slots(host::now(), &wanted.slots).map_err(RecordError::Sink)?;
            if let Some(sampler) = &mut sampler {
                sampler.told(&wanted.slots);
            }
        }
        set_up.memory.write("tracing_on", "1")?;
        set_up.task.write("tracing_on", "1")?;
        let (room, names) = (Room::new(set_up.layout, set_up.tid), Names::new(&wanted.tracefs, wanted.pid));
        let slack = (SLACK.as_secs_f64() * wanted.hertz) as u64;
        Ok(Self { set_up, writer: Some(writer), room, names, sampler, slack, began: Instant::now() })
    }

    /// Round after round, until somebody says that it is enough.
    fn run(&mut self, shared: &Shared) -> Result<(), RecordError> {
        let mut rest = SHORTEST;
        while !shared.stop.load(Ordering::Acquire) {
            let filled = self.round(shared)?;
            self.names.note(self.room.threads().into_iter());
            self.names.poll();
            rest = match filled > 0.0 {
                true => rest.mul_f64((FILL / filled).clamp(0.25, 2.0)).clamp(SHORTEST, LONGEST),
                false => LONGEST,
            };
            thread::park_timeout(rest);
        }
        Ok(())
    }

    /// One round over all buffers; gives which part of the fullest was full.
    fn round(&mut self, shared: &Shared) -> Result<f64, RecordError> {
        let mut complete = host::now().0.saturating_sub(self.slack);
        let Some(writer) = &mut self.writer else { return Ok(0.0) };
        let mut fullest = 0.0f64;
        for pipe in &mut self.set_up.pipes {
            let drained = pipe.drain(&mut self.room, writer).map_err(RecordError::Sink)?;
            let drained = drained.map_err(|error| RecordError::Drain { cpu: pipe.cpu(), error })?;
            complete = complete.min(drained.up_to.unwrap_or(u64::MAX));
            fullest = fullest.max(pipe.filled(drained.pages));
        }
        if let Some(sample) = self.sampler.as_mut().and_then(Sampler::poll) {
            writer.primary(&sample).map_err(RecordError::Sink)?;
        }
        let pending = std::mem::take(&mut *shared.slots.lock().unwrap_or_else(PoisonError::into_inner));
        for (tsc, slots) in pending {
            writer.slots(tsc, &slots).map_err(RecordError::Sink)?;
            if let Some(sampler) = &mut self.sampler {
                sampler.told(&slots);
            }
        }
        writer.watermark(Tsc(complete)).map_err(RecordError::Sink)?;
        Ok(fullest)
    }

    fn finish(mut self, shared: &Shared) -> Result<Tail, RecordError> {
        self.set_up.task.write("tracing_on", "0")?;
        self.set_up.memory.write("tracing_on", "0")?;
        // Nothing is added any more, but for what is being written just now, which is soon over; and no round reads more than a buffer.
        self.sampler = None;
        while self.round(shared)? > 0.0 {}
        self.names.note(self.room.threads().into_iter());
        let mut lost = BTreeMap::new();
        for pipe in &self.set_up.pipes {
            *lost.entry(pipe.cpu()).or_insert(0) += pipe.lost();
        }
        lost.retain(|_, events| *events > 0);
        let tail = Tail { threads: self.names.take(), lost, seconds: self.began.elapsed().as_secs_f64() };
        if let Some(writer) = self.writer.take() {
            writer.finish(&tail).map_err(RecordError::Sink)?;
        }
        Ok(tail)
    }
}
