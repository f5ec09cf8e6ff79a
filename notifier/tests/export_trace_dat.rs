//! `trace-cmd` itself reads what we write of the kernel's own pages. Needs root, tracefs and `trace-cmd`, and says so without them.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use nostale_notifier::trace::{
    export::trace_dat::{self, RawPage, TraceDatError},
    head::{Format, Head, Mmu, Tail},
};
use std::{
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    ptr,
};

const TRACEFS: &str = "/sys/kernel/tracing";
const EVENTS: [&str; 2] = ["syscalls/sys_enter_mremap", "syscalls/sys_exit_mremap"];

/// An instance of tracefs that records one event of this thread, and is gone when the test is over.
struct Instance(PathBuf);

impl Instance {
    fn new(name: &str, event: &str) -> io::Result<Self> {
        let path = Path::new(TRACEFS).join(format!("instances/nostale-test-{}-{name}", std::process::id()));
        fs::create_dir(&path)?;
        let this = Self(path);
        this.set("trace_clock", "x86-tsc")?;
        this.set("set_event_pid", &thread().to_string())?;
        this.set(&format!("events/{event}/enable"), "1")?;
        Ok(this)
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.0.join(file), value)
    }

    /// All pages of each CPU.
    fn pages(&self, page: usize) -> io::Result<Vec<(u16, Vec<u8>)>> {
        let mut pages = Vec::new();
        for cpu in fs::read_dir(self.0.join("per_cpu"))? {
            let cpu = cpu?.path();
            let number = cpu.file_name().and_then(|name| name.to_str()?.strip_prefix("cpu")?.parse().ok()).unwrap();
            let mut raw = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(cpu.join("trace_pipe_raw"))?;
            loop {
                let mut bytes = vec![0; page];
                match raw.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(len) => pages.push((number, bytes[..len].to_vec())),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(pages)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn thread() -> i32 {
    // SAFETY: it takes nothing and changes nothing.
    unsafe { libc::gettid() }
}

/// Moves a page of memory from one place to another, `times` over.
fn mremap(times: usize) {
    // SAFETY: the memory is this function's own, and nothing points into it.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let memory = libc::mmap(ptr::null_mut(), 8192, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        let other = memory.byte_add(4096);
        for at in 0..times {
            let (from, to) = if at % 2 == 0 { (memory, other) } else { (other, memory) };
            let moved = libc::mremap(from, 4096, 4096, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to);
            assert_eq!(moved, to);
        }
        libc::munmap(memory, 8192);
    }
}

/// The kernel gives this file to the first read alone, as much as that asked for (`show_header`): `read_to_string` gets 32 bytes.
fn in_one(path: &Path) -> io::Result<String> {
    let mut bytes = vec![0; 4096];
    let len = fs::File::open(path)?.read(&mut bytes)?;
    bytes.truncate(len);
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn head() -> io::Result<Head> {
    let events = Path::new(TRACEFS).join("events");
    let format = |name: &&str| {
        let text = fs::read_to_string(events.join(name).join("format"))?;
        Ok(Format { name: (*name).to_owned(), text })
    };
    Ok(Head {
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpu: String::new(),
        cpus: 1,
        mmu: Mmu::Tdp,
        hertz: 2.5e9,
        began: 0,
        pid: None,
        command: String::new(),
        title: String::new(),
        header_page: in_one(&events.join("header_page"))?,
        formats: EVENTS.iter().map(format).collect::<io::Result<_>>()?,
        missing: Default::default(),
        probes: false,
    })
}

#[test]
fn export_trace_dat_is_read_by_trace_cmd() {
    const TIMES: usize = 2000;
    if Command::new("trace-cmd").arg("--version").output().is_err() {
        return eprintln!("skipped: no trace-cmd here");
    }
    let recorded = (|| {
        let instances = [Instance::new("task", EVENTS[0])?, Instance::new("memory", EVENTS[1])?];
        mremap(TIMES);
        let head = head()?;
        let mut pages = Vec::new();
        for (number, instance) in (0_u8..).zip(&instances) {
            pages.extend(instance.pages(4096)?.into_iter().map(|(cpu, bytes)| (number, cpu, bytes)));
        }
        io::Result::Ok((head, pages))
    })();
    let (head, mut pages) = match recorded {
        Ok(recorded) => recorded,
        Err(error) => return eprintln!("skipped: tracefs does not let us record system calls: {error}"),
    };
    // As they come in a recording: one of this instance, one of that. Only those of one CPU of one instance stay in order.
    let mut seen = std::collections::BTreeMap::new();
    let mut order: Vec<_> = pages
        .iter()
        .map(|(instance, cpu, _)| {
            let count: &mut u32 = seen.entry((*instance, *cpu)).or_default();
            *count += 1;
            *count
        })
        .zip(0..)
        .collect();
    order.sort_unstable();
    let mixed: Vec<_> = order.into_iter().map(|(_, at): (u32, usize)| std::mem::take(&mut pages[at])).collect();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.dat");
    let tail = Tail { threads: [(thread(), "mover".to_owned())].into(), lost: [(0, 3)].into(), seconds: 1.0 };
    trace_dat::write::<TraceDatError>(&path, &head, Some(&tail), &["task", "memory"], |each| {
        mixed.iter().try_for_each(|(instance, cpu, bytes)| each(RawPage { instance: *instance, cpu: *cpu, bytes }))
    })
    .unwrap();

    let report = Command::new("trace-cmd").args(["report", "-i"]).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&report.stdout);
    let errors = String::from_utf8_lossy(&report.stderr);
    assert!(report.status.success(), "{errors}");
    let lines = |what: &str| text.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    let (enters, exits) = (lines("sys_enter_mremap:"), lines("sys_exit_mremap:"));
    // The allocator of a test may move memory too.
    assert!(enters.len() >= TIMES && exits.len() >= TIMES, "{} and {}\n{errors}\n{text}", enters.len(), exits.len());
    assert!(exits.iter().all(|line| line.contains("memory:")), "{}", exits[0]);
    assert!(enters.iter().filter(|line| line.contains("old_len: 0x00001000")).count() >= TIMES, "{}", enters[0]);
    assert!(enters.iter().any(|line| line.trim_start().contains("mover-")), "{}", enters[0]);
    // Both buffers are on one clock, which begins at 0: each call returns after it began and before the next one.
    let order: Vec<_> = text.lines().filter(|line| line.contains("_mremap:")).map(|line| line.contains("enter")).collect();
    assert!(order.chunks_exact(2).all(|pair| pair[0] && !pair[1]), "{}", &text[..2000]);
    let first = enters[0].split_whitespace().find_map(|word| word.strip_suffix(':')?.parse::<f64>().ok());
    assert!(first.is_some_and(|seconds| (0.0..1.0).contains(&seconds)), "{}", enters[0]);
    assert!(!errors.contains("error") && !errors.contains("failed"), "{errors}");
}
