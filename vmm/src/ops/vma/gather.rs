//! `gather`: processes that share the guest's pages unmap them and exit in storms, while another process has the same pages reclaimed
//! (seed S1: pages outlive the anon_vma and the page tables that they were found through, until the TLB gather is flushed).

use crate::host::{
    facts::{Facts, free_swap_bytes},
    knobs::Setting,
    vmstat::Events,
};
use crate::memory::{Arena, Backing, BackingKind};
use crate::ops::{
    Bed, Done, Effect, HostOperation, Made, Operation, OperationError, Rng,
    child::{self, SharedWords},
    eyes::{counted, reclaim_of},
    wait::until_written,
};
use nix::unistd::{ForkResult, Pid, fork};
use nostale_guest::page::{LINES, counter_offset};
use nostale_notifier::{Hva, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "gather",
    summary: "children that share the guest's pages unmap them and exit in storms, while another process has them reclaimed",
    share: 2,
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP, Backing::MEMFD, Backing::FILE_SHARED],
    effect: |_| Effect::Preserves,
    needs: |facts, _| facts.need_process_madvise(),
    settings,
    make,
    ..Operation::USUAL
};

/// Without swap nothing but pages of files can be reclaimed; the rmap is walked all the same.
fn settings(facts: &Facts, backing: Backing) -> Vec<Setting> {
    let swap = if backing.has_file() && backing.is_shared() { None } else { facts.swap.setting() };
    swap.map(|swap| Setting { otherwise: Some("pages that children share cannot be reclaimed"), ..swap }).into_iter().collect()
}

/// Pages that children share with the guest and unmap.
const PAGES: usize = 32;
/// Pages of one munmap: gathers of one page take other ways than those of many.
const RUN: u64 = 8;
/// Most children at once.
const MOST: usize = 3;
/// How long to wait until the guest has met the pages.
const PATIENCE: Duration = Duration::from_millis(2);

/// Counts that children leave.
const MAPPED: usize = 0;
const UNMAPPED: usize = 1;
/// Requests of the children themselves, and of the process beside them.
const OWN_RECLAIMS: usize = 2;
const RECLAIMS: usize = 3;
/// Tells the reclaimer to end.
const OVER: usize = 4;

fn make(bed: &Bed<'_>, _: &Facts) -> Made {
    let backing = bed.arena.backing();
    let reclaims = backing.kind == BackingKind::FileShared || free_swap_bytes() > 0;
    let words = SharedWords::new("memory for a storm's counts")?;
    Ok(Box::new(Gather { words, reclaimed: reclaims.then(|| reclaim_of(backing)) }))
}

struct Gather {
    words: SharedWords,
    /// What the kernel counts of it, where there is somewhere for pages to go.
    reclaimed: Option<Events>,
}

impl Gather {
    fn reclaimed(&self) -> Result<Option<u64>, OperationError> {
        self.reclaimed.map(counted).transpose()
    }
}

/// How a child ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It unmaps the pages first.
    Unmaps,
    /// It exits with all of them mapped.
    Exits,
    /// It asks for its own to be reclaimed, unmaps half, and exits.
    Reclaims,
}

impl HostOperation for Gather {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let mut pages = [0; PAGES];
        bed.hot_pages(rng, &mut pages);
        until_written(bed.system, &pages, 8, PATIENCE);
        self.words.clear();
        let number = rng.random_range(1..=MOST);
        let ends: [End; MOST] = std::array::from_fn(|_| [End::Unmaps, End::Exits, End::Reclaims][rng.random_range(0..3)]);
        let mut children = Vec::with_capacity(MOST + 1);
        let before = self.reclaimed()?;
        bed.note(Stage::OperationStart, bed.arena.home(), 0);
        let mut storm = || {
            let parent = Pid::this();
            children.push(start(bed, || reclaim(bed.arena, parent, &pages, &self.words))?);
            for end in &ends[..number] {
                children.push(start(bed, || live(bed.arena, &pages, *end, &self.words))?);
            }
            Ok(())
        };
        let mut result = storm();
        // The reclaimer, which is the first, goes on until all others have ended. Each is waited for, whatever became of the one before.
        for &child in children.iter().skip(1).chain(children.first()) {
            if children.first() == Some(&child) {
                self.words.get(OVER).store(1, Relaxed);
            }
            result = result.and(child::wait(bed, "gather", child));
        }
        result?;
        bed.note(Stage::Returned, bed.arena.home(), 0);
        let count = |word| self.words.get(word).load(Relaxed);
        let reclaimed = before.is_none() || self.reclaimed()? > before;
        let storm = reclaimed && count(MAPPED) > 0 && count(UNMAPPED) > 0 && count(RECLAIMS) > 0;
        Ok(if storm { Done::Pages(count(UNMAPPED)) } else { Done::Busy })
    }

    fn method(&self) -> Option<&'static str> {
        Some(match self.reclaimed {
            Some(_) => "process_madvise(MADV_PAGEOUT) by another process",
            None => "process_madvise(MADV_PAGEOUT) by another process, without reclaim (there is no swap)",
        })
    }
}

