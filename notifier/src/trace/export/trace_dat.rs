//! The kernel's own pages as a `trace.dat` (version 6, `trace-cmd.dat.v6(5)`), which `trace-cmd report` and KernelShark open.
//!
//! Each instance of tracefs becomes a buffer of the file, the first one its main buffer. The file wants all pages of a CPU side by
//! side, and a recording has them as they came: so it is gone through twice, once to count and once to put each page where it belongs.

use super::{ExportError, Whole};
use crate::trace::head::{Format, Head, Tail};
use std::{
    collections::BTreeMap,
    io::{Seek, SeekFrom},
    path::Path,
};

/// What kept a `trace.dat` from being written.
#[derive(Debug, thiserror::Error)]
pub enum TraceDatError {
    /// The file could not be written, or the recording's clock is none.
    #[error(transparent)]
    File(#[from] ExportError),
    /// Nothing can be told of pages whose layout is unknown.
    #[error("the recording's header_page does not say how large a page of the ring buffer is")]
    Layout,
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

/// `trace_clock`, the chosen one alone.
const CLOCK: &str = "[x86-tsc]";

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
    let scale = Scale::new(head.hertz).map_err(TraceDatError::from)?;
    let layout = Layout { head, tail, instances, page_size, cpus, scale, first: first.unwrap_or(0) };
    let front = layout.place(&mut runs);

    let failed = |error: ExportError| E::from(error.into());
    let mut file = Whole::create(path).map_err(failed)?;
    file.write(&front).map_err(failed)?;
    let mut at = front.len() as u64;
    let padding = vec![0; page_size];
    pass(&mut |page| {
        let changed = || E::from(TraceDatError::Changed);
        let run = runs.get_mut(&(page.instance, page.cpu)).filter(|run| run.pages > 0).ok_or_else(changed)?;
        let rest = padding.get(page.bytes.len()..).ok_or_else(changed)?;
        if at != run.offset {
            let sought = file.file.seek(SeekFrom::Start(run.offset));
            sought.map_err(|source| failed(ExportError::Write { path: path.to_owned(), source }))?;
        }
        file.write(page.bytes).and_then(|()| file.write(rest)).map_err(failed)?;
        run.pages -= 1;
        run.offset += page_size as u64;
        at = run.offset;
        Ok(())
    })?;
    if runs.values().any(|run| run.pages > 0) {
        return Err(TraceDatError::Changed.into());
    }
    file.keep().map_err(failed)
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
        let lines =
            threads.filter(|(_, name)| !name.is_empty()).map(|(tid, name)| format!("{tid} {}\n", name.replace('\n', " ")));
        sized(&mut out, &lines.collect::<String>());
        out.extend(self.cpus.to_le_bytes());

        out.extend(b"options  \0");
        let buffers = self.options(&mut out);
        out.extend(b"flyrecord\0");
        self.runs(&mut out, runs, 0);
        sized(&mut out, CLOCK);
        for (instance, place) in (1..).zip(buffers) {
            let here = out.len() as u64;
            out[place..place + 8].copy_from_slice(&here.to_le_bytes());
            out.extend(b"flyrecord\0");
            self.runs(&mut out, runs, instance);
            sized(&mut out, CLOCK);
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
    fn new(hertz: f64) -> Result<Self, ExportError> {
        // Finest first. A clock slower than one tick a second is none.
        let fits = (0..32).rev().find_map(|shift| {
            let mult = (1e9 * f64::from(1_u32 << shift) / hertz).round();
            (mult >= 1.0 && mult <= f64::from(u32::MAX)).then_some(Self { mult: mult as u32, shift })
        });
        fits.filter(|_| hertz.is_finite() && hertz >= 1.0).ok_or(ExportError::Clock(hertz))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use super::*;
    use crate::trace::head::Mmu;
    use std::fs;

    const HEADER_PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\
                               \tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";

    fn head() -> Head {
        Head {
            kernel: "6.18.0".into(),
            cpu: String::new(),
            cpus: 2,
            mmu: Mmu::Tdp,
            hertz: 2e9,
            began: 0,
            pid: None,
            command: String::new(),
            title: String::new(),
            header_page: HEADER_PAGE.into(),
            formats: vec![Format { name: "kvm/kvm_x".into(), text: "name: kvm_x\n".into() }],
            missing: Default::default(),
            probes: false,
        }
    }

    /// Of an instance and a CPU, and with this time.
    type Page = (u8, u16, u64);

    fn export(head: &Head, len: usize, first: &[Page], second: &[Page]) -> Result<Vec<u8>, TraceDatError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.dat");
        let mut passes = [first, second].into_iter();
        let done = write(&path, head, None, &["task", "memory"], |each| {
            passes.next().unwrap().iter().try_for_each(|(instance, cpu, time)| {
                let mut bytes = vec![*cpu as u8 + 1; len];
                bytes[..8].copy_from_slice(&time.to_le_bytes());
                each(RawPage { instance: *instance, cpu: *cpu, bytes: &bytes })
            })
        });
        assert_eq!(path.exists(), done.is_ok());
        done.map(|()| fs::read(&path).unwrap())
    }

    /// Offsets and sizes of the data of two CPUs, from the `number`th list of them in the file.
    fn runs(file: &[u8], number: usize) -> [[usize; 2]; 2] {
        let mut marks = file.windows(10).enumerate().filter(|(_, bytes)| *bytes == b"flyrecord\0");
        let (at, _) = marks.nth(number).unwrap();
        let word = |n: usize| u64::from_le_bytes(file[at + 10 + 8 * n..][..8].try_into().unwrap()) as usize;
        [[word(0), word(1)], [word(2), word(3)]]
    }

    #[test]
    fn pages_of_a_cpu_lie_side_by_side() {
        let pages = [(1, 1, 50), (0, 1, 60), (1, 1, 70), (0, 0, 80), (0, 1, 90)];
        let file = export(&head(), 100, &pages, &pages).unwrap();
        let times = |[offset, size]: [usize; 2]| -> Vec<u64> {
            assert!(offset % 4096 == 0);
            let pages = file[offset..offset + size].chunks_exact(4096);
            pages.map(|page| u64::from_le_bytes(page[..8].try_into().unwrap())).collect()
        };
        let [task, memory] = [runs(&file, 0), runs(&file, 1)];
        assert_eq!((times(task[0]), times(task[1])), (vec![80], vec![60, 90]));
        assert_eq!((times(memory[0]), times(memory[1])), (vec![], vec![50, 70]));
        assert_eq!((file[task[1][0] + 99], file[task[1][0] + 100]), (2, 0), "what is missing of a page is zeros");
        assert_eq!(file.len(), memory[1][0] + 2 * 4096);
        assert!(file.windows(4).any(|bytes| bytes == b"-25\0"), "50 ticks of the first page are time 0");
    }

    #[test]
    fn a_recording_without_pages_is_a_file() {
        assert_eq!(runs(&export(&head(), 16, &[], &[]).unwrap(), 1), [[0; 2]; 2]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let page = [(0, 0, 1)];
        let refused = |head: &Head, len, first: &[Page], second: &[Page]| export(head, len, first, second).unwrap_err();
        assert!(matches!(refused(&head(), 4097, &page, &page), TraceDatError::Page { len: 4097, page: 4096, .. }));
        assert!(matches!(refused(&head(), 15, &page, &page), TraceDatError::Page { .. }));
        assert!(matches!(refused(&head(), 16, &[(2, 0, 1)], &[]), TraceDatError::Instance(2)));
        for second in [&[][..], &[(0, 0, 1), (0, 0, 1)], &[(0, 1, 1)], &[(1, 0, 1)]] {
            assert!(matches!(refused(&head(), 16, &page, second), TraceDatError::Changed));
        }
        for text in ["", "field: char data; offset:16; size:4000;", "field: char data; offset:x; size:4080;"] {
            assert!(matches!(refused(&Head { header_page: text.into(), ..head() }, 16, &page, &page), TraceDatError::Layout));
        }
        for hertz in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let refused = refused(&Head { hertz, ..head() }, 16, &page, &page);
            assert!(matches!(refused, TraceDatError::File(ExportError::Clock(_))));
        }
    }

    #[test]
    fn ticks_become_nanoseconds() {
        for hertz in [1.0, 1e6, 1e9, 2_596_134_000.0, 5e9] {
            let scale = Scale::new(hertz).unwrap();
            let hour = scale.nanoseconds((hertz * 3600.0) as u64) as f64;
            assert!((hour / 3.6e12 - 1.0).abs() < 1e-8, "{hertz}: {hour}");
        }
    }
}
