//! The memory that host and guest share, described once.
//!
//! Two memslots: the *system* slot (page tables, control block, boards, tallies, image, stacks), which no host operation ever
//! touches, and the *arena*, the pages under test. All addresses in here are guest-physical and, because the guest maps itself
//! one to one, guest-virtual as well. All shared words are atomics: both sides write them while the other reads.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Bytes of a page, the unit in which host and guest count.
pub const PAGE_SIZE: u64 = 4096;

/// The most vCPUs one VM can have: every vCPU owns a [`crate::page::Stamp`] on each page.
pub const MAX_VCPUS: usize = 24;

/// Where things are in guest-physical memory.
pub mod layout {
    use super::{Board, MAX_VCPUS, PAGE_SIZE, VcpuBlock};

    /// PML4, then the PDPT, then one page directory for each GiB that is mapped.
    pub const PAGE_TABLES: u64 = 0x1000;
    /// First byte behind the room for page tables.
    pub const PAGE_TABLES_END: u64 = CONTROL;
    /// The [`super::Control`] block.
    pub const CONTROL: u64 = 0x10_0000;
    /// One [`VcpuBlock`] for each vCPU.
    pub const VCPUS: u64 = 0x10_1000;
    /// One stack for each vCPU.
    pub const STACKS: u64 = 0x18_0000;
    /// Bytes of a stack.
    pub const STACK_SIZE: u64 = 0x4000;
    /// Link address of the image (see `link.ld`).
    pub const IMAGE: u64 = 0x20_0000;
    /// One [`Board`] for each arena page; behind the last one, the tallies of each vCPU.
    pub const BOARDS: u64 = 0x40_0000;
    /// First page of the arena.
    pub const ARENA: u64 = 1 << 32;

    const _: () = assert!(VCPUS + (MAX_VCPUS * size_of::<VcpuBlock>()) as u64 <= STACKS);
    const _: () = assert!(STACKS + MAX_VCPUS as u64 * STACK_SIZE <= IMAGE);

    /// First tally (a `u32` for each arena page) of vCPU `vcpu`.
    #[must_use]
    pub const fn tally(pages: u64, vcpu: u64) -> u64 {
        let boards = BOARDS + pages * size_of::<Board>() as u64;
        let each = (pages * 4).next_multiple_of(PAGE_SIZE);
        boards.next_multiple_of(PAGE_SIZE) + vcpu * each
    }

    /// Bytes of the system slot for an arena of `pages` and `vcpus`.
    #[must_use]
    pub const fn system_size(pages: u64, vcpus: u64) -> u64 {
        tally(pages, vcpus).next_multiple_of(2 << 20)
    }
}

/// I/O port of a hypercall: the verb goes to it as a 32-bit `out`.
pub const HYPERCALL_PORT: u16 = 0x1f0;

/// What a guest tells the host by a hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Verb {
    /// In guest code, about to start; [`Counts::last_tsc`] was just set.
    Ready = 1,
    /// Obeyed [`Command::Pause`]: enter again to go on.
    Paused = 2,
    /// Obeyed [`Command::Stop`], at the end of a visit: every tally is final.
    Stopped = 3,
    /// A check failed; [`VcpuBlock::finding`] says which. Enter again to go on.
    Finding = 4,
    /// An assertion or a panic; [`VcpuBlock::assertion`] says where. Do not enter again.
    Assertion = 5,
    /// The code of a [`Program::Call`] has returned: enter again to call it once more.
    Done = 6,
}

impl Verb {
    /// The verb with this number.
    #[must_use]
    pub const fn from_u32(n: u32) -> Option<Self> {
        Some(match n {
            1 => Self::Ready,
            2 => Self::Paused,
            3 => Self::Stopped,
            4 => Self::Finding,
            5 => Self::Assertion,
            6 => Self::Done,
            _ => return None,
        })
    }
}

/// What the host tells every vCPU ([`Control::command`]); looked at after every batch of visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Command {
    /// Visit pages.
    Run = 0,
    /// Make a [`Verb::Paused`] hypercall.
    Pause = 1,
    /// Make a [`Verb::Stopped`] hypercall.
    Stop = 2,
}

/// What a vCPU executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Program {
    /// Visits with every check ([`crate::visit`]).
    Storm = 0,
    /// The same walk and the same increments and nothing else: the yardstick for what the checks cost.
    Bare = 1,
    /// Calls the code at [`VcpuBlock::entry`], again and again, with a [`Verb::Done`] hypercall after each time.
    Call = 2,
}

