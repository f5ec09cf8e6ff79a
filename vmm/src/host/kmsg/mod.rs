//! The *kernel* oracle: what the host's kernel said about itself during a run.
//!
//! KVM and mm check themselves with WARN, BUG, lockdep and others, and a program whose guest lost nothing may still have made
//! the kernel say "Bad page state". [`KernelLog`] reads the records that appear after it was opened; [`alarm`] tells which of
//! them mean that the kernel found something wrong.
//!
//! Not seen by it: a `WARN_ON_ONCE` that has fired since boot stays silent (`/sys/kernel/debug/clear_warn_once` rearms them),
//! and a last message without its newline appears only when the next one follows.

mod alarm;
mod record;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

pub use alarm::{Alarm, alarm};
pub use record::{Malformed, Record};

const PATH: &str = "/dev/kmsg";

/// A record is at most 8 KiB (`CONSOLE_EXT_LOG_MAX`), and a shorter buffer is an error.
const BUFFER: usize = 16 << 10;

/// Where a batch ends although there is more, so that a kernel which logs without pause cannot keep the reader for ever.
const BATCH: usize = 100_000;

/// The kernel log cannot be watched, so the oracle has to be skipped.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    /// Why, and what would help.
    pub reason: String,
}

/// Why the log could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The read failed.
    #[error("cannot read {PATH}: {0}")]
    Io(#[from] io::Error),
    /// The kernel handed out something else than a record.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What was new in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Batch {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// How many records the kernel overwrote before they were read (at least). They may have held an alarm: a run that lost
    /// some cannot say that the kernel was quiet.
    pub lost: u64,
    /// Whether reading stopped before the end of the log, because the kernel logs faster than one batch should grow.
    pub more: bool,
}

impl Batch {
    /// The records that mean trouble.
    pub fn alarms(&self) -> impl Iterator<Item = (Alarm, &Record)> {
        self.records.iter().filter_map(|record| Some((alarm(record)?, record)))
    }
}

/// The kernel log from the moment it was opened.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
    /// The number the next record should have, once one was seen.
    next: Option<u64>,
}

impl KernelLog {
    /// Starts to watch: every record from now on will be seen.
    pub fn open() -> Result<Self, Unavailable> {
        let open = || {
            let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(PATH)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        open().map(|file| Self { file, next: None }).map_err(unavailable)
    }

    /// Everything that was logged since the last call.
    pub fn read_new(&mut self) -> Result<Batch, ReadError> {
        drain(&mut self.file, &mut self.next)
    }
}

/// Reads to the end of the log. `next` is the number the next record should have, once one was seen.
fn drain(log: &mut impl Read, next: &mut Option<u64>) -> Result<Batch, ReadError> {
    let mut batch = Batch::default();
    let mut records = Vec::new();
    let mut buffer = [0; BUFFER];
    let mut overwritten = false;
    loop {
        if records.len() == BATCH {
            batch.more = true;
            break;
        }
        let length = match log.read(&mut buffer) {
            // Not what a log does: it blocks at its end. Stop rather than spin.
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => break,
                Some(libc::EINTR) => continue,
                // Records were overwritten under the reader, which now stands at the oldest that is left.
                Some(libc::EPIPE) => {
                    overwritten = true;
                    continue;
                }
                _ => return Err(error.into()),
            },
        };
        let fresh = record::parse(&buffer[..length])?;
        if std::mem::take(&mut overwritten) {
            // Without a record before the gap its size is not known.
            batch.lost += next.map_or(1, |next| fresh.record.sequence.saturating_sub(next).max(1));
        }
        *next = Some(fresh.record.sequence.saturating_add(1));
        records.push(fresh);
    }
    batch.lost += u64::from(overwritten);
    batch.records = record::join(records);
    Ok(batch)
}

