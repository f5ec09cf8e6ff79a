//! The kernel's own pages as a `trace.dat` (version 6, `trace-cmd.dat.v6(5)`), which `trace-cmd report` and KernelShark open.
//!
//! Each instance of tracefs becomes a buffer of the file, the first one its main buffer. The file wants all pages of a CPU side by
//! side, and a recording has them as they came: so it is gone through twice, once to count and once to put each page where it belongs.

use super::Whole;
use crate::trace::head::{Format, Head, Tail};
use std::{
    collections::BTreeMap,
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// What kept a `trace.dat` from being written.
#[derive(Debug, thiserror::Error)]
pub enum TraceDatError {
    /// The file could not be written.
    #[error("{path}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing can be told of pages whose layout is unknown.
    #[error("the recording's header_page does not say how large a page of the ring buffer is")]
    Layout,
    /// The recording says nothing about its clock that could be true.
    #[error("the recording's clock makes {0} ticks a second: no time can be told from that")]
    Clock(f64),
    /// A page is none.
    #[error("CPU {cpu} has a page of {len} bytes, where pages have {page}")]
    Page {
        /// Whose.
        cpu: u16,
        /// How much there is of it.
        len: usize,
        /// How much of it there can be.
        page: usize,
    },
    /// A page is of an instance that has no name.
    #[error("a page of instance {0}, of which the recording knows nothing")]
    Instance(u8),
    /// Pages are others the second time.
    #[error("the recording changed while it was read")]
    Changed,
}

/// A page of the kernel's ring buffer, as `trace_pipe_raw` gives it.
#[derive(Clone, Copy, Debug)]
pub struct RawPage<'a> {
    /// Of which instance.
    pub instance: u8,
    /// Of which CPU.
    pub cpu: u16,
    /// All of it, or as much as is filled.
    pub bytes: &'a [u8],
}

/// Bytes before a page's first event: the time of that event, and how much is filled.
const PAGE_HEADER: usize = 16;

/// `events/header_event`, which is the same in every kernel (`ring_buffer_print_entry_header`). Readers pass over it.
const HEADER_EVENT: &str = "# compressed entry header
\ttype_len    :    5 bits
\ttime_delta  :   27 bits
\tarray       :   32 bits

\tpadding     : type == 29
\ttime_extend : type == 30
\ttime_stamp : type == 31
\tdata max type_len  == 28
";

/// Kinds of options (`trace-cmd-private.h`).
mod option {
    pub(super) const DONE: u16 = 0;
    pub(super) const CPUSTAT: u16 = 2;
    pub(super) const BUFFER: u16 = 3;
    pub(super) const TRACECLOCK: u16 = 4;
    pub(super) const UNAME: u16 = 5;
    pub(super) const OFFSET: u16 = 7;
    pub(super) const VERSION: u16 = 9;
    pub(super) const TSC2NSEC: u16 = 14;
}

/// Where pages of a CPU of an instance are in the file.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    pages: u64,
    /// The first byte; later, where the next page goes.
    offset: u64,
}

