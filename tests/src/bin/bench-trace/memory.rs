//! The memory that reading a recording takes, which must not grow with its length: of a made-up one, and of one four times as long.

use nostale_notifier::{
    Hva, Pfn,
    addr::{PAGE_SHIFT, PAGE_SIZE},
    event::Tsc,
    trace::{
        event::{At, Call, Gfn, Item, KernelEvent, SlotMap, Spte, Tid, What},
        head::Tail,
        synthetic::{Made, head},
    },
};
use std::{
    error::Error,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Guest memory: 256 MiB.
const PAGES: u64 = 1 << 16;
const HOME: u64 = 0x7f00_0000_0000;
/// The host's frames.
const FRAMES: u64 = 1 << 18;
/// Threads that discard, so that there are many of them.
const THREADS: u64 = 64;
/// Present, writable, and what the hardware wants besides.
const LEAF: u64 = 0xe67;
/// `MADV_DONTNEED`.
const DONTNEED: u64 = 4;

pub(super) fn bench(program: &Path, dir: &Path, events: u64) -> Result<(), Box<dyn Error>> {
    println!("\nmemory of `nostale trace --read`, of made-up recordings");
    println!("  {:>12} {:>10} {:>12} {:>9} {:>12} {:>10}", "events", "file", "written in", "read in", "M events/s", "peak");
    let mut peaks = Vec::new();
    for events in [events, events.saturating_mul(4)] {
        let path = dir.join("made-up.trace");
        let began = Instant::now();
        make(&path, events)?;
        let (written, began) = (began.elapsed().as_secs_f64(), Instant::now());
        let peak = read(program, &path)?;
        let seconds = began.elapsed().as_secs_f64();
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "  {events:12} {:6.0} MiB {written:10.1} s {seconds:7.1} s {:12.2} {:6.1} MiB",
            mib(fs::metadata(&path)?.len()),
            events as f64 / seconds / 1e6,
            mib(peak)
        );
        peaks.push(peak as f64);
        fs::remove_file(&path)?;
    }
    if let [one, four] = peaks[..] {
        println!("  four times as long / once {:6.2} times as much memory", four / one);
    }
    Ok(())
}

/// The most memory of a program that reads `path`.
fn read(program: &Path, path: &Path) -> Result<u64, Box<dyn Error>> {
    let mut command = Command::new(program);
    command.args(["trace", "--quiet", "--format", "json", "--read"]).arg(path);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    // What `wait4` says includes whatever its parent had before it became another program; this is its own, and only ever grows.
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let own = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(own.unwrap_or(0) * 1024);
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        thread::sleep(Duration::from_millis(5));
    };
    if ended.success() { Ok(peak) } else { Err(format!("reading a made-up recording: {ended}").into()) }
}

/// Writes a recording of threads that discard pages which the guest faults in again.
fn make(path: &Path, events: u64) -> Result<(), Box<dyn Error>> {
    let sink = BufWriter::with_capacity(1 << 18, File::create(path)?);
    let mut stream = Stream { made: Made::begin(sink, &head())?, tsc: 1 << 40, events: 0, left: events };
    let slots = vec![SlotMap { gfn: Gfn(0), pages: PAGES, hva: Hva::new(HOME) }];
    stream.made.item(&Item::Slots { tsc: Tsc(stream.tsc), slots })?;
    let call = Call::named("madvise").ok_or("madvise is recorded")?;
    let mut mapped = vec![None; PAGES as usize];
    let mut random = 1_u64;
    while stream.left > 0 {
        // Knuth's generator, of which the upper bits are good enough.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (page, frame) = (random >> 32 & (PAGES - 1), random >> 40 & (FRAMES - 1));
        round(&mut stream, call, page, frame, &mut mapped)?;
    }
    let mut sink = stream.made.finish(&Tail::default())?;
    Ok(sink.flush()?)
}

/// One page goes and comes.
fn round(
    stream: &mut Stream<impl Write>,
    call: Call,
    page: u64,
    frame: u64,
    mapped: &mut [Option<u64>],
) -> Result<(), Box<dyn Error>> {
    let gfn = Gfn(page);
    let start = Hva::new(HOME + (page << PAGE_SHIFT));
    let end = Hva::new(start.get() + PAGE_SIZE);
    let thread = (stream.events / 16 % THREADS) as i32;
    let (discards, vcpu) = (Tid(100 + thread), Tid(2));
    let spte = |frame: u64| Spte(frame << PAGE_SHIFT | LEAF);
    let changed = |old, new| What::Changed { gfn, old, new, level: 1, space: 0 };
    let args = [start.get(), PAGE_SIZE, DONTNEED, 0, 0, 0];
    stream.event(0, discards, What::Enter { call, args })?;
    stream.event(0, discards, What::RangeStart { mm: 1, start, end, reason: 0 })?;
    stream.event(0, discards, What::Unmap { start, end })?;
    stream.event(0, discards, What::Begin { kvm: 1 })?;
    let old = mapped[page as usize].replace(frame);
    if let Some(old) = old {
        stream.event(0, discards, changed(spte(old), Spte(0)))?;
        stream.event(0, discards, What::Flush { kvm: 1 })?;
    }
    stream.event(0, discards, What::RangeEnd { mm: 1, start, end })?;
    stream.event(0, discards, What::End { kvm: 1 })?;
    stream.event(0, discards, What::Exit { call, ret: 0 })?;
    stream.event(1, vcpu, What::Fault { vcpu: 0, address: page << PAGE_SHIFT, error: 6 })?;
    stream.event(1, vcpu, What::Requested { gfn, pfn: Pfn::new(frame), level: 1 })?;
    Ok(stream.event(1, vcpu, changed(Spte(0), spte(frame)))?)
}

struct Stream<W> {
    made: Made<W>,
    tsc: u64,
    events: u64,
    left: u64,
}

impl<W: Write> Stream<W> {
    fn event(&mut self, cpu: u16, tid: Tid, what: What) -> io::Result<()> {
        self.tsc += 400;
        self.events += 1;
        self.left = self.left.saturating_sub(1);
        self.made.item(&Item::Event(KernelEvent { at: At { tsc: Tsc(self.tsc), cpu, tid }, what }))
    }
}
