//! Reading a recording: by itself, with everything that is made of it, and beside `trace-cmd report` on the same events.

use super::{Options, run};
use nostale_notifier::trace::Reading;
use nostale_tests::{measured::measured, median::median, peer::missing};
use nostale_vmm::trace::{
    export::{RECORDING, trace_dat},
    profile_of,
};
use std::{
    error::Error,
    fs,
    path::Path,
    process::{Command, Stdio},
};

const OPERATIONS: &str = "mremap,migrate,discard,unmap,protect";

pub(super) fn bench(program: &Path, dir: &Path, options: &Options) -> Result<(), Box<dyn Error>> {
    let kept = dir.join("run");
    let out = kept.to_string_lossy();
    let arguments = ["--ops", OPERATIONS, "--backing", "anon,memfd", "--trace", "--out", &out];
    let ended = measured(&mut run(program, options.seconds, &arguments))?;
    let recording = kept.join(RECORDING);
    if !recording.exists() {
        return Err(format!("the run was not recorded: {}", ended.stderr).into());
    }
    let report = trace_cmd(dir, &recording);
    let (mut reading, mut judging, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut over_reading, mut over_peer) = (Vec::new(), Vec::new());
    let mut events = 0;
    // By turns, so that whatever else the machine does falls on all of them.
    for _ in 0..options.rounds {
        let (items, own) = timed(Clock::Thread, || read(&recording))?;
        let (profile, all) = timed(Clock::Thread, || Ok(profile_of(&recording)?))?;
        events = profile.events;
        reading.push(items as f64 / own);
        judging.push(events as f64 / all);
        over_reading.push(all / own);
        if let Ok(arguments) = &report {
            let ((), peer) = timed(Clock::Children, || reported(arguments))?;
            peers.push(events as f64 / peer);
            over_peer.push(peer / all);
        }
    }
    let bytes = fs::metadata(&recording)?.len();
    println!(
        "a run of {} s ({OPERATIONS}): {events} events in {:.1} MiB, {:.1} bytes an event; medians of {}, in CPU time",
        options.seconds,
        bytes as f64 / f64::from(1 << 20),
        bytes as f64 / events as f64,
        options.rounds
    );
    println!("  reading alone          {:8.2} M events/s", median(&mut reading) / 1e6);
    println!("  reading and judging    {:8.2} M events/s", median(&mut judging) / 1e6);
    println!("  both / reading         {:8.2} times as long", median(&mut over_reading));
    match report {
        Ok(_) => {
            println!("  trace-cmd report       {:8.2} M events/s", median(&mut peers) / 1e6);
            println!("  trace-cmd / judging    {:8.1} times as long", median(&mut over_peer));
        }
        Err(why) => println!("  trace-cmd report       skipped: {why}"),
    }
    Ok(())
}

fn read(path: &Path) -> Result<u64, Box<dyn Error>> {
    let mut reading = Reading::open(path)?;
    let mut items = 0;
    while reading.next_item()?.is_some() {
        items += 1;
    }
    Ok(items)
}

/// How to have trace-cmd report the same events; otherwise why it cannot.
fn trace_cmd(dir: &Path, recording: &Path) -> Result<Vec<String>, String> {
    if let Some(why) = missing(&["trace-cmd"]) {
        return Err(why);
    }
    let to = dir.join("trace.dat");
    trace_dat(recording, &to).map_err(|error| error.to_string())?;
    Ok(vec!["report".to_owned(), "-i".to_owned(), to.to_string_lossy().into_owned()])
}

fn reported(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let status = Command::new("trace-cmd").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("trace-cmd {}: {status}", arguments.join(" ")).into()) }
}

/// Whose CPU time.
#[derive(Clone, Copy)]
enum Clock {
    Thread,
    Children,
}

impl Clock {
    /// In seconds, in the kernel or not.
    fn now(self) -> f64 {
        let who = match self {
            Self::Thread => libc::RUSAGE_THREAD,
            Self::Children => libc::RUSAGE_CHILDREN,
        };
        // SAFETY: all zeroes is a valid `rusage`, which is numbers only, and the pointer is to a live one.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &raw mut usage);
            usage
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}

/// What `work` gives, and the CPU time that it took.
fn timed<T>(clock: Clock, work: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<(T, f64), Box<dyn Error>> {
    let from = clock.now();
    let done = work()?;
    Ok((done, clock.now() - from))
}
