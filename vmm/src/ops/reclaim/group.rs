//! `reclaim`: the kernel looks for memory to take and finds the guest's. The whole process is in a control group of its own, which
//! is asked to give back (`memory.reclaim`), or to give back everything (`memory.force_empty`, version 1).

use super::{gone::Eyes, pageout};
use crate::host::{
    facts::{Facts, MemoryGroups, Need},
    knobs::{Knob, Setting},
};
use crate::memory::Backing;
use crate::ops::{Bed, Done, HostOperation, Made, Operation, OperationError, Rng};
use nostale_notifier::{HvaRange, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "reclaim",
    summary: "memory reclaim of a control group of our own: the kernel chooses which pages the guest loses",
    usual: &[Backing::ANON, Backing::MEMFD],
    needs: |facts, backing| {
        pageout::needs(facts, backing)?;
        facts.need_memory_group()
    },
    settings,
    make,
    ..Operation::USUAL
};

/// Pages that are looked at.
const LOOK: u64 = 65536;
/// Least and most that is asked for at once, in pages.
const LEAST: u64 = 64;
const MOST: u64 = 2048;

fn settings(facts: &Facts, backing: Backing) -> Vec<Setting> {
    let group = facts.memory_groups.as_ref().map(|groups| Setting::essential(Knob::group(groups.own()), "made"));
    pageout::settings(facts, backing).into_iter().chain(group).collect()
}

fn make(bed: &Bed<'_>, facts: &Facts) -> Made {
    let groups = facts.memory_groups.as_ref().ok_or(OperationError::Unmade)?;
    let seen = bed.arena.home().part(0, bed.arena.pages().min(LOOK)).unwrap_or(bed.arena.home());
    Ok(Box::new(Reclaim { group: Member::join(groups)?, eyes: Eyes::open()?, seen }))
}

struct Reclaim {
    group: Member,
    eyes: Eyes,
    seen: HvaRange,
}

impl HostOperation for Reclaim {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        // No claim: reclaim does not mind what else happens to the mapping.
        let before = self.eyes.before(self.seen)?;
        bed.note(Stage::OperationStart, bed.arena.home(), 0);
        self.group.reclaim(rng.random_range(LEAST..=MOST) * PAGE_SIZE)?;
        let gone = self.eyes.gone(&before)?;
        bed.note(Stage::Returned, bed.arena.home(), 0);
        Ok(if gone == 0 { Done::Busy } else { Done::Pages(gone) })
    }

    fn method(&self) -> Option<&'static str> {
        Some(if self.group.unified { "memory.reclaim" } else { "memory.force_empty" })
    }
}

/// This process as a member of a group of its own, until it is dropped. What it touches from then on is the group's.
struct Member {
    dir: PathBuf,
    /// Where it was before.
    home: PathBuf,
    unified: bool,
}

fn write(what: &'static str, path: &Path, text: &str) -> Result<(), OperationError> {
    fs::write(path, text).map_err(|source| OperationError::Io { what, source })
}

impl Member {
    fn join(groups: &MemoryGroups) -> Result<Self, OperationError> {
        let (dir, unified) = (groups.own(), groups.unified);
        let gives = dir.join(if unified { "memory.reclaim" } else { "memory.force_empty" });
        if !gives.exists() {
            let hint = if unified { "boot Linux 5.19 or later" } else { "use control groups of version 2" };
            return Err(Need::new(format!("{}", gives.display()), hint).into());
        }
        let own = fs::read_to_string("/proc/self/cgroup");
        let own = own.map_err(|source| OperationError::Io { what: "/proc/self/cgroup", source })?;
        let home = PathBuf::from(format!("{}{}", groups.root, current(&own, unified).unwrap_or("/")));
        let member = Self { dir, home, unified };
        write("joining a memory control group", &member.dir.join("cgroup.procs"), &std::process::id().to_string())?;
        Ok(member)
    }

    fn reclaim(&self, bytes: u64) -> Result<(), OperationError> {
        let (file, text) =
            if self.unified { ("memory.reclaim", bytes.to_string()) } else { ("memory.force_empty", "0".to_owned()) };
        match fs::write(self.dir.join(file), text) {
            // Less than was asked for, or not everything.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY | libc::EINTR)) => Ok(()),
            Err(source) => Err(OperationError::Io { what: "reclaiming memory of a control group", source }),
            Ok(()) => Ok(()),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Where this fails, the setting that made the group moves whoever is still in it to the group above.
        let moved: io::Result<()> = fs::write(self.home.join("cgroup.procs"), std::process::id().to_string());
        drop(moved);
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
