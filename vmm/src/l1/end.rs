//! How a run in a kernel under test ended.

use super::ConsoleAlarm;
use crate::{inside::Collected, qemu::Ending, report::Verdict};
use std::{fmt, time::Duration};

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With its result.
    Whole,
    /// The agent could not carry it out, or the process that ran it died.
    Failed(String),
    /// The machine ended first: the kernel panicked, or reset.
    Died(Ending),
    /// The kernel complained, and then nothing more came.
    Alarmed,
    /// Nothing came for this long.
    Silent(Duration),
    /// It was given up.
    Interrupted,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("a whole result"),
            Self::Failed(what) => f.write_str(what),
            Self::Died(ending) => write!(f, "{ending}"),
            Self::Alarmed => f.write_str("the kernel complained and nothing more came"),
            Self::Silent(quiet) => write!(f, "nothing came for {} s", quiet.as_secs()),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    /// What the guest said.
    pub collected: Collected,
    /// How it ended.
    pub end: End,
    /// What the console complained of meanwhile.
    pub alarms: Vec<ConsoleAlarm>,
    /// Lines on the channel that were no message, or a part of one.
    pub damaged: Vec<String>,
    /// On this host's clock.
    pub seconds: f64,
}

impl Ran {
    /// The judgement on the whole, with its reason when it is none of the scenarios'.
    ///
    /// A kernel that died is a violation if what it said last concerns guests or pages. Otherwise it proves nothing: that happens
    /// to kernels in emulation.
    #[must_use]
    pub fn verdict(&self) -> (Verdict, Option<String>) {
        let scenarios = Verdict::of(self.collected.ended.iter().map(|result| result.verdict));
        if let Some(alarm) = self.alarms.iter().find(|alarm| alarm.signature) {
            return (Verdict::Violation, Some(format!("kernel: {}{}", alarm.text, self.place())));
        }
        if scenarios == Verdict::Violation {
            return (scenarios, None);
        }
        let reason = match &self.end {
            End::Whole => return (scenarios, None),
            End::Silent(_) if self.collected.running.is_some() => {
                return (Verdict::Stuck, Some(format!("{}{}", self.end, self.place())));
            }
            _ => match self.alarms.first() {
                Some(alarm) => format!("{}; before that, the kernel said: {}{}", self.end, alarm.text, self.place()),
                None => format!("{}{}", self.end, self.place()),
            },
        };
        (Verdict::Vacuous, Some(reason))
    }

    fn place(&self) -> String {
        self.collected.running.as_ref().map_or(String::new(), |(name, backing)| format!(" (in {name} on {backing})"))
    }
}
