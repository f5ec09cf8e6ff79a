//! What source and destination say to each other: frames with a header that is checked, and messages in them.

mod channel;
mod codec;

pub(super) use channel::{Incoming, Outgoing, pair};
pub(super) use codec::{CodecError, HEADER, Header};

/// The version of this language.
pub(super) const VERSION: u16 = 1;

/// Which memory a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::migration) enum Area {
    /// The pages under test.
    Arena,
    /// The system slot.
    System,
}

/// Pages with their contents; pages of zeros come without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::migration) struct Pages {
    /// Whether they are the arena's.
    pub arena: bool,
    /// Page numbers, and whether each is all zeros.
    pub entries: Vec<(u64, bool)>,
    /// The contents of those that are not, one after the other.
    pub data: Vec<u8>,
}

/// What the destination is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::migration) struct Hello {
    /// Pages of the arena.
    pub pages: u64,
    /// vCPUs.
    pub vcpus: u64,
    /// Entries of each vCPU's dirty ring; 0 for the dirty log.
    pub ring_entries: u32,
    /// Its memslots of the arena: guest-physical address, first page, pages.
    pub slots: Vec<[u64; 3]>,
    /// Whether its arena is a file in memory and not anonymous.
    pub shared: bool,
    /// Whether its arena is to have huge pages.
    pub huge: bool,
    /// The planted fault: pages drop out of the last round.
    pub forgets: bool,
}

/// A failed check in a guest that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::migration) struct Finding {
    /// vCPU, number of the check, page, what was published, what was found, when.
    pub words: [u64; 6],
}

/// One side of a pre-copy, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sent {
    /// Rounds, the last one with the guest stopped among them.
    pub rounds: u64,
    /// Pages sent, each time they were.
    pub pages: u64,
    /// Those of them that were zeros.
    pub zeros: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Time spent sending, in microseconds.
    pub sending_us: u64,
    /// Whether what was left fitted into the downtime that was aimed at.
    pub converged: bool,
    /// For how many percent of the time vCPUs were held back in the end.
    pub throttled: u64,
    /// TSC when the last vCPU had stopped.
    pub stopped_tsc: u64,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::migration) enum Message {
    /// To the destination: be this.
    Hello(Hello),
    /// From it: it is.
    Welcome,
    /// Contents of pages.
    Pages(Pages),
    /// To the destination: these arena pages (a bitmap) will come when they are asked for, or later.
    Missing(Vec<u64>),
    /// The states of all vCPUs.
    States(Vec<Vec<u8>>),
    /// From the destination: it has all that it needs, and waits.
    Ready,
    /// To it: the guest is yours.
    Commit,
    /// From it: the first visit was made at this TSC.
    Running(u64),
    /// Visits of each vCPU.
    Pulse(Vec<u64>),
    /// A check failed in the guest.
    Finding(Finding),
    /// From the destination: a vCPU waits for this arena page.
    Request(u64),
    /// From it: every page is there.
    Resident,
    /// To it: bring the guest back.
    Return,
    /// The last message of whoever gives the guest away.
    Sent(Sent),
    /// It cannot go on, for this reason.
    Failed(String),
    /// From the destination, which can: the guest cannot.
    Lost(String),
    /// To the destination: it is not needed any more.
    Bye,
}