/// Writes a recording. `instances` names the instances of tracefs by their numbers; `pass` calls what it is given with every page, those
/// of a CPU of an instance in order, and does the same again when it is called again.
///
/// # Errors
/// If `pass` fails, pages are not what the recording's head says, or the file cannot be written.
pub fn write<E: From<TraceDatError>>(
    path: &Path,
    head: &Head,
    tail: Option<&Tail>,
    instances: &[&str],
    mut pass: impl FnMut(&mut dyn FnMut(RawPage<'_>) -> Result<(), E>) -> Result<(), E>,
) -> Result<(), E> {
    let page_size = page_size(&head.header_page).ok_or(TraceDatError::Layout)?;
    let mut runs: BTreeMap<(u8, u16), Run> = BTreeMap::new();
    let mut first: Option<u64> = None;
    pass(&mut |page| {
        let RawPage { instance, cpu, bytes } = page;
        if usize::from(instance) >= instances.len() {
            return Err(TraceDatError::Instance(instance).into());
        }
        let Some(time) = bytes.first_chunk().filter(|_| (PAGE_HEADER..=page_size).contains(&bytes.len())) else {
            return Err(TraceDatError::Page { cpu, len: bytes.len(), page: page_size }.into());
        };
        let time = u64::from_le_bytes(*time);
        first = Some(first.map_or(time, |first| first.min(time)));
        runs.entry((instance, cpu)).or_default().pages += 1;
        Ok(())
    })?;

    let cpus = runs.keys().map(|(_, cpu)| u32::from(*cpu) + 1).max().unwrap_or(0).max(head.cpus.into()).max(1);
    let scale = Scale::new(head.hertz)?;
    let layout = Layout { head, tail, instances, page_size, cpus, scale, first: first.unwrap_or(0) };
    let front = layout.place(&mut runs);

    let failed = |source| E::from(TraceDatError::Write { path: path.to_owned(), source });
    let mut file = Whole::create(path).map_err(|refused| failed(io::Error::other(refused)))?;
    file.file.write_all(&front).map_err(failed)?;
    let mut at = front.len() as u64;
    pass(&mut |page| {
        let changed = || E::from(TraceDatError::Changed);
        let run = runs.get_mut(&(page.instance, page.cpu)).filter(|run| run.pages > 0).ok_or_else(changed)?;
        let fill = page_size.checked_sub(page.bytes.len()).ok_or_else(changed)?;
        if at != run.offset {
            file.file.seek(SeekFrom::Start(run.offset)).map_err(failed)?;
        }
        file.file.write_all(page.bytes).and_then(|()| file.file.write_all(&vec![0; fill])).map_err(failed)?;
        run.pages -= 1;
        run.offset += page_size as u64;
        at = run.offset;
        Ok(())
    })?;
    if runs.values().any(|run| run.pages > 0) {
        return Err(TraceDatError::Changed.into());
    }
    file.keep().map_err(|refused| failed(io::Error::other(refused)))
}

/// What the front of the file is made of.
struct Layout<'a> {
    head: &'a Head,
    tail: Option<&'a Tail>,
    instances: &'a [&'a str],
    page_size: usize,
    cpus: u32,
    scale: Scale,
    first: u64,
}

