//! The protocol: requests go in, events come out, each one line on a serial port ([`mod@line`]).
//!
//! Each request is answered by any number of events, of which exactly the last one [`Event::is_final`].

mod base64;
pub mod line;
pub(super) mod request;
mod symbols;
mod trace;

pub use line::{BadLine, Decoded, Decoder, Sender};
pub use request::{BadRequest, LitmusText, Pair, Plan, RunRequest};
pub use symbols::{Collector as SymbolsCollector, Error as SymbolsError, Packer};
pub use trace::{Disturbance, TracePhase, TraceRequest};

use crate::report::{RunReport, ScenarioResult, Verdict};
use nostale_notifier::trace::profile::Profile;
use serde::{Deserialize, Serialize};

/// From the host to the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", content = "data", rename_all = "kebab-case")]
pub enum Request {
    /// Are you there? → [`Event::Pong`]
    Ping,
    /// What is known about this machine. → [`Event::Facts`]
    Facts,
    /// Where functions are. → [`Event::Symbols`]…, [`Event::SymbolsEnd`]
    Symbols,
    /// Run scenarios. → [`Event::Starts`] and [`Event::Ends`] for each, [`Event::Report`]
    Run(RunRequest),
    /// Run scenarios one by one, with probes on the notifier. → [`Event::Reached`] for each, [`Event::ReachEnd`]
    Reach(RunRequest),
    /// Start a command that makes a VM, and record it as a process that runs. → [`Event::Tracing`]…, [`Event::Traced`]
    Trace(TraceRequest),
    /// The end. → [`Event::Bye`]
    PowerOff,
}

/// From the guest to the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "kebab-case")]
pub enum Event {
    /// The machine is prepared: the marker at which it may be kept as a snapshot.
    Ready(Ready),
    /// The answer to a ping.
    Pong,
    /// Something that people should know, and that decides nothing.
    Note(String),
    /// A scenario starts.
    Starts {
        /// Operations, joined by `+`.
        scenario: String,
        /// Backing of guest memory.
        backing: String,
        /// What it should take.
        planned_seconds: f64,
    },
    /// A scenario has ended.
    Ends(Box<ScenarioResult>),
    /// The whole run has ended. To spare the port, `scenarios` is empty: they came before ([`Event::Ends`]); see
    /// [`Collected`](crate::inside::Collected).
    Report(Box<RunReport>),
    /// A line of the guest's kernel log, during a run.
    Kernel(String),
    /// What was asked for could not be done.
    Failed {
        /// Why.
        what: String,
    },
    /// A part of the symbols, for [`SymbolsCollector`].
    Symbols(String),
    /// All symbols were sent.
    SymbolsEnd {
        /// How many.
        symbols: u64,
        /// Bytes of their text.
        bytes: u64,
    },
    /// What `nostale doctor --format json` says in there.
    Facts(serde_json::Value),
    /// Which notifier calls a scenario made.
    Reached(SiteReach),
    /// All scenarios were measured.
    ReachEnd,
    /// How far a recording is; at least once a second, but for while it is read.
    Tracing(TracePhase),
    /// What a recording came to.
    Traced(Box<Profile>),
    /// The machine powers off now.
    Bye,
}

impl Event {
    /// Whether nothing more will come for this request.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Pong
                | Self::Report(_)
                | Self::Failed { .. }
                | Self::SymbolsEnd { .. }
                | Self::Facts(_)
                | Self::ReachEnd
                | Self::Traced(_)
                | Self::Bye
        )
    }
}

/// A machine that is prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// `uname -r`.
    pub release: String,
    /// Since the kernel's start, when PID 1 began.
    pub began_seconds: f64,
    /// Since the kernel's start, now.
    pub uptime_seconds: f64,
    /// Ticks a microsecond: turns the times in results into time.
    pub ticks_per_us: f64,
    /// What became of each module.
    pub modules: Vec<Module>,
    /// Whether a VM can be made.
    pub kvm: bool,
    /// What else should be known.
    pub notes: Vec<String>,
}

/// What became of a kernel module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// Why it is not loaded, if so.
    pub error: Option<String>,
}

