//! `reclaim`: the kernel looks for memory to take and finds the guest's. The whole process is in a control group of its own, which
//! is asked to give back (`memory.reclaim`), or everything for a moment (`memory.force_empty`, version 1).
//!
//! Version 1 could be given a lower limit for a moment instead. Runs that did so died of a SIGSEGV that no handler saw: presumably a page
//! that the kernel itself wants for the process was refused meanwhile, that of a thread's restartable sequence (kernel/rseq.c), say.

use super::pageout;
use crate::host::{
    facts::{Facts, MemoryGroups, Need},
    knobs::{Knob, Setting},
    task::{Patience, Task},
    vmstat::Events,
};
use crate::machine::{install_kick, join_while};
use crate::memory::Backing;
use crate::ops::{
    Bed, Done, HostOperation, Made, Operation, OperationError, Rng,
    eyes::{Eyes, reclaim_of},
    syscall,
};
use nostale_notifier::{HvaRange, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;
use std::{
    fs,
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "reclaim",
    summary: "memory reclaim of a control group of our own: the kernel chooses which pages the guest loses",
    share: 2,
    usual: &[Backing::ANON],
    more: &[Backing::MEMFD],
    needs,
    settings,
    make,
    ..Operation::USUAL
};

/// Version 2: bytes that are to be reclaimed.
const RECLAIM: &str = "memory.reclaim";
/// Version 1: all that can be is reclaimed, until whoever asked for it is interrupted.
const EMPTY: &str = "memory.force_empty";
/// What a page may take to be reclaimed, where only time can be asked for.
const A_PAGE: Duration = Duration::from_micros(40);
/// How long the kernel may do nothing about being interrupted. It looks after each few pages that it has reclaimed, and to find those it
/// may have to go through all of the group thirteen times (DEF_PRIORITY, mm/vmscan.c).
const INTERRUPTED: Duration = Duration::from_secs(10);
/// The nice value of whoever asks for that: before everybody else.
const FIRST: i32 = -20;
/// Pages that are looked at.
const LOOK: u64 = 65536;
/// Most that is asked for at once, in pages.
const MOST: u64 = 256;
/// A request that takes longer than this is followed by smaller ones: the kernel does not return before it has looked everywhere.
const LONG: Duration = Duration::from_millis(200);

pub(super) fn needs(facts: &Facts, backing: Backing) -> Result<(), Need> {
    pageout::needs(facts, backing)?;
    facts.need_memory_group()
}

pub(super) fn settings(facts: &Facts, backing: Backing) -> Vec<Setting> {
    let group = facts.memory_groups.as_ref().map(|groups| Setting::essential(Knob::group(groups.own()), "made"));
    pageout::settings(facts, backing).into_iter().chain(group).collect()
}

fn make(bed: &Bed<'_>, facts: &Facts) -> Made {
    let seen = bed.arena.home().part(0, bed.arena.pages().min(LOOK)).unwrap_or(bed.arena.home());
    let events = reclaim_of(bed.arena.backing());
    Ok(Box::new(Reclaim { group: Member::join(facts)?, eyes: Eyes::open()?, events, seen, most: MOST }))
}

struct Reclaim {
    group: Member,
    eyes: Eyes,
    events: Events,
    seen: HvaRange,
    /// Most that is asked for at the moment.
    most: u64,
}

impl HostOperation for Reclaim {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = rng.random_range(1..=self.most).min(bed.arena.pages());
        // The kernel takes what was not used for long, and guests use everything: it begins with what it is told is cold. No claim:
        // reclaim does not mind what else happens to the mapping. Where there is nothing now, there is nothing cold.
        let cold = if let Some(claim) = bed.pick(rng, pages, 1) {
            syscall::advise_gently("madvise(COLD)", claim.range(), libc::MADV_COLD)?
        } else {
            false
        };
        if !cold {
            return Ok(Done::Busy);
        }
        let before = self.eyes.before(self.seen, self.events)?;
        bed.note(Stage::OperationStart, bed.arena.home(), 0);
        let from = Instant::now();
        self.group.reclaim(pages)?;
        self.most = if from.elapsed() > LONG { (self.most / 2).max(1) } else { (self.most * 2).min(MOST) };
        let gone = self.eyes.gone(&before)?;
        bed.note(Stage::Returned, bed.arena.home(), 0);
        Ok(if gone == 0 { Done::Busy } else { Done::Pages(gone) })
    }

    fn method(&self) -> Option<&'static str> {
        Some(self.group.method())
    }
}

