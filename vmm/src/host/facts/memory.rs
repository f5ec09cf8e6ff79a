//! Memory: how much, in which pages, and the limits on mappings.

use std::fs::OpenOptions;

use crate::errno;
use serde::Serialize;

use super::attempt::Attempt;
use super::fact::Fact;
use super::tree::Tree;

const BLOCK: &str = "sys/devices/system/memory/block_size_bytes";

/// The memory of the host.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// All of it.
    pub total_bytes: Fact<u64>,
    /// What new work can have without swapping.
    pub available_bytes: Fact<u64>,
    /// The base page.
    pub page_bytes: u64,
    /// `vm.max_map_count`: mappings a process may have. Operations that punch holes and protect pages split VMAs.
    pub max_map_count: Fact<u64>,
    /// `vm.overcommit_memory`: 0 heuristic, 1 always, 2 never.
    pub overcommit_memory: Fact<u64>,
    /// Whether this process may start compaction. The file opens and nothing is written: opening starts nothing.
    pub compaction: Attempt,
    /// The size of a block of memory that can be taken offline as a whole, where the kernel has such blocks.
    pub block_bytes: Option<u64>,
}

impl Memory {
    pub(crate) fn read(tree: &Tree) -> Self {
        let meminfo = |key: &'static str| {
            tree.parse("proc/meminfo", key, |text| {
                let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
                line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
            })
        };
        Self {
            total_bytes: meminfo("MemTotal").into(),
            available_bytes: meminfo("MemAvailable").into(),
            page_bytes: page_bytes(),
            max_map_count: tree.number("proc/sys/vm/max_map_count").into(),
            overcommit_memory: tree.number("proc/sys/vm/overcommit_memory").into(),
            compaction: writable(tree, "proc/sys/vm/compact_memory"),
            block_bytes: tree.parse(BLOCK, "a hexadecimal number", |text| u64::from_str_radix(text, 16).ok()).ok(),
        }
    }
}

/// What new work can have without swapping, at this moment.
pub(crate) fn available_bytes() -> Option<u64> {
    Memory::read(&Tree::new("/")).available_bytes.known().copied()
}

/// The size of a base page. POSIX lets `sysconf` fail for this name, Linux never does; 4 KiB is what x86 has.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: sysconf takes no pointers.
    let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(answer).unwrap_or(4096)
}

fn writable(tree: &Tree, file: &str) -> Attempt {
    let opened = OpenOptions::new().write(true).open(tree.path(file));
    Attempt::of(&format!("/{file}"), opened.map_err(errno::of))
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn units() {
        let fake = Fake::new()
            .file("proc/meminfo", "MemTotal:       16 kB\nMemAvailable2: 3 kB\nMemAvailable:    8 kB\n")
            .file("proc/sys/vm/compact_memory", "");
        let memory = Memory::read(&fake.tree());
        assert!(memory.total_bytes.is(&16384) && memory.available_bytes.is(&8192));
        assert!(memory.compaction.works());
        assert!(memory.page_bytes.is_power_of_two());
    }

    #[test]
    fn garbage() {
        for text in ["", "MemTotal", "MemTotal:", "MemTotal: kB", "MemTotal: 99999999999999999999 kB", "MemTotal: -1 kB"] {
            let memory = Memory::read(&Fake::new().file("proc/meminfo", text).tree());
            assert!(memory.total_bytes.known().is_none(), "{text:?}");
            assert_eq!(memory.compaction.errno(), Some(Errno::ENOENT));
        }
        let memory = Memory::read(&Fake::new().file("proc/meminfo", format!("MemTotal: {} kB", u64::MAX)).tree());
        assert!(memory.total_bytes.known().is_none());
    }
}