/// Writes a line to the kernel log as userspace, to see that the oracle would have noticed.
///
/// Everybody who watches this kernel's log sees it, other runs included.
pub fn plant(text: &str) -> Result<(), Unavailable> {
    // Facility user, level warning: seen by the oracle, and not put on a quiet console. One write is one record. A file of its
    // own each time, because the kernel limits the rate for each.
    let line = format!("<12>{}\n", text.trim_end());
    OpenOptions::new().write(true).open(PATH).and_then(|mut file| file.write_all(line.as_bytes())).map_err(unavailable)
}

fn unavailable(error: io::Error) -> Unavailable {
    let help = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            " (run as root; if kernel.dmesg_restrict is 1 it takes CAP_SYSLOG, and kernel.printk_devkmsg=off closes it to all)"
        }
        Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => " (in a container it has to be passed in)",
        Some(libc::EINVAL) => " (a line is at most about 1000 bytes)",
        _ => "",
    };
    Unavailable { reason: format!("{PATH}: {error}{help}") }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Two lines, of which only one may trip the oracle. It costs every other watcher of this host's log one alarm.
    #[test]
    fn a_planted_line_trips_the_oracle() {
        // Tests end up on standard error only when they fail; this must be seen when it passes.
        let skip = |reason: &Unavailable| drop(writeln!(io::stderr(), "skipped: {reason}"));
        let mut log = match KernelLog::open() {
            Ok(log) => log,
            Err(reason) => return skip(&reason),
        };
        let id = std::process::id();
        for text in [format!("nostale: no BUG: quiet line of {id}"), format!("BUG: nostale planted this in test {id}\nand more")]
        {
            if let Err(reason) = plant(&text) {
                return skip(&reason);
            }
        }
        let batch = log.read_new().expect("read the log");
        let mine = |record: &Record| record.text.contains(&id.to_string());
        assert_eq!(batch.records.iter().filter(|record| mine(record)).count(), 2, "{batch:?}");
        let alarms: Vec<_> = batch.alarms().filter(|(_, record)| mine(record)).collect();
        let [(Alarm::Bug, record)] = alarms.as_slice() else { panic!("{alarms:?}") };
        assert_eq!((record.facility, record.level), (1, 4));
        assert_eq!(record.text, format!("BUG: nostale planted this in test {id}\nand more"));
        // What was read once is not new any more.
        assert!(!log.read_new().expect("read the log").records.iter().any(mine));
    }

    /// A log that was overwritten: each item is what one read gives.
    struct Script(VecDeque<Result<&'static str, i32>>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.pop_front().unwrap_or(Err(libc::EAGAIN)) {
                Ok(line) => line.as_bytes().read(buffer),
                Err(number) => Err(io::Error::from_raw_os_error(number)),
            }
        }
    }

    #[test]
    fn overwritten_records_are_counted() {
        let mut next = None;
        let mut read = |items: &[Result<&'static str, i32>]| drain(&mut Script(items.iter().copied().collect()), &mut next);
        assert_eq!(read(&[]).expect("empty"), Batch::default());
        let first = read(&[Err(libc::EPIPE), Ok("6,10,1,-;a")]).expect("read");
        assert_eq!((first.lost, first.records.len()), (1, 1), "how many is not known");
        let second = read(&[Ok("6,11,1,-;b"), Err(libc::EINTR), Err(libc::EPIPE), Ok("6,15,1,-;c")]).expect("read");
        assert_eq!((second.lost, second.records.len()), (3, 2), "12, 13 and 14");
        assert_eq!(read(&[Ok("6,16,1,-;d"), Err(libc::EPIPE)]).expect("read").lost, 1);
        assert!(matches!(read(&[Err(libc::EIO)]), Err(ReadError::Io(_))));
        assert!(matches!(read(&[Ok("nonsense")]), Err(ReadError::Malformed(_))));
    }

    #[test]
    fn a_reason_says_what_to_do() {
        let reason = unavailable(io::Error::from_raw_os_error(libc::EPERM)).reason;
        assert!(reason.starts_with("/dev/kmsg: ") && reason.contains("dmesg_restrict"), "{reason}");
    }
}
