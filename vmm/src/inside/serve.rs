//! The loop that PID 1 spends its life in: one request after the other.

use super::{
    child, kallsyms,
    port::Port,
    protocol::{Decoded, Decoder, Event, Ready, Request, Sender},
    reach, run, trace,
};
use crate::{cli, host::facts::Facts};
use std::{
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// Reads in a row that may bring nothing before the port counts as gone.
const READ_TRIES: u32 = 100;

/// Serves requests until the machine is to be powered off.
pub(super) fn serve(port: &Port, facts: &Facts, ready: Ready) {
    let (mut from, mut to) = (port, port);
    let mut requests = Decoder::<Request>::default();
    let mut buffer = [0; 4096];
    // A line of its own, whatever firmware has left on this port.
    let _ = to.write_all(b"\n");
    let mut events = Sender::new(to);
    tell(&mut events, &Event::Ready(ready));
    let mut idle = 0;
    while idle < READ_TRIES {
        // Snapshots are taken here, and the kernel is changed: this read must be all that the process is doing.
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => {
                idle += 1;
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            Ok(length) => requests.push(&buffer[..length]),
        }
        idle = 0;
        while let Some(request) = requests.next() {
            match request {
                Ok(Decoded { message: Request::PowerOff, .. }) => {
                    tell(&mut events, &Event::Bye);
                    port.drain();
                    return;
                }
                Ok(Decoded { message, .. }) => {
                    let done = catch_unwind(AssertUnwindSafe(|| answer(&message, facts, &mut events)));
                    if let Err(panic) = done {
                        tell(&mut events, &Event::Failed { what: child::panic_text(&*panic) });
                    }
                }
                Err(bad) => tell(&mut events, &Event::Failed { what: format!("a request did not arrive: {bad}") }),
            }
        }
    }
    eprintln!("nostale: the port brings nothing but errors: nobody can be spoken with");
}

fn answer(request: &Request, facts: &Facts, events: &mut Sender<impl Write>) {
    match request {
        Request::Ping => tell(events, &Event::Pong),
        Request::Facts => tell(events, &Event::Facts(cli::doctor_json(facts))),
        Request::Symbols => child::relay(events, kallsyms::send),
        Request::Run(request) => child::relay(events, |out| run::run(request, facts, out)),
        Request::Reach(request) => child::relay(events, |out| reach::reach(request, facts, out)),
        Request::Trace(request) => child::relay(events, |out| trace::trace(request, facts, out)),
        // Taken before; here for completeness of the match, and true.
        Request::PowerOff => tell(events, &Event::Bye),
    }
}

/// Sends an event. Where that fails there is nobody to tell but the console.
pub(super) fn tell(events: &mut Sender<impl Write>, event: &Event) {
    if let Err(error) = events.send(event) {
        eprintln!("nostale: an event could not be sent: {error}");
    }
}
