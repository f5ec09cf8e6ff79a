//! `fork`: guest pages become shared copy-on-write, and every write of the guest has to find that out.
//!
//! The child is the witness. From the moment it exists its memory belongs to it alone, so nothing in it may change but by its
//! own hand: a guest that still writes through a translation from before the fork writes into the child.

use crate::live::Plant;
use crate::memory::Backing;
use crate::ops::{
    Bed, Done, Effect, HostOperation, Operation, OperationError, Rng,
    child::{self, SharedWords},
    wait::until_written,
};
use crate::{
    memory::{Arena, Primary, Snapshot, System},
    oracle::{Access, Oracle, Violation},
};
use nix::unistd::{ForkResult, fork};
use nostale_guest::page::{LINES, counter_offset};
use nostale_notifier::{Hva, event::Stage};
use rand::RngExt;
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "fork",
    summary: "fork: the child looks on, writes, leaves at once, or forks again; its copy must not change",
    usual: &[Backing::ANON, Backing::ANON_THP, Backing::HUGETLB_2M],
    more: &[Backing::ANON_MTHP, Backing::FILE_PRIVATE, Backing::HUGETLB_1G],
    effect: |backing| {
        if backing.is_shared() {
            Effect::Inapplicable("fork copies no page tables of shared mappings, so nothing is invalidated")
        } else {
            Effect::Preserves
        }
    },
    make: |_, _| Ok(Box::new(Fork { report: Report(SharedWords::new("memory for a fork's report")?) })),
    not_hugetlb: None,
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

/// Pages that a child looks at.
const LOOKS: usize = 12;
/// How long a child waits for a write to what it looks at: after a fork each takes the guest a fault, or more.
const PATIENCE: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Looks on while the guest writes.
    Looks,
    /// Writes its own copy.
    Writes,
    /// Leaves at once: the guest's pages are its own again.
    Leaves,
    /// Forks a child of its own, which does the same, so many times.
    Chain(u8),
}

struct Fork {
    report: Report,
}

impl HostOperation for Fork {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let life = match rng.random_range(0..8) {
            0..3 => Life::Looks,
            3..5 => Life::Writes,
            5 => Life::Leaves,
            _ => Life::Chain(rng.random_range(2..=3)),
        };
        let mut pages = [0; LOOKS];
        bed.hot_pages(rng, &mut pages);
        // A guest that has not met these pages before has no translation of them that could be stale.
        until_written(bed.system, &pages, LOOKS as u32, PATIENCE);
        let stay = Duration::from_micros(rng.random_range(20..600));
        let generation = bed.arena.next_generation();
        bed.note(Stage::OperationStart, bed.arena.home(), generation);
        self.report.clear();
        // SAFETY: the child calls nothing but async-signal-safe functions (loads, stores, prctl, nanosleep, a raw fork,
        // waitpid, _exit) and touches no lock or heap of the parent.
        let child = match unsafe { fork() } {
            Ok(ForkResult::Child) => live((bed.arena, bed.system), &pages, life, stay, bed.is_astray(), &self.report),
            Ok(ForkResult::Parent { child }) => child,
            Err(errno) => return Err(OperationError::Call { call: "fork".into(), range: bed.arena.home(), errno }),
        };
        bed.note(Stage::Returned, bed.arena.home(), generation);
        let ended = child::wait(bed, "fork", child);
        bed.note(Stage::Witnessed, bed.arena.home(), generation);
        if let Some([page, line, word, before, after]) = self.report.take() {
            bed.watch.report(Violation { page: Some(page), range: bed.arena.home().part(page, 1), access: Some(Access::Write), expected: before, found: after, ..Violation::new(Oracle::Finality, bed.actor.1, format!(
                    "a forked child's copy of page {page} changed under it ({life:?}): line {line} word {word} went from {before:#x} to {after:#x}"
                )) });
        }
        // Whatever became of the child, what it found comes first.
        ended?;
        Ok(Done::Pages(bed.arena.pages()))
    }
}

// ---- in the child ----

