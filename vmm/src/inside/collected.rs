//! What a machine has said of a run so far: a whole report, or as much of one as came before the machine died.

use super::Event;
use crate::report::{RunReport, ScenarioResult};
use nostale_notifier::trace::profile::Profile;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on.
    Going,
    /// Its report is there.
    Done,
    /// It could not be made, or did not come to its end.
    Failed(String),
}

/// The events of one run, put together.
#[derive(Debug, Default)]
pub struct Collected {
    /// Scenarios that ended.
    pub ended: Vec<ScenarioResult>,
    /// The one that started and has not ended: operations and backing. After a death, the one that it died in.
    pub running: Option<(String, String)>,
    /// The guest's kernel log.
    pub kernel_log: Vec<String>,
    /// Notes.
    pub notes: Vec<String>,
    report: Option<RunReport>,
    failed: Option<String>,
}

impl Collected {
    /// Takes an event of the run, in the order in which they came; gives it back when it is of another kind.
    pub fn take(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Starts { scenario, backing, .. } => self.running = Some((scenario, backing)),
            Event::Ends(result) => {
                self.running = None;
                self.ended.push(*result);
            }
            Event::Kernel(line) => self.kernel_log.push(line),
            Event::Note(note) => self.notes.push(note),
            Event::Report(report) => self.report = Some(*report),
            Event::Failed { what } => self.failed = Some(what),
            other => return Some(other),
        }
        None
    }

    /// Where the run stands.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match (&self.failed, &self.report) {
            (Some(what), _) => Progress::Failed(what.clone()),
            (None, Some(_)) => Progress::Done,
            (None, None) => Progress::Going,
        }
    }

    /// What the kernel's own events came to, if they were recorded and the report came.
    #[must_use]
    pub fn trace(&self) -> Option<&Profile> {
        self.report.as_ref()?.trace.as_deref()
    }

    /// The report, if it came, with the scenarios that were sent before it.
    #[must_use]
    pub fn report(self) -> Option<RunReport> {
        let mut report = self.report?;
        report.scenarios = self.ended;
        report.notes.splice(0..0, self.notes);
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn starts(result: &ScenarioResult) -> Event {
        Event::Starts { scenario: result.name.clone(), backing: result.backing.clone(), planned_seconds: 1.0 }
    }

    #[test]
    fn a_run_is_put_together_and_a_death_leaves_what_was_there() {
        let mut whole = sample::run();
        let scenarios = std::mem::take(&mut whole.scenarios);
        let mut collected = Collected::default();
        for (number, result) in scenarios.iter().enumerate() {
            assert!(collected.take(starts(result)).is_none());
            assert_eq!(collected.running, Some((result.name.clone(), result.backing.clone())));
            assert_eq!((collected.ended.len(), collected.progress()), (number, Progress::Going));
            assert!(collected.take(Event::Ends(Box::new(result.clone()))).is_none());
        }
        assert!(matches!(collected.take(Event::Bye), Some(Event::Bye)));
        collected.take(Event::Note("a word before".to_owned()));
        collected.take(Event::Report(Box::new(whole)));
        assert_eq!(collected.progress(), Progress::Done);
        let report = collected.report().expect("it came");
        assert_eq!((report.scenarios.len(), report.notes[0].as_str()), (scenarios.len(), "a word before"));
    }

    #[test]
    fn a_failure_is_final() {
        let mut collected = Collected::default();
        collected.take(Event::Failed { what: "signal 9".to_owned() });
        assert_eq!(collected.progress(), Progress::Failed("signal 9".to_owned()));
        assert!(collected.report().is_none());
    }
}
