//! Control groups for memory: where a run could make one of its own, to have its memory reclaimed.

use super::tree::Tree;
use serde::Serialize;
use std::path::PathBuf;

/// Where a group for memory can be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryGroups {
    /// The directory below which groups are made.
    pub root: String,
    /// Version 2, with `memory.reclaim`; otherwise version 1, with `memory.force_empty`.
    pub unified: bool,
}

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
        let of = |(place, _, _): &(String, String, String), unified| Self { root: place.clone(), unified };
        unified.map(|mount| of(mount, true)).or_else(|| old().map(|mount| of(mount, false)))
    }

    /// The group of this process's own.
    #[must_use]
    pub fn own(&self) -> PathBuf {
        PathBuf::from(&self.root).join(format!("nostale-{}", std::process::id()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn the_unified_hierarchy_counts_where_it_has_memory() {
        let mounts = "cgroup /cg/memory cgroup rw,memory 0 0\ncgroup2 /cg/unified cgroup2 rw 0 0\n";
        let fake = Fake::new().file("proc/self/mounts", mounts).file("cg/unified/cgroup.subtree_control", "pids\n");
        assert_eq!(MemoryGroups::read(&fake.tree()), Some(MemoryGroups { root: "/cg/memory".to_owned(), unified: false }));
        let fake = fake.file("cg/unified/cgroup.subtree_control", "pids memory\n");
        assert_eq!(MemoryGroups::read(&fake.tree()), Some(MemoryGroups { root: "/cg/unified".to_owned(), unified: true }));
        assert_eq!(MemoryGroups::read(&Fake::new().tree()), None);
    }
}