/// Forks a child that lives `life`.
fn start(bed: &Bed<'_>, life: impl FnOnce() -> i32) -> Result<Pid, OperationError> {
    // SAFETY: the child calls nothing but async-signal-safe functions (loads, stores, and system calls) and touches no lock or heap
    // of the parent.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            // SAFETY: plain system calls. A child that outlives its parent would keep the VM's file open; the second ends it at
            // once, without the parent's exit handlers.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::_exit(life())
            }
        }
        Ok(ForkResult::Parent { child }) => Ok(child),
        Err(errno) => Err(OperationError::Call { call: "fork".into(), range: bed.arena.home(), errno }),
    }
}

// ---- in the children ----

/// Shares the pages, and leaves.
fn live(arena: &Arena, pages: &[u64; PAGES], end: End, words: &SharedWords) -> i32 {
    for (number, &page) in pages.iter().enumerate() {
        let at = Hva::new(arena.hva(page).get() + counter_offset(LINES - 1));
        let mapped = if number % 4 == 0 && !arena.backing().is_shared() {
            // SAFETY: the child's own copy of an arena page.
            unsafe { arena.primary().increment(at) }
        } else {
            arena.primary().load(at).map(drop)
        };
        words.get(MAPPED).fetch_add(u64::from(mapped.is_ok()), Relaxed);
    }
    let half = match end {
        End::Unmaps => PAGES,
        End::Exits => 0,
        End::Reclaims => PAGES / 2,
    };
    let range = |page: u64| (arena.hva(page).get() as *mut libc::c_void, (RUN.min(arena.pages() - page) * PAGE_SIZE) as usize);
    if let End::Reclaims = end {
        for &page in pages {
            let (at, bytes) = range(page);
            // SAFETY: the child's own mappings.
            let done = unsafe { libc::madvise(at, bytes, libc::MADV_PAGEOUT) } == 0;
            words.get(OWN_RECLAIMS).fetch_add(u64::from(done), Relaxed);
        }
    }
    for &page in &pages[..half] {
        let (at, bytes) = range(page);
        // SAFETY: the child's own mappings, which it does not look at any more.
        let done = unsafe { libc::munmap(at, bytes) } == 0;
        // Runs overlap where pages are neighbours: each call counts as the page that it is about.
        words.get(UNMAPPED).fetch_add(u64::from(done), Relaxed);
    }
    // What is still mapped goes with the child.
    words.get(UNMAPPED).fetch_add((PAGES - half) as u64, Relaxed);
    0
}

/// Has the parent's pages reclaimed until it is over. It has none of them itself: who shares a page keeps it from being reclaimed.
fn reclaim(arena: &Arena, parent: Pid, pages: &[u64; PAGES], words: &SharedWords) -> i32 {
    let home = arena.home();
    // SAFETY: plain system calls; the child's own mapping of the arena, which it does not look at.
    let pidfd = unsafe {
        libc::munmap(home.start().get() as *mut libc::c_void, home.bytes() as usize);
        libc::syscall(libc::SYS_pidfd_open, parent.as_raw(), 0)
    };
    let parts: [libc::iovec; PAGES] = std::array::from_fn(|n| libc::iovec {
        iov_base: arena.hva(pages[n]).get() as *mut libc::c_void,
        iov_len: PAGE_SIZE as usize,
    });
    loop {
        // SAFETY: the kernel reads `parts`, and advises the parent's memory without changing any contents.
        let done = unsafe { libc::syscall(libc::SYS_process_madvise, pidfd, parts.as_ptr(), PAGES, libc::MADV_PAGEOUT, 0) };
        words.get(RECLAIMS).fetch_add(u64::from(done > 0), Relaxed);
        // At least once, however soon the others have ended.
        if words.get(OVER).load(Relaxed) != 0 {
            return 0;
        }
        // SAFETY: plain system call.
        unsafe { libc::usleep(50) };
    }
}