fn live(
    (arena, system): (&Arena, &System),
    pages: &[u64; LOOKS],
    life: Life,
    stay: Duration,
    astray: bool,
    report: &Report,
) -> ! {
    // SAFETY: plain system calls. A child that outlives its parent would keep the VM's file open.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let mut code = 0;
    if life != Life::Leaves {
        let before = look(arena, pages);
        let grandchild = match life {
            // SAFETY: as in `perform`; a raw fork, because this process must not touch what the C library's handlers lock.
            Life::Chain(depth) if depth > 1 => match unsafe { libc::syscall(libc::SYS_fork) } {
                0 => live((arena, system), pages, Life::Chain(depth - 1), stay, astray, report),
                pid => Some(pid as i32),
            },
            _ => None,
        };
        let added = if life == Life::Writes { write(arena.primary(), arena, pages) } else { [[0; LINES]; LOOKS] };
        let time = libc::timespec { tv_sec: 0, tv_nsec: i64::from(stay.subsec_nanos()) };
        // SAFETY: plain system call on our own memory.
        unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
        until_written(system, pages, LOOKS as u32, PATIENCE);
        if astray {
            let at = Hva::new(arena.hva(pages[0]).get() + counter_offset(LINES - 1));
            // SAFETY: the child's own copy of an arena page.
            let _ = unsafe { arena.primary().increment(at) };
        }
        compare(pages, &before, &look(arena, pages), added, report);
        if let Some(pid) = grandchild {
            let (mut status, pause) = (0, libc::timespec { tv_sec: 0, tv_nsec: 100_000 });
            // Not asleep: whoever waits for this process sees that it is at work as long as the other one lives.
            // SAFETY: plain system calls on our own memory.
            unsafe {
                while libc::waitpid(pid, &mut status, libc::WNOHANG) == 0 {
                    libc::nanosleep(&pause, std::ptr::null_mut());
                }
            }
            code = i32::from(pid < 0 || status != 0);
        }
    }
    // SAFETY: ends the child at once, without the parent's exit handlers.
    unsafe { libc::_exit(code) }
}

fn look(arena: &Arena, pages: &[u64; LOOKS]) -> [Option<Snapshot>; LOOKS] {
    // A page that another operation had away when we were forked is a hole in the child for ever.
    std::array::from_fn(|n| arena.snapshot(arena.hva(pages[n])).ok())
}

/// Increments every counter of each page; says how often it really did, for each page (one may be in the list twice, another may
/// have been read-only when we were forked).
fn write(primary: Primary, arena: &Arena, pages: &[u64; LOOKS]) -> [[u64; LINES]; LOOKS] {
    let mut added = [[0; LINES]; LOOKS];
    for &page in pages {
        for line in 0..LINES {
            let at = Hva::new(arena.hva(page).get() + counter_offset(line));
            // SAFETY: the child's own copy of an arena page.
            if unsafe { primary.increment(at) }.is_ok() {
                let same = added.iter_mut().zip(pages).filter(|(_, other)| **other == page);
                same.for_each(|(lines, _)| lines[line] += 1);
            }
        }
    }
    added
}

fn compare(
    pages: &[u64; LOOKS],
    before: &[Option<Snapshot>; LOOKS],
    after: &[Option<Snapshot>; LOOKS],
    added: [[u64; LINES]; LOOKS],
    report: &Report,
) {
    for (n, (before, after)) in before.iter().zip(after).enumerate() {
        let (Some(before), Some(after)) = (before, after) else { continue };
        let mut expected = before.clone();
        for (line, added) in expected.lines.iter_mut().zip(added[n]) {
            line[0] += added;
        }
        if let Some((line, word, was, is)) = expected.difference(after) {
            report.put([pages[n], line as u64, word as u64, was, is]);
        }
    }
}

/// What children leave for their parent: whether there is anything, and what it is.
struct Report(SharedWords);

impl Report {
    fn clear(&self) {
        self.0.clear();
    }

    fn put(&self, found: [u64; 5]) {
        found.into_iter().zip(1..).for_each(|(value, word)| self.0.get(word).store(value, Relaxed));
        self.0.get(0).store(1, Relaxed);
    }

    fn take(&self) -> Option<[u64; 5]> {
        (self.0.get(0).swap(0, Relaxed) == 1).then(|| std::array::from_fn(|n| self.0.get(n + 1).load(Relaxed)))
    }
}