/// Written by the host, read by all vCPUs.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Control {
    /// [`ABI_MAGIC`]; a guest that finds another number asserts.
    pub magic: u64,
    /// Pages of the arena.
    pub pages: u64,
    /// A [`Command`].
    pub command: AtomicU32,
    /// First page of the hot set: where host operations are looking for trouble at the moment.
    pub hot_start: AtomicU64,
    /// Pages in the hot set, at least 1.
    pub hot_pages: AtomicU64,
    /// First of the pages that are to be read and not written for a while. A hint: who has not heard of it yet may write.
    pub looked_at_start: AtomicU64,
    /// How many they are; 0 mostly.
    pub looked_at_pages: AtomicU64,
}

/// Says that host and guest were built from the same description.
pub const ABI_MAGIC: u64 = 0x6e6f_7374_616c_0003;

/// One vCPU's block: its orders, its counters, and what it has to report.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct VcpuBlock {
    /// Which vCPU this is; also its number as a writer on every page.
    pub index: u64,
    /// A [`Program`]; looked at before every batch.
    pub program: AtomicU64,
    /// Seed of the walk.
    pub seed: u64,
    /// Where this vCPU finds arena page 0; looked at before every visit, since the host may move it.
    pub arena: AtomicU64,
    /// Where its tally starts.
    pub tally: u64,
    /// Guest address of the code that a [`Program::Call`] calls, as `extern "sysv64" fn(argument)`.
    pub entry: AtomicU64,
    /// What it is called with.
    pub argument: AtomicU64,
    /// What the guest counts.
    pub counts: Counts,
    /// The last failed check.
    pub finding: Finding,
    /// The assertion that ended this vCPU.
    pub assertion: Assertion,
}

/// A vCPU's own counters, on cache lines that only it writes.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Counts {
    /// Visits completed, in whole batches: the sign of life.
    pub visits: AtomicU64,
    /// Visits among them that wrote.
    pub write_visits: AtomicU64,
    /// TSC at the end of the last batch.
    pub last_tsc: AtomicU64,
    /// Longest time between the ends of two batches, in TSC ticks.
    pub longest_gap: AtomicU64,
    /// Failed checks, of which only the first [`FINDINGS_REPORTED`] leave the guest.
    pub findings: AtomicU64,
}

/// After this many findings a vCPU only counts them, so that a broken host still ends in time.
pub const FINDINGS_REPORTED: u64 = 16;

/// Which check failed in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Check {
    /// The page's generation is older than the one whose operation had already returned ([`Board::returned`]).
    Returned = 1,
    /// The page's generation is older than one which a host thread had already seen ([`Board::seen`]).
    Seen = 2,
    /// The page's host value is older than the one already published ([`Board::value`]).
    Value = 3,
}

impl Check {
    /// The check with this number.
    #[must_use]
    pub const fn from_u64(n: u64) -> Option<Self> {
        Some(match n {
            1 => Self::Returned,
            2 => Self::Seen,
            3 => Self::Value,
            _ => return None,
        })
    }
}

/// A failed check.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Finding {
    /// A [`Check`].
    pub check: AtomicU64,
    /// Arena page.
    pub page: AtomicU64,
    /// What had been published before the page was read.
    pub published: AtomicU64,
    /// What the page held.
    pub found: AtomicU64,
    /// When.
    pub tsc: AtomicU64,
}

/// A failed assertion: where, and both operands.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Assertion {
    /// Address of the file name in the image (not terminated).
    pub file: AtomicU64,
    /// Its length in bytes; 0 when the location is unknown.
    pub file_len: AtomicU64,
    /// Line in that file.
    pub line: AtomicU64,
    /// Left operand.
    pub left: AtomicU64,
    /// Right operand.
    pub right: AtomicU64,
}

/// What the host has published about one arena page. The guest reads this *before* it touches the page.
///
/// Every number only grows, but for `returned`, where 0 means "in flux: promise nothing". The host stores 0 there before it makes a
/// published number untrue, and the guest reads it again before it calls a page stale.
#[derive(Debug, Default)]
#[repr(C, align(32))]
pub struct Board {
    /// Generation of the page put here by the last operation that *returned* (oracles finality and freshness).
    pub returned: AtomicU64,
    /// Newest generation that a host thread *saw* through the primary MMU (oracle third thread).
    pub seen: AtomicU64,
    /// Last value that a host writer stored to the page's value word, and then published (oracle freshness).
    pub value: AtomicU64,
    /// Generation which the operation in flight will install; host threads alone use it.
    pub next: AtomicU64,
}