impl Layout<'_> {
    /// Gives every run its place, and returns the front of the file, which says where that is.
    fn place(&self, runs: &mut BTreeMap<(u8, u16), Run>) -> Vec<u8> {
        // The length of the front does not depend on the numbers in it.
        let mut at = self.front(runs).len() as u64;
        for run in runs.values_mut() {
            at = at.next_multiple_of(self.page_size as u64);
            run.offset = at;
            at += run.pages * self.page_size as u64;
        }
        self.front(runs)
    }

    fn front(&self, runs: &BTreeMap<(u8, u16), Run>) -> Vec<u8> {
        let mut out = b"\x17\x08\x44tracing6\0\0\x08".to_vec();
        out.extend((self.page_size as u32).to_le_bytes());
        out.extend(b"header_page\0");
        sized(&mut out, &self.head.header_page);
        out.extend(b"header_event\0");
        sized(&mut out, HEADER_EVENT);
        self.formats(&mut out);
        // Neither addresses of functions nor formats of trace_printk: no event of ours needs them.
        out.extend(0_u32.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
        let threads = self.tail.iter().flat_map(|tail| &tail.threads);
        let lines = threads.filter(|(_, name)| !name.is_empty()).map(|(tid, name)| format!("{tid} {}\n", name.replace('\n', " ")));
        sized(&mut out, &lines.collect::<String>());
        out.extend(self.cpus.to_le_bytes());

        out.extend(b"options  \0");
        let buffers = self.options(&mut out);
        out.extend(b"flyrecord\0");
        self.runs(&mut out, runs, 0);
        sized(&mut out, "[x86-tsc]");
        for (instance, place) in (1..).zip(buffers) {
            let here = out.len() as u64;
            out[place..place + 8].copy_from_slice(&here.to_le_bytes());
            out.extend(b"flyrecord\0");
            self.runs(&mut out, runs, instance);
        }
        out
    }

    /// Formats of ftrace's own events, and then those of all groups.
    fn formats(&self, out: &mut Vec<u8>) {
        let mut groups: BTreeMap<&str, Vec<&Format>> = BTreeMap::new();
        for format in &self.head.formats {
            let group = format.name.split_once('/').map_or("", |(group, _)| group);
            groups.entry(group).or_default().push(format);
        }
        let put = |out: &mut Vec<u8>, formats: &[&Format]| {
            out.extend((formats.len() as u32).to_le_bytes());
            for format in formats {
                sized(out, &format.text);
            }
        };
        put(out, &groups.remove("ftrace").unwrap_or_default());
        out.extend((groups.len() as u32).to_le_bytes());
        for (group, formats) in groups {
            terminated(out, group);
            put(out, &formats);
        }
    }

    /// Returns where the places of all buffers but the first are to be written.
    fn options(&self, out: &mut Vec<u8>) -> Vec<usize> {
        let mut option = |kind: u16, value: &[u8]| {
            out.extend(kind.to_le_bytes());
            out.extend((value.len() as u32).to_le_bytes());
            let at = out.len();
            out.extend(value);
            at
        };
        let text = |text: &str| {
            let mut bytes = Vec::new();
            terminated(&mut bytes, text);
            bytes
        };
        option(option::UNAME, &text(&self.head.kernel));
        option(option::VERSION, &text(concat!("nostale ", env!("CARGO_PKG_VERSION"))));
        // Ticks become nanoseconds, and those count from the first event on, as in all other exports.
        option(option::TRACECLOCK, &[]);
        let Scale { mult, shift } = self.scale;
        option(option::TSC2NSEC, &[&mult.to_le_bytes()[..], &shift.to_le_bytes()[..], &[0; 8]].concat());
        let first = i128::from(self.scale.nanoseconds(self.first));
        option(option::OFFSET, &text(&(-first).to_string()));
        for (cpu, lost) in self.tail.iter().flat_map(|tail| &tail.lost) {
            option(option::CPUSTAT, &text(&format!("CPU: {cpu}\noverrun: {lost}\n")));
        }
        let buffers = self.instances.iter().skip(1);
        let buffers = buffers.map(|name| option(option::BUFFER, &[&[0; 8][..], &text(name)].concat())).collect();
        out.extend(option::DONE.to_le_bytes());
        buffers
    }

    fn runs(&self, out: &mut Vec<u8>, runs: &BTreeMap<(u8, u16), Run>, instance: u8) {
        for cpu in 0..self.cpus {
            let run = u16::try_from(cpu).ok().and_then(|cpu| runs.get(&(instance, cpu))).copied().unwrap_or_default();
            out.extend(run.offset.to_le_bytes());
            out.extend((run.pages * self.page_size as u64).to_le_bytes());
        }
    }
}

/// Ticks to nanoseconds, as the kernel does it: `ticks * mult >> shift`.
#[derive(Clone, Copy, Debug)]
struct Scale {
    mult: u32,
    shift: u32,
}

impl Scale {
    fn new(hertz: f64) -> Result<Self, TraceDatError> {
        // Finest first. A clock slower than one tick a second is none.
        let fits = (0..32).rev().find_map(|shift| {
            let mult = (1e9 * f64::from(1_u32 << shift) / hertz).round();
            (mult >= 1.0 && mult <= f64::from(u32::MAX)).then_some(Self { mult: mult as u32, shift })
        });
        fits.filter(|_| hertz.is_finite() && hertz >= 1.0).ok_or(TraceDatError::Clock(hertz))
    }

    fn nanoseconds(self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.mult)) >> self.shift) as u64
    }
}

/// Of `field: char data; offset:16; size:4080; signed:1;`, both together.
fn page_size(header_page: &str) -> Option<usize> {
    let line = header_page.lines().find(|line| line.contains("char data;"))?;
    let number = |name: &str| -> Option<usize> {
        let value = line.split(';').find_map(|part| part.trim().strip_prefix(name))?;
        value.trim().parse().ok()
    };
    let size = number("offset:")?.checked_add(number("size:")?)?;
    // The kernel makes sub-buffers of 2^order pages, up to order 7 or so; trace-cmd maps them at such places.
    (size.is_power_of_two() && (4096..=1 << 26).contains(&size)).then_some(size)
}

fn sized(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A text up to its first NUL, if there is one, and one.
fn terminated(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().take_while(|byte| *byte != 0));
    out.push(0);
}
