//! Booting or restoring a kernel under test, and asking it for things.

use super::{
    ConsoleAlarm, End, L1Error, Ran, alarms,
    deadline::{self, ANSWER, BOOT, COMPLAINED, Deadline, READING},
    patching::LiveText,
};
use crate::{
    host::kmsg::Alarm,
    inside::{
        Collected, Decoder, Event, Progress, Ready, Request, RunRequest, Sender, SiteReach, SymbolsCollector, TracePhase,
        TraceRequest,
    },
    kernels::{self, Extras, Kernel, Program},
    mutate::Text,
    qemu::{Accel, Installed, Machine, MachineSpec, Received, Saved, State},
};
use nostale_notifier::trace::profile::Profile;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// How often the console and the process are looked at while nothing comes.
const POLL: Duration = Duration::from_millis(100);
/// How long a machine that was told to power off may take.
const GRACE: Duration = Duration::from_secs(10);

/// What a kernel is booted on.
#[derive(Clone, Debug)]
pub struct Boot<'a> {
    /// QEMU.
    pub installed: &'a Installed,
    /// How it is run.
    pub accel: Accel,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The program that is its PID 1.
    pub program: &'a Program,
    /// What else is in its file system.
    pub extras: Option<&'a Extras>,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Its CPUs.
    pub cpus: u32,
    /// Its NUMA nodes.
    pub nodes: u32,
    /// Words for the kernel's command line.
    pub append: Vec<String>,
}

/// A kernel under test that takes requests.
#[derive(Debug)]
pub struct L1 {
    machine: Machine,
    events: Decoder<Event>,
    ready: Ready,
}

impl L1 {
    /// Boots `boot.kernel` with `dir` for itself, and waits until it takes requests.
    ///
    /// # Errors
    /// When it does not get that far, or has no KVM.
    pub fn boot(boot: &Boot<'_>, dir: &Path) -> Result<Self, L1Error> {
        Self::boot_until(boot, dir, &AtomicBool::new(false))
    }

    /// The same, given up when `interrupted` is set.
    ///
    /// # Errors
    /// When it does not get that far, has no KVM, or was given up.
    pub fn boot_until(boot: &Boot<'_>, dir: &Path, interrupted: &AtomicBool) -> Result<Self, L1Error> {
        fs::create_dir_all(dir).map_err(|source| L1Error::File { path: dir.to_owned(), source })?;
        let initramfs: PathBuf = dir.join("initramfs.cpio");
        let archive = kernels::initramfs(boot.kernel, boot.program, boot.extras)?;
        fs::write(&initramfs, archive).map_err(|source| L1Error::File { path: initramfs.clone(), source })?;
        let spec = MachineSpec {
            memory_bytes: boot.memory_bytes,
            cpus: boot.cpus,
            nodes: boot.nodes,
            append: boot.append.clone(),
            ..MachineSpec::new(
                boot.kernel.vmlinux.as_ref().unwrap_or(&boot.kernel.image),
                &initramfs,
                boot.accel,
                dir.join("machine"),
            )
        };
        let machine = Machine::boot(boot.installed, &spec)?;
        let mut l1 = Self::new(machine, None);
        l1.ready = l1.wait_ready(&boot.kernel.release, interrupted)?;
        // Read by now, and not wanted among what is kept.
        let _ = fs::remove_file(&initramfs);
        if !l1.ready.kvm {
            let why = l1.ready.modules.iter().filter_map(|module| Some(format!("{}: {}", module.name, module.error.as_ref()?)));
            return Err(L1Error::NoKvm { release: l1.ready.release.clone(), why: why.collect() });
        }
        Ok(l1)
    }

    /// A machine that goes on where `saved` was: `of` has to be what the machine that was saved had said.
    ///
    /// # Errors
    /// QEMU's.
    pub fn restore(installed: &Installed, saved: &Saved, of: &Ready, dir: &Path) -> Result<Self, L1Error> {
        Ok(Self::new(Machine::restore(installed, saved, dir)?, Some(of.clone())))
    }

    fn new(machine: Machine, ready: Option<Ready>) -> Self {
        let unknown = Ready {
            release: String::new(),
            began_seconds: 0.0,
            uptime_seconds: 0.0,
            ticks_per_us: 1.0,
            modules: Vec::new(),
            kvm: false,
            notes: Vec::new(),
        };
        Self { machine, events: Decoder::default(), ready: ready.unwrap_or(unknown) }
    }

    /// What it said when it was ready.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Everything that its kernel printed.
    #[must_use]
    pub fn console(&self) -> String {
        self.machine.console()
    }

    /// Keeps it as it is, waiting for a request, and lets it go on.
    ///
    /// # Errors
    /// QEMU's.
    pub fn save(&mut self, dir: &Path) -> Result<Saved, L1Error> {
        Ok(self.machine.save(dir)?)
    }

