//! What tests are called.

use super::{
    program::Program,
    text::named,
    vocabulary::{Flag, Step, Virt},
};
use std::fmt;

/// What goes wrong in a test.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Shape {
    /// One access of each thread: what it does gets lost.
    Lost,
    /// Several accesses to a page: later ones go to an older page.
    Coherence,
    /// An access that follows the return of the operation.
    Return,
    /// Two operations, one after the other, on two pages.
    Order,
    /// One thread tells what it has done, and another that knows does something.
    Message,
    /// Each of two threads says something and then looks at what the other has said.
    Crossed,
}

impl Shape {
    pub(super) fn of(program: &Program) -> Self {
        let accesses = |steps: &[Step]| steps.iter().any(|step| step.accesses().is_some());
        let several = |steps: &Vec<Step>| steps.iter().filter(|step| step.accesses().is_some()).count() > 1;
        let around = |step: Step| {
            let all =
                program.others().find_map(|steps| steps.iter().position(|other| *other == step).map(|at| steps.split_at(at)));
            all.unwrap_or_default()
        };
        if program.looks_at(Flag::Done) {
            Self::Return
        } else if program.looks_at(Flag::Told) {
            let (done_before, _) = around(Step::Tell(Flag::Told));
            let (_, done_after) = around(Step::Look(Flag::Told));
            if accesses(done_before) && accesses(done_after) { Self::Message } else { Self::Crossed }
        } else if program.operates_on(Virt::Y) {
            Self::Order
        } else if program.others().any(several) {
            Self::Coherence
        } else {
            Self::Lost
        }
    }

    /// Its name, as files begin.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Coherence => "coherence",
            Self::Return => "return",
            Self::Order => "order",
            Self::Message => "message",
            Self::Crossed => "crossed",
        }
    }

    /// What is wrong with a state that a test of this shape excludes.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Lost => "what was written is lost",
            Self::Coherence => "a page that has been replaced is used after the one in its place",
            Self::Return => "a page that has been replaced is used after the operation has returned",
            Self::Order => "the first page is used as before, after the second was used anew",
            Self::Message => "a thread that knows what another has done uses a page from before",
            Self::Crossed => "each of two threads misses what the other has done",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Shape, operations, and the steps of each thread: `message-remap-gkw-hwt` is a message, under a remap, of a guest's thread that looks
/// whether it was told, and writes, and a host's that writes and tells. A `2` stands behind what is about the second page.
pub(super) fn name(program: &Program) -> String {
    let mut name = Shape::of(program).name().to_owned();
    for step in program.operator.iter().filter(|step| step.operates_on().is_some()) {
        name += "-";
        name += letter(*step);
        name += second(*step);
    }
    for (thread, steps) in named(program).into_iter().skip(1) {
        name += if thread == "third" { "-h" } else { "-g" };
        steps.iter().for_each(|step| name.extend([letter(*step), second(*step)]));
    }
    name
}

fn letter(step: Step) -> &'static str {
    match step {
        Step::Remap(_) => "remap",
        Step::Migrate(_) => "migrate",
        Step::Write(_) => "w",
        Step::Read(_) => "r",
        Step::Add(_) => "a",
        Step::Tell(_) => "t",
        Step::Look(Flag::Told) => "k",
        Step::Look(Flag::Done) => "d",
    }
}

fn second(step: Step) -> &'static str {
    if step.accesses().or(step.operates_on()) == Some(Virt::Y) { "2" } else { "" }
}

/// What the threads do, in words.
pub(super) fn title(program: &Program) -> String {
    let threads = named(program).into_iter().map(|(thread, steps)| {
        let who = match thread {
            "host" => "the host",
            "guest" => "the guest",
            "vcpu0" => "one vCPU",
            "vcpu1" => "another",
            _ => "a host thread",
        };
        let words: Vec<String> = steps.chunk_by(|a, b| a == b).map(times).collect();
        match &words[..] {
            [] => who.to_owned(),
            [only] => format!("{who} {only}"),
            [first @ .., last] => format!("{who} {} and {last}", first.join(", ")),
        }
    });
    threads.collect::<Vec<_>>().join("; ")
}

/// A step that is taken so often, one time after the other.
fn times(steps: &[Step]) -> String {
    let often = match steps.len() {
        1 => String::new(),
        2 => " twice".to_owned(),
        times => format!(" {times} times"),
    };
    steps.first().map_or_else(String::new, |step| words(*step) + &often)
}

fn words(step: Step) -> String {
    let verb = match step {
        Step::Remap(_) => "remaps",
        Step::Migrate(_) => "migrates",
        Step::Write(_) => "writes",
        Step::Read(_) => "reads",
        Step::Add(_) => "increments",
        Step::Tell(_) => "tells",
        Step::Look(Flag::Told) => "asks what was told",
        Step::Look(Flag::Done) => "asks whether that is done",
    };
    match step.accesses().or(step.operates_on()) {
        Some(Virt::X) => format!("{verb} x"),
        Some(Virt::Y) => format!("{verb} y"),
        None => verb.to_owned(),
    }
}
