//! Control groups for memory: where a run could make one of its own, to have its memory reclaimed.

use super::{fact::Fact, tree::Tree};
use serde::Serialize;
use std::{fs, io, path::PathBuf};

/// Where a group for memory can be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryGroups {
    /// The directory below which groups are made.
    pub root: String,
    /// Version 2, with `memory.reclaim`; otherwise version 1, with `memory.force_empty`.
    pub unified: bool,
    /// Whether groups can be made to give memory back. Those of version 1 always can, those of version 2 since Linux 5.19. The
    /// file is in every group but the root.
    pub gives_back: Fact<bool>,
}

/// Version 2: bytes that are to be reclaimed.
const RECLAIM: &str = "memory.reclaim";

impl MemoryGroups {
    pub(crate) fn read(tree: &Tree) -> Option<Self> {
        let mounts = tree.text("proc/self/mounts").ok()?;
        let fields = |line: &str| {
            let mut words = line.split_whitespace().skip(1).map(str::to_owned);
            Some((words.next()?, words.next()?, words.next()?))
        };
        let mounts: Vec<_> = mounts.lines().filter_map(fields).collect();
        let unified = mounts.iter().find(|(place, kind, _)| {
            let handed_on = || tree.text(&format!("{place}/cgroup.subtree_control"));
            kind == "cgroup2" && handed_on().is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "memory"))
        });
        let old =
            || mounts.iter().find(|(_, kind, options)| kind == "cgroup" && options.split(',').any(|option| option == "memory"));
        let of = |(place, _, _): &(String, String, String), unified| {
            let gives_back = if unified { has_reclaim(tree, place) } else { Fact::Known(true) };
            Self { root: place.clone(), unified, gives_back }
        };
        unified.map(|mount| of(mount, true)).or_else(|| old().map(|mount| of(mount, false)))
    }

    /// Where there was no group to look at, makes one for a moment.
    pub(crate) fn probe(&mut self) {
        if self.gives_back.known().is_none() {
            self.gives_back =
                try_reclaim(&self.own()).unwrap_or_else(|error| Fact::unknown(format!("no group to look at: {error}")));
        }
    }

    /// The group of this process's own.
    #[must_use]
    pub fn own(&self) -> PathBuf {
        PathBuf::from(&self.root).join(format!("nostale-{}", std::process::id()))
    }
}

/// Whether any group below `root` has the file. Who has memory handed on to it has `memory.current` in any case.
fn has_reclaim(tree: &Tree, root: &str) -> Fact<bool> {
    let mut groups = tree.names(root).unwrap_or_default().into_iter().map(|name| format!("{root}/{name}"));
    match groups.find(|group| tree.exists(&format!("{group}/memory.current"))) {
        Some(group) => Fact::Known(tree.exists(&format!("{group}/{RECLAIM}"))),
        None => Fact::unknown("there is no control group to look at"),
    }
}

fn try_reclaim(group: &PathBuf) -> io::Result<Fact<bool>> {
    fs::create_dir(group)?;
    let there = group.join(RECLAIM).try_exists();
    fs::remove_dir(group)?;
    there.map(Fact::Known)
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn the_unified_hierarchy_counts_where_it_has_memory() {
        let mounts = "cgroup /cg/memory cgroup rw,memory 0 0\ncgroup2 /cg/unified cgroup2 rw 0 0\n";
        let fake = Fake::new().file("proc/self/mounts", mounts).file("cg/unified/cgroup.subtree_control", "pids\n");
        let of = |root: &str, unified, gives_back| Some(MemoryGroups { root: root.to_owned(), unified, gives_back });
        assert_eq!(MemoryGroups::read(&fake.tree()), of("/cg/memory", false, Fact::Known(true)));
        let fake = fake.file("cg/unified/cgroup.subtree_control", "pids memory\n");
        let unknown = Fact::unknown("there is no control group to look at");
        assert_eq!(MemoryGroups::read(&fake.tree()), of("/cg/unified", true, unknown));
        // One without the controller says nothing, whatever its name.
        let fake = fake.file("cg/unified/a/cgroup.procs", "").file("cg/unified/b/memory.current", "0\n");
        assert_eq!(MemoryGroups::read(&fake.tree()), of("/cg/unified", true, Fact::Known(false)));
        let fake = fake.file("cg/unified/b/memory.reclaim", "");
        assert_eq!(MemoryGroups::read(&fake.tree()), of("/cg/unified", true, Fact::Known(true)));
        assert_eq!(MemoryGroups::read(&Fake::new().tree()), None);
    }
}
