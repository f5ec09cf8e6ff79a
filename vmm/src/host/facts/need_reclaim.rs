//! What it needs to take memory from guests: somewhere for pages to go, and somebody who is made to give.

use super::{Facts, Need};

impl Facts {
    /// Swap with room in it, or something that a run can make swap of.
    pub fn need_swap(&self) -> Result<(), Need> {
        if self.swap.free_bytes() > 0 || self.can_set_up_swap() {
            return Ok(());
        }
        if self.swap.area().is_some() {
            return Err(self.need_root("swap"));
        }
        let file = "dd if=/dev/zero of=/swapfile bs=1M count=1024 && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile";
        let zram = |name: &str| format!("echo 1G > /sys/block/{name}/disksize && mkswap /dev/{name} && swapon /dev/{name}");
        let hint = match &self.swap.idle_zram {
            _ if self.swap.areas.known().is_none() => "boot a kernel with CONFIG_SWAP=y".to_owned(),
            Some(name) => zram(name),
            None if self.kernel.modules => format!("modprobe zram && {}", zram("zram0")),
            None => file.to_owned(),
        };
        let full = self.swap.areas.known().is_some_and(|areas| !areas.is_empty());
        Err(Need::new(if full { "free swap (all of it is in use)" } else { "swap" }, hint))
    }

    /// Whether a run can set swap up for as long as it takes.
    pub fn can_set_up_swap(&self) -> bool {
        self.swap.area().is_some() && self.privilege.is_root()
    }

    /// A disk that files are written back to: the one that they are on, if so, or a zram device that a run can set up.
    pub fn need_disk(&self, on_disk: bool) -> Result<(), Need> {
        let what = "a disk that files are written back to";
        match &self.swap.idle_zram {
            _ if on_disk => Ok(()),
            Some(_) if self.privilege.is_root() => Ok(()),
            Some(_) => Err(self.need_root(what)),
            None if self.kernel.modules => Err(Need::new(what, "modprobe zram, or name a directory on a disk: --file-dir DIR")),
            None => Err(Need::new(what, "name a directory on a disk: --file-dir DIR")),
        }
    }

    /// A control group of our own, whose memory can be reclaimed.
    pub fn need_memory_group(&self) -> Result<(), Need> {
        match &self.memory_groups {
            Some(groups) if groups.gives_back.is(&false) => Err(Need::memory_reclaim()),
            Some(_) if self.privilege.is_root() => Ok(()),
            Some(_) => Err(self.need_root("a memory control group of its own")),
            None => {
                let hint = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && echo +memory > /sys/fs/cgroup/cgroup.subtree_control";
                Err(Need::new("a hierarchy of memory control groups", hint))
            }
        }
    }

    /// The same, of version 2: where the kernel is told how much is to be reclaimed.
    pub fn need_unified_memory_group(&self) -> Result<(), Need> {
        self.need_memory_group()?;
        match &self.memory_groups {
            Some(groups) if !groups.unified => {
                Err(Need::new("memory control groups of version 2", "boot with cgroup_no_v1=memory, and mount cgroup2"))
            }
            _ => Ok(()),
        }
    }

    /// Blocks of memory that can be taken offline.
    pub fn need_memory_blocks(&self) -> Result<(), Need> {
        match &self.memory.block_bytes {
            Some(_) if self.privilege.is_root() => Ok(()),
            Some(_) => Err(self.need_root("taking memory offline")),
            None => Err(Need::new("memory that can be taken offline", "boot a kernel with CONFIG_MEMORY_HOTREMOVE=y")),
        }
    }
}