/// This process as a member of a group of its own, until the last of these is dropped. What it touches from then on is the group's.
pub(super) struct Member {
    dir: PathBuf,
    unified: bool,
}

/// How many there are, and where the process was before the first of them.
static MEMBERS: Mutex<Option<(NonZeroUsize, PathBuf)>> = Mutex::new(None);

fn write(what: &'static str, path: &Path, text: &str) -> Result<(), OperationError> {
    fs::write(path, text).map_err(OperationError::io(what))
}

impl Member {
    pub(super) fn join(facts: &Facts) -> Result<Self, OperationError> {
        facts.need_memory_group()?;
        let groups: &MemoryGroups = facts.memory_groups.as_ref().ok_or(OperationError::Unmade)?;
        let (dir, unified) = (groups.own(), groups.unified);
        if unified && !dir.join(RECLAIM).exists() {
            return Err(Need::memory_reclaim().into());
        }
        // Whoever asks the kernel for something without an end is interrupted.
        install_kick();
        let mut members = MEMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        *members = Some(match members.take() {
            Some((number, home)) => (number.saturating_add(1), home),
            None => {
                let own = fs::read_to_string("/proc/self/cgroup").map_err(OperationError::io("/proc/self/cgroup"))?;
                let home = PathBuf::from(format!("{}{}", groups.root, current(&own, unified).unwrap_or("/")));
                write("joining a memory control group", &dir.join("cgroup.procs"), &std::process::id().to_string())?;
                (NonZeroUsize::MIN, home)
            }
        });
        Ok(Self { dir, unified })
    }

    /// How it is asked to give memory back.
    pub(super) fn method(&self) -> &'static str {
        if self.unified { RECLAIM } else { EMPTY }
    }

    /// Asks the kernel to take `pages` pages from the group. It takes which it likes, and may take fewer; where it cannot be told how
    /// many, it takes what it gets hold of in about the time that these would take.
    pub(super) fn reclaim(&self, pages: u64) -> Result<(), OperationError> {
        if self.unified {
            return gently(fs::write(self.dir.join(RECLAIM), (pages * PAGE_SIZE).to_string()));
        }
        let path = self.dir.join(EMPTY);
        let (tell, told) = mpsc::channel();
        let (name, named) = mpsc::channel();
        let asker = std::thread::spawn(move || {
            // Beside twenty other operations the kernel would be interrupted long before it has looked at anything, and long after
            // that be still at it. Where this is refused, so it is.
            // SAFETY: plain system call.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, FIRST) };
            let _ = name.send(nix::unistd::gettid().as_raw());
            // Once: who is interrupted is not to go on.
            let asked = fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write(b"0"));
            let _ = tell.send(asked.map(drop));
        });
        let mut patience = Patience::new(Task::thread(named.recv().unwrap_or_default()), INTERRUPTED);
        let asked = told.recv_timeout(A_PAGE * pages.min(u64::from(u32::MAX)) as u32);
        if join_while(asker, || !patience.is_over()).is_err() {
            return Err(OperationError::Unresponsive { file: EMPTY, told: patience.told() });
        }
        gently(asked.or_else(|_| told.recv()).unwrap_or(Ok(())))
    }
}

/// Less than was asked for, or nothing, is no error.
fn gently(result: io::Result<()>) -> Result<(), OperationError> {
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY | libc::EINTR)) => Ok(()),
        result => result.map_err(OperationError::io("reclaiming memory of a control group")),
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = MEMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((number, home)) = members.take() else { return };
        match NonZeroUsize::new(number.get() - 1) {
            Some(left) => *members = Some((left, home)),
            // Where this fails, the setting that made the group moves whoever is still in it to the group above.
            None => drop(fs::write(home.join("cgroup.procs"), std::process::id().to_string())),
        }
    }
}

/// The path of this process's memory group in `/proc/self/cgroup`.
fn current(text: &str, unified: bool) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = if unified { number == "0" } else { controllers.split(',').any(|name| name == "memory") };
        ours.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_either_version_is_found() {
        let text = "12:pids,memory:/old\n1:name=systemd:/x\n0::/new\n";
        assert_eq!((current(text, true), current(text, false)), (Some("/new"), Some("/old")));
        assert_eq!(current("0::/\n", false), None);
    }
}
