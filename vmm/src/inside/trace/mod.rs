//! A VM that `nostale` did not start, recorded by its process, in a child of PID 1.

mod command;
mod disturb;

use super::{
    child::Out,
    protocol::{Event, TracePhase, TraceRequest},
    run::RECORDING,
};
use crate::{
    host::facts::Facts,
    trace::{self, Target, Watch},
};
use command::Started;
use disturb::Disturbing;
use std::{
    fs,
    path::Path,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

/// How often it is told that a recording goes on.
const WORD: Duration = Duration::from_secs(1);

/// What goes on while the command is recorded.
struct Watching<'a> {
    request: &'a TraceRequest,
    nodes: &'a [i32],
    started: &'a Started,
    tell: &'a mut dyn FnMut(TracePhase),
    disturbing: Option<Disturbing>,
    notes: Vec<String>,
}

impl Watch for Watching<'_> {
    fn attached(&mut self) {
        if self.request.still {
            self.started.go_on();
        }
        self.disturbing = Some(Disturbing::start(self.started.pid(), &self.request.disturb, self.nodes));
    }

    fn progress(&mut self, elapsed: Duration) {
        (self.tell)(TracePhase::Recording { seconds: elapsed.as_secs_f64() });
    }

    fn detaching(&mut self) {
        self.notes.extend(self.disturbing.take().into_iter().flat_map(Disturbing::stop));
        if self.request.still {
            self.started.halt();
        }
    }
}

/// Starts the command, waits until it has a VM, and records its process while its memory is moved; gives the last event.
pub(super) fn trace(request: &TraceRequest, facts: &Facts, out: &mut Out) -> Result<Event, String> {
    let seconds = Duration::try_from_secs_f64(request.seconds).map_err(|_| format!("{} seconds: not a time", request.seconds))?;
    facts.need_kvm().map_err(|need| need.to_string())?;
    let mut told: Option<Instant> = None;
    let mut tell = |phase| {
        if told.is_none_or(|told| told.elapsed() >= WORD) {
            told = Some(Instant::now());
            // PID 1 listens as long as this process lives; if it does not, nobody does.
            let _ = out.send(&Event::Tracing(phase));
        }
    };
    let mut started = Started::new(request)?;
    started.wait_for_vm(&mut || tell(TracePhase::Starting))?;
    if request.still {
        started.halt();
    }
    // From here on as `nostale trace --pid` does it.
    let title = request.command.iter().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ");
    let (target, path) = (Target::Process(started.pid()), Path::new(RECORDING));
    let nodes = facts.numa.ids();
    let mut watching =
        Watching { request, nodes: &nodes, started: &started, tell: &mut tell, disturbing: None, notes: Vec::new() };
    let ended = trace::record(&target, path, &title, Some(seconds), &AtomicBool::new(false), &mut watching);
    let mut notes = watching.notes;
    let ended = ended.map_err(|error| error.to_string())?;
    if ended.gone {
        notes.push(format!("the command ended before the time was over: {}", started.end()));
    }
    drop(started);
    let mut profile =
        trace::profile_with(path, &mut |events| tell(TracePhase::Reading { events })).map_err(|error| error.to_string())?;
    let _ = fs::remove_file(path);
    profile.notes.append(&mut notes);
    Ok(Event::Traced(Box::new(profile)))
}
