//! Records this very process, and looks whether what it did comes back. Needs root and tracefs; without them it says so and passes.

use nostale_notifier::trace::{
    Reading,
    event::{Call, Item, What},
    record::{Recorder, Wanted, find_tracefs},
};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

const PAGE: usize = 4096;

/// One at a time: a recorder passes over its own thread, and not over those of others in its process.
static ALONE: Mutex<()> = Mutex::new(());

/// tracefs, if this process may make instances of it.
fn tracefs() -> Option<(PathBuf, MutexGuard<'static, ()>)> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let found = find_tracefs().map_err(|error| error.to_string()).and_then(|path| {
        let own = path.join("instances").join(format!("nostale_test_{}_{:?}", std::process::id(), thread::current().id()));
        fs::create_dir(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        fs::remove_dir(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        Ok(path)
    });
    let path = found.map_err(|why| println!("skipped: {why}")).ok()?;
    Some((path, alone))
}

fn hertz() -> f64 {
    // SAFETY: every x86-64 CPU has it.
    let now = || unsafe { core::arch::x86_64::_rdtsc() };
    let (began, tick) = (Instant::now(), now());
    thread::sleep(Duration::from_millis(20));
    (now() - tick) as f64 / began.elapsed().as_secs_f64()
}

/// Memory that two can look at.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Instances of recorders of a process.
fn instances(tracefs: &Path, pid: u32) -> Vec<String> {
    let entries = fs::read_dir(tracefs.join("instances")).expect("it was there before");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&format!("nostale_trace_{pid}_"))).collect()
}

/// Maps four pages, moves them, lets go of one and of the others; gives the addresses.
fn work() -> (u64, u64) {
    // SAFETY: the mapping is nobody else's, and goes where there is none.
    unsafe {
        let anywhere = std::ptr::null_mut();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let from = libc::mmap(anywhere, 4 * PAGE, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        assert_ne!(from, libc::MAP_FAILED);
        from.cast::<u8>().write_volatile(1);
        let to = libc::mremap(from, 4 * PAGE, 8 * PAGE, libc::MREMAP_MAYMOVE);
        assert_ne!(to, libc::MAP_FAILED);
        assert_eq!(libc::madvise(to, PAGE, libc::MADV_DONTNEED), 0);
        assert_eq!(libc::munmap(to, 8 * PAGE), 0);
        (from as u64, to as u64)
    }
}

#[test]
fn what_this_process_does_comes_back_in_order() {
    let Some((tracefs, _alone)) = tracefs() else { return };
    let sink = Sink::default();
    let mut wanted = Wanted::new(tracefs.clone(), std::process::id() as i32, hertz());
    wanted.title = "itself".to_owned();
    wanted.sample_every = Some(Duration::from_millis(1));
    let recorder = Recorder::start(wanted, sink.clone()).expect("root may");
    assert_eq!(instances(&tracefs, std::process::id()).len(), 2);
    recorder.slots(Vec::new());
    // in a thread that there was not when the recording began
    let worker = thread::spawn(|| {
        // SAFETY: it takes no arguments.
        let tid = unsafe { libc::gettid() };
        (tid, (0..200).map(|_| work()).collect::<Vec<_>>())
    });
    let (tid, done) = worker.join().expect("it does not panic");
    assert!(!recorder.is_over());
    let tail = recorder.stop().expect("memory");
    assert_eq!(instances(&tracefs, std::process::id()), [""; 0], "they are gone");

    let bytes = sink.0.lock().expect("nobody panics with it").clone();
    let mut reading = Reading::new(&bytes[..]).expect("it was just written");
    assert_eq!(reading.head().pid, Some(std::process::id() as i32));
    let items: Vec<_> = std::iter::from_fn(|| reading.next_item().expect("it was just written")).collect();
    assert_eq!((reading.truncated(), reading.tail()), (None, Some(&tail)));
    assert!(items.is_sorted_by_key(Item::tsc), "in order of time");
    assert!(items.iter().any(|item| matches!(item, Item::Slots { .. })));
    assert_eq!(tail.lost, BTreeMap::new());

    let recorder = tail.threads.iter().find(|(_, name)| *name == "nostale-record").map(|(tid, _)| *tid);
    let enters = |item: &Item| match item {
        Item::Event(event) if matches!(event.what, What::Enter { .. }) => Some(event.at.tid.0),
        _ => None,
    };
    assert!(recorder.is_some(), "{:?}", tail.threads);
    assert!(!items.iter().filter_map(enters).any(|tid| Some(tid) == recorder), "what the recorder calls is no part of it");

    let call = |name| Call::named(name).expect("it is one");
    let mine = items.iter().filter_map(|item| match item {
        Item::Event(event) if event.at.tid.0 == tid => Some(event.what),
        _ => None,
    });
    let wanted = ["mremap", "madvise", "munmap"].map(call);
    let calls: Vec<_> = mine
        .filter(|what| match what {
            What::Enter { call, args } => wanted.contains(call) && args[1] != 0,
            What::Exit { call, .. } => wanted.contains(call),
            _ => false,
        })
        .collect();
    let page = PAGE as u64;
    let expected = done.iter().flat_map(|(from, to)| {
        let enter = |name, args| What::Enter { call: call(name), args };
        let exit = |name, ret| What::Exit { call: call(name), ret };
        [
            // the kernel's arguments: libc gives mremap's fifth whatever is in the register
            enter("mremap", [*from, 4 * page, 8 * page, libc::MREMAP_MAYMOVE as u64, 0, 0]),
            exit("mremap", *to as i64),
            enter("madvise", [*to, page, libc::MADV_DONTNEED as u64, 0, 0, 0]),
            exit("madvise", 0),
            enter("munmap", [*to, 8 * page, 0, 0, 0, 0]),
            exit("munmap", 0),
        ]
    });
    let fifth = |what: &What| match *what {
        What::Enter { call: found, mut args } if found == call("mremap") => {
            args[4] = 0;
            What::Enter { call: found, args }
        }
        other => other,
    };
    let found: Vec<_> = calls.iter().map(fifth).collect();
    let expected: Vec<_> = expected.collect();
    // the thread's own stack and allocator come before and after
    let begin = found.windows(expected.len()).position(|window| window == expected);
    assert!(begin.is_some(), "{} calls found, the first of {}: {:?}", found.len(), expected.len(), found.first());
}

const VICTIM: &str = "NOSTALE_TEST_VICTIM";

/// Not a test by itself: the recorder that the test below kills.
#[test]
fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let tracefs = find_tracefs().expect("it was there a moment ago");
    let wanted = Wanted::new(tracefs, std::process::id() as i32, hertz());
    let recorder = Recorder::start(wanted, io::sink()).expect("root may");
    println!("ready");
    thread::sleep(Duration::from_secs(60));
    drop(recorder);
}

