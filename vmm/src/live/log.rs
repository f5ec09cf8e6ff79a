//! The kernel log of a run: read while a scenario goes on, judged when it has ended.

use super::{Hooks, Scenario};
use crate::{
    host::kmsg::{self, Batch, KernelLog, ReadError, Record, Unavailable},
    oracle::{Oracle, Violation},
    report::{ScenarioResult, Verdict},
};

/// Every planted line starts like this, whoever planted it.
const PLANTED: &str = "BUG: nostale planted";

fn plant_line() -> String {
    format!("{PLANTED} this line (process {})", std::process::id())
}

/// Writes the line of the planted fault.
pub(super) fn plant() -> Result<(), Unavailable> {
    kmsg::plant(&plant_line())
}

/// Whether somebody else's run planted it: every process sees every planted line, and only its own is meant.
fn is_foreign(record: &Record) -> bool {
    record.text.starts_with(PLANTED) && record.text != plant_line()
}

/// The kernel log, and what was read of it but not judged yet.
#[derive(Debug)]
pub(super) struct LogWatch {
    log: Option<KernelLog>,
    read: Vec<Result<Batch, ReadError>>,
}

impl LogWatch {
    /// Starts to watch, where that is allowed.
    pub(super) fn open(notes: &mut Vec<String>) -> Self {
        let log = KernelLog::open().inspect_err(|why| notes.push(format!("the kernel log was not watched: {why}"))).ok();
        Self { log, read: Vec::new() }
    }

    /// Reads what is new, and says whether there is an alarm in it.
    pub(super) fn alarmed(&mut self) -> bool {
        let Some(log) = &mut self.log else { return false };
        let read = log.read_new();
        let alarmed = read.as_ref().is_ok_and(|batch| batch.alarms().any(|(_, record)| !is_foreign(record)));
        match read {
            Ok(batch) if batch == Batch::default() => {}
            read => self.read.push(read),
        }
        alarmed
    }

    /// Judges what the kernel has said since the last time.
    pub(super) fn judge(
        &mut self,
        scenario: &Scenario,
        result: &mut ScenarioResult,
        notes: &mut Vec<String>,
        hooks: &mut dyn Hooks,
    ) {
        loop {
            // A log that fails, fails the next time too; one look is enough to say so.
            if self.read.iter().all(Result::is_ok) {
                self.alarmed();
            }
            let more = matches!(self.read.last(), Some(Ok(batch)) if batch.more);
            for read in self.read.drain(..) {
                match read {
                    Ok(batch) => judge(&batch, result, hooks),
                    Err(error) => {
                        doubt(result, format!("the kernel log could not be read: {error}"));
                        notes.push(format!("the kernel log could not be read after {scenario}: {error}"));
                    }
                }
            }
            if !more {
                return;
            }
        }
    }
}

fn judge(batch: &Batch, result: &mut ScenarioResult, hooks: &mut dyn Hooks) {
    batch.records.iter().for_each(|record| hooks.kernel_line(&record.text));
    if batch.lost > 0 {
        doubt(result, format!("{} lines of the kernel log were lost, and may have held an alarm", batch.lost));
    }
    for (alarm, record) in batch.alarms().filter(|(_, record)| !is_foreign(record)) {
        result.verdict = Verdict::Violation;
        let earlier = result.reason.take().map_or(String::new(), |reason| format!("; {reason}"));
        result.reason = Some(format!("kernel: {}{earlier}", record.text));
        result
            .violations
            .push(Violation { found: 1, ..Violation::new(Oracle::Kernel, &result.name, format!("{alarm:?}: {}", record.text)) });
    }
}

/// A run that cannot say whether the kernel complained proves nothing.
fn doubt(result: &mut ScenarioResult, reason: String) {
    if result.verdict == Verdict::Coherent {
        result.verdict = Verdict::Vacuous;
        result.reason = Some(reason);
    }
}