    pub(super) fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// The kernel's live text.
    pub fn text(&mut self) -> impl Text + '_ {
        LiveText(&mut self.machine)
    }

    fn send(&mut self, request: &Request) -> Result<(), L1Error> {
        let mut line = Vec::new();
        let mut sender = Sender::new(&mut line);
        // Into memory: that cannot fail but for a request that is no JSON, which there is none of.
        let _ = sender.send(request);
        Ok(self.machine.channel().send_line(String::from_utf8_lossy(&line).trim_end())?)
    }

    /// The next event, or why there is none yet.
    fn next(&mut self, damaged: &mut Vec<String>) -> Result<Next, L1Error> {
        loop {
            match self.events.next() {
                Some(Ok(decoded)) => return Ok(Next::Event(Box::new(decoded.message))),
                Some(Err(bad)) => damaged.push(bad.to_string()),
                None => match self.machine.channel().recv_line(POLL)? {
                    Received::Line(line) => {
                        self.events.push(line.as_bytes());
                        self.events.push(b"\n");
                    }
                    Received::Timeout => return Ok(Next::Nothing),
                    Received::Closed { unfinished } => {
                        if !unfinished.trim().is_empty() {
                            damaged.push(format!("cut off: {:.120}", unfinished));
                        }
                        return Ok(Next::Closed);
                    }
                },
            }
        }
    }

    fn wait_ready(&mut self, release: &str, interrupted: &AtomicBool) -> Result<Ready, L1Error> {
        let (begin, mut damaged) = (Instant::now(), Vec::new());
        let release = || release.to_owned();
        while begin.elapsed() < BOOT {
            if interrupted.load(Relaxed) {
                return Err(L1Error::Interrupted { release: release() });
            }
            match self.next(&mut damaged)? {
                Next::Event(event) => {
                    if let Event::Ready(ready) = *event {
                        return Ok(ready);
                    }
                }
                Next::Nothing => {}
                Next::Closed => {
                    if let State::Ended(ending) = self.machine.wait(GRACE) {
                        return Err(L1Error::Died { release: release(), ending, console: self.console() });
                    }
                }
            }
        }
        Err(L1Error::Silent { release: release(), limit: BOOT, console: self.console() })
    }

    /// Complaints on the console behind its first `judged` bytes.
    fn complaints(&self, judged: usize) -> Vec<ConsoleAlarm> {
        let console = self.machine.console();
        let new = console.get(judged..).unwrap_or_default();
        // A report is judged when it is whole, or nearly so: with what is there of it.
        alarms(new)
    }

    /// The first of them after which a kernel may not go on.
    fn gravest(&self, judged: usize) -> Option<String> {
        self.complaints(judged).into_iter().find(|alarm| alarm.alarm != Alarm::Warning).map(|alarm| alarm.text)
    }

    /// Runs scenarios; `on` is told everything as it happens.
    ///
    /// # Errors
    /// When QEMU cannot be spoken with. What becomes of the kernel is a result.
    pub fn run(&mut self, request: &RunRequest, on: &mut dyn FnMut(&Event)) -> Result<Ran, L1Error> {
        self.run_until(request, &AtomicBool::new(false), on)
    }

    /// The same, given up when `interrupted` is set: what came until then is the result, and the machine is not to be used again.
    ///
    /// # Errors
    /// When QEMU cannot be spoken with.
    pub fn run_until(
        &mut self,
        request: &RunRequest,
        interrupted: &AtomicBool,
        on: &mut dyn FnMut(&Event),
    ) -> Result<Ran, L1Error> {
        let judged = self.machine.console().len();
        let begin = Instant::now();
        self.send(&Request::Run(request.clone()))?;
        let mut deadline = Deadline::new(request);
        let mut ran =
            Ran { collected: Collected::default(), end: End::Whole, alarms: Vec::new(), damaged: Vec::new(), seconds: 0.0 };
        ran.end = loop {
            if interrupted.load(Relaxed) {
                break End::Interrupted;
            }
            match self.next(&mut ran.damaged)? {
                Next::Event(event) => {
                    on(&event);
                    deadline.heard(&event);
                    let _ = ran.collected.take(*event);
                    match ran.collected.progress() {
                        Progress::Going => {}
                        Progress::Done => break End::Whole,
                        Progress::Failed(what) => break End::Failed(what),
                    }
                }
                Next::Nothing => {
                    if !self.complaints(judged).is_empty() {
                        deadline.alarmed();
                    }
                    if let Some(quiet) = deadline.passed() {
                        break if deadline.was_alarmed() { End::Alarmed } else { End::Silent(quiet) };
                    }
                }
                Next::Closed => match self.machine.wait(GRACE) {
                    State::Ended(ending) => break End::Died(ending),
                    State::Running => break End::Silent(GRACE),
                },
            }
        };
        if ran.end == End::Whole {
            // PID 1 answers when the process that ran it is gone: what the kernel says at its end is said by then.
            let _ = self.ask(&Request::Ping, |event| Ok(matches!(event, Event::Pong).then_some(())), deadline::SHORT);
        }
        ran.alarms = self.complaints(judged);
        ran.seconds = begin.elapsed().as_secs_f64();
        Ok(ran)
    }

    /// Asks for something whose events `take` takes until it says that it has all.
    fn ask<T>(
        &mut self,
        request: &Request,
        take: impl FnMut(Event) -> Result<Option<T>, L1Error>,
        limit: Duration,
    ) -> Result<T, L1Error> {
        self.ask_until(request, &AtomicBool::new(false), take, limit)
    }

    /// The same, given up when `interrupted` is set: then the machine is not to be used again.
    fn ask_until<T>(
        &mut self,
        request: &Request,
        interrupted: &AtomicBool,
        mut take: impl FnMut(Event) -> Result<Option<T>, L1Error>,
        limit: Duration,
    ) -> Result<T, L1Error> {
        let judged = self.machine.console().len();
        self.send(request)?;
        let (mut last, mut damaged) = (Instant::now(), Vec::new());
        loop {
            let release = self.ready.release.clone();
            if interrupted.load(Relaxed) {
                return Err(L1Error::Interrupted { release });
            }
            match self.next(&mut damaged)? {
                Next::Event(event) => {
                    last = Instant::now();
                    match *event {
                        // What fails because the kernel died under it is not to be taken at its word.
                        Event::Failed { what } => {
                            return Err(match self.gravest(judged) {
                                Some(said) => L1Error::Lost { release, end: what, said: Some(said) },
                                None => L1Error::Refused { release, what },
                            });
                        }
                        other => {
                            if let Some(all) = take(other)? {
                                return Ok(all);
                            }
                        }
                    }
                }
                Next::Nothing => {
                    let quiet = last.elapsed();
                    let said = (quiet >= COMPLAINED.min(limit)).then(|| self.gravest(judged)).flatten();
                    if quiet >= limit || quiet >= COMPLAINED && said.is_some() {
                        return Err(L1Error::Lost { release, end: End::Silent(quiet).to_string(), said });
                    }
                }
                Next::Closed => {
                    let end = match self.machine.wait(GRACE) {
                        State::Ended(ending) => End::Died(ending).to_string(),
                        State::Running => "it closed the line".to_owned(),
                    };
                    return Err(L1Error::Lost { release, end, said: self.gravest(judged) });
                }
            }
        }
    }

    /// What `nostale doctor` says in there.
    ///
    /// # Errors
    /// When no answer came.
    pub fn facts(&mut self) -> Result<Value, L1Error> {
        self.ask(&Request::Facts, |event| Ok(if let Event::Facts(facts) = event { Some(facts) } else { None }), ANSWER)
    }

    /// Its kallsyms: every function of the kernel and of KVM's modules.
    ///
    /// # Errors
    /// When they did not come whole.
    pub fn symbols(&mut self) -> Result<String, L1Error> {
        let mut collector = Some(SymbolsCollector::default());
        let take = |event| {
            match (event, &mut collector) {
                (Event::Symbols(part), Some(collector)) => collector.part(&part)?,
                (Event::SymbolsEnd { symbols, bytes }, all) => {
                    return Ok(all.take().map(|all| all.finish(symbols, bytes)).transpose()?);
                }
                _ => {}
            }
            Ok(None)
        };
        self.ask(&Request::Symbols, take, ANSWER)
    }

    /// Which notifier calls each scenario makes; `on` is told of each when it is measured.
    ///
    /// # Errors
    /// When not all were measured.
    pub fn reach(&mut self, request: &RunRequest, on: &mut dyn FnMut(&Event)) -> Result<Vec<SiteReach>, L1Error> {
        let mut reached = Vec::new();
        let take = |event: Event| {
            on(&event);
            Ok(match event {
                Event::Reached(reach) => {
                    reached.push(reach);
                    None
                }
                Event::ReachEnd => Some(()),
                _ => None,
            })
        };
        let limit = ANSWER + Duration::try_from_secs_f64(request.seconds).unwrap_or_default();
        self.ask(&Request::Reach(request.clone()), take, limit)?;
        Ok(reached)
    }

    /// Starts a command in there and records its VM; `on` hears how far that is. Gives what it came to, with what the kernel complained of
    /// meanwhile among its notes.
    ///
    /// # Errors
    /// When nothing was recorded, or it was given up.
    pub fn trace(
        &mut self,
        request: &TraceRequest,
        interrupted: &AtomicBool,
        on: &mut dyn FnMut(&TracePhase),
    ) -> Result<Profile, L1Error> {
        let judged = self.machine.console().len();
        let mut notes = Vec::new();
        let take = |event: Event| {
            match event {
                Event::Tracing(phase) => on(&phase),
                Event::Note(note) => notes.push(note),
                Event::Traced(profile) => return Ok(Some(*profile)),
                _ => {}
            }
            Ok(None)
        };
        let mut profile = self.ask_until(&Request::Trace(request.clone()), interrupted, take, READING)?;
        let complaints = self.complaints(judged);
        profile.notes.extend(notes);
        profile.notes.extend(complaints.into_iter().map(|alarm| format!("the kernel said: {}", alarm.text)));
        Ok(profile)
    }

    /// Powers it off.
    pub fn quit(mut self) {
        if self.send(&Request::PowerOff).is_ok() {
            let _ = self.machine.quit(GRACE);
        }
    }
}

/// What came.
enum Next {
    Event(Box<Event>),
    Nothing,
    Closed,
}