#[test]
fn what_a_killed_recorder_leaves_is_removed_by_the_next() {
    let Some((tracefs, _alone)) = tracefs() else { return };
    let this = std::env::current_exe().expect("it runs");
    let mut child = Command::new(this);
    let child = child.args(["victim", "--exact", "--nocapture"]).env(VICTIM, "1").stdout(Stdio::piped());
    let mut child = child.spawn().expect("it is there");
    let output = io::BufReader::new(child.stdout.take().expect("piped"));
    let ready = io::BufRead::lines(output).map_while(Result::ok).any(|line| line.contains("ready"));
    let left = instances(&tracefs, child.id());
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    assert!(ready && left.len() == 2, "{left:?}");
    assert_eq!(instances(&tracefs, child.id()).len(), 2, "nobody was there to remove them");

    let wanted = Wanted::new(tracefs.clone(), std::process::id() as i32, 1e9);
    let recorder = Recorder::start(wanted, io::sink()).expect("root may");
    assert_eq!(instances(&tracefs, child.id()), [""; 0]);
    recorder.stop().expect("nothing to write to");
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let Some((tracefs, _alone)) = tracefs() else { return };
    let wanted = |pid| Wanted::new(tracefs.clone(), pid, 1e9);
    let nobody = Recorder::start(wanted(i32::MAX), io::sink()).expect_err("there is none").to_string();
    assert!(nobody.contains("no process 2147483647"), "{nobody}");

    /// Full from the beginning.
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let full = Recorder::start(wanted(std::process::id() as i32), Full).expect_err("nowhere to write").to_string();
    assert!(full.starts_with("writing the recording"), "{full}");
}