/// Which notifier calls a scenario made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteReach {
    /// Operations, joined by `+`.
    pub scenario: String,
    /// Backing of guest memory.
    pub backing: String,
    /// What the scenario came to by itself.
    pub verdict: Verdict,
    /// Why, when it is not *coherent*.
    pub reason: Option<String>,
    /// How long it ran.
    pub seconds: f64,
    /// Times that its operations were completed.
    pub operations: u64,
    /// The calls, by callee and site.
    pub sites: Vec<Site>,
    /// Calls that could not be counted because the kernel had no room for their site.
    pub dropped: u64,
}

/// One place that calls the notifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Which function of the notifier.
    pub callee: String,
    /// Where the call returns to, `function+0xoffset`: five bytes behind a direct call. Of a jump that takes the place of a
    /// call and a return, the kernel knows only where its function returns to.
    pub site: String,
    /// The same as an address, where the kernel says it.
    pub address: Option<u64>,
    /// Times that it was called.
    pub hits: u64,
    /// Memslots that those calls met; `None` where this cannot be counted.
    pub met_memslot: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn all() -> Vec<Event> {
        let run = sample::run();
        let site = Site {
            callee: "__mmu_notifier_invalidate_range_start".to_owned(),
            site: "wp_page_copy+0x573".to_owned(),
            address: Some(0xffff_ffff_812c_75e3),
            hits: 997,
            met_memslot: Some(568),
        };
        let end = Site { address: None, met_memslot: None, ..site.clone() };
        vec![
            Event::Ready(Ready {
                release: "6.1.0".to_owned(),
                began_seconds: 2.1,
                uptime_seconds: 3.3,
                ticks_per_us: 2_303.985_012_364_799,
                modules: vec![
                    Module { name: "kvm".to_owned(), error: None },
                    Module { name: "kvm-intel".to_owned(), error: Some("EOPNOTSUPP".to_owned()) },
                ],
                kvm: true,
                notes: vec!["a note".to_owned()],
            }),
            Event::Pong,
            Event::Note("\"a\"\n".to_owned()),
            Event::Starts { scenario: "mremap".to_owned(), backing: "anon".to_owned(), planned_seconds: 0.1 },
            Event::Ends(Box::new(run.scenarios[1].clone())),
            Event::Report(Box::new(run)),
            Event::Kernel("BUG: Bad page state".to_owned()),
            Event::Failed { what: "killed".to_owned() },
            Event::Symbols("Zm9v".to_owned()),
            Event::SymbolsEnd { symbols: 52_058, bytes: u64::MAX },
            Event::Facts(serde_json::json!({"facts": {"kvm": null}})),
            Event::Reached(SiteReach {
                scenario: "mremap".to_owned(),
                backing: "anon".to_owned(),
                verdict: Verdict::Vacuous,
                reason: Some("did nothing".to_owned()),
                seconds: 0.5,
                operations: 3,
                sites: vec![site, end],
                dropped: 1,
            }),
            Event::ReachEnd,
            Event::Tracing(TracePhase::Recording { seconds: 1.5 }),
            Event::Traced(Box::new(sample::profile())),
            Event::Bye,
        ]
    }

    #[test]
    fn every_event_arrives_as_it_was() {
        let mut sender = Sender::new(Vec::new());
        all().iter().for_each(|event| sender.send(event).expect("sent"));
        let mut decoder = Decoder::<Event>::default();
        decoder.push(&sender.into_inner());
        for event in all() {
            let Decoded { message, missed } = decoder.next().expect("whole").expect("good");
            assert_eq!((serde_json::to_value(message).ok(), missed), (serde_json::to_value(event).ok(), 0));
        }
        assert!(decoder.next().is_none() && decoder.finish().is_none());
    }

    #[test]
    fn each_request_has_its_last_event() {
        let last: Vec<_> = all().iter().filter(|event| event.is_final()).map(|event| format!("{event:?}")).collect();
        let names: Vec<_> = last.iter().map(|text| text.split([' ', '(']).next().unwrap_or_default()).collect();
        assert_eq!(names, ["Pong", "Report", "Failed", "SymbolsEnd", "Facts", "ReachEnd", "Traced", "Bye"]);
    }
}
