//! The rows about memory: what can move a page here, and who can see it move.

use super::rows::{Row, State, bytes};
use super::{Attempt, Facts, KsmRun, MmuKind};

impl Facts {
    pub(super) fn mmu_row(&self) -> Row {
        let Some(kind) = self.kvm.mmu.known() else {
            let reason = self.kvm.mmu.reason().unwrap_or_default();
            return Row::new("second MMU", State::Limited, format!("unknown: {reason}"));
        };
        let vendor = self.kvm.vendor.known();
        let tdp_mmu = self.kvm.tdp_mmu.known().map_or("", |on| if *on { ", tdp_mmu=Y" } else { ", tdp_mmu=N" });
        match (kind, vendor.and_then(|vendor| vendor.paging_parameter())) {
            (MmuKind::Npt | MmuKind::Ept, _) => Row::new("second MMU", State::Good, format!("{}{tdp_mmu}", kind.name())),
            (MmuKind::Shadow, Some(parameter)) => {
                let module = vendor.map_or("", |vendor| vendor.name());
                Row::new("second MMU", State::Limited, format!("shadow: {module} {parameter}=N"))
                    .hint(format!("modprobe -r {module} && modprobe {module} {parameter}=1"))
            }
            (MmuKind::Shadow, None) => Row::new("second MMU", State::Limited, "shadow: the EPT and NPT paths are not reached")
                .hint("nostale matrix --kernel NAME reaches nested NPT in emulation"),
        }
    }

    pub(super) fn memory_row(&self) -> Row {
        let memory = &self.memory;
        let size = |fact: &super::Fact<u64>| fact.known().map_or_else(|| "?".to_owned(), |count| bytes(*count));
        let text = format!(
            "{} available of {}, pages of {}, {} mappings",
            size(&memory.available_bytes),
            size(&memory.total_bytes),
            bytes(memory.page_bytes),
            memory.max_map_count.text()
        );
        // mode 2 refuses the large reservations of a VM, and of fork from one (Documentation/mm/overcommit-accounting.rst)
        if memory.overcommit_memory.is(&2) {
            return Row::new("memory", State::Limited, format!("{text}, no overcommit")).hint("sysctl vm.overcommit_memory=0");
        }
        Row::new("memory", State::Good, text)
    }

    pub(super) fn memory_groups_row(&self) -> Row {
        let text = match &self.memory_groups {
            Some(groups) if groups.unified => format!("version 2 on {}, memory.reclaim", groups.root),
            Some(groups) => format!("version 1 on {}", groups.root),
            None => String::new(),
        };
        match self.memory_groups.as_ref().and_then(|groups| groups.gives_back.reason()) {
            Some(reason) if self.need_memory_group().is_ok() => {
                Row::new("memory groups", State::Limited, format!("{text} unknown: {reason}"))
            }
            _ => Row::from_need("memory groups", self.need_memory_group(), State::Missing, text),
        }
    }

    pub(super) fn memory_blocks_row(&self) -> Row {
        let text = self.memory.block_bytes.map_or_else(String::new, |block| format!("of {}, can be taken offline", bytes(block)));
        Row::from_need("memory blocks", self.need_memory_blocks(), State::Missing, text)
    }

    pub(super) fn numa_row(&self) -> Row {
        let nodes = self.numa.memory_nodes.known().map(Vec::as_slice).unwrap_or_default();
        let text = format!("{} nodes with memory: {nodes:?}", nodes.len());
        match self.need_numa(2) {
            Ok(()) => Row::new("numa", State::Good, text),
            Err(need) => {
                let text = self.numa.memory_nodes.reason().unwrap_or("one node: move_pages has nowhere to go");
                Row::new("numa", State::Limited, text).hint(need.hint)
            }
        }
    }

    pub(super) fn thp_row(&self) -> Row {
        let thp = &self.thp;
        let pmd = thp.hpage_pmd_size_bytes.known().map_or_else(|| "?".to_owned(), |count| bytes(*count));
        // the smallest size is for shared memory only and has no switch here
        let switches: Vec<&String> = thp.sizes.iter().filter_map(|size| size.enabled.known()).collect();
        let on = switches.iter().filter(|word| word.as_str() != "never").count();
        let text = format!(
            "{pmd}, enabled={} defrag={} shmem={}, {on} of {} sizes on",
            thp.enabled.text(),
            thp.defrag.text(),
            thp.shmem_enabled.text(),
            switches.len()
        );
        match self.need_thp() {
            Ok(()) => Row::new("thp", State::Good, text),
            Err(need) if thp.enabled.known().is_some() => Row::new("thp", State::Limited, text).hint(need.hint),
            need => Row::from_need("thp", need, State::Missing, ""),
        }
    }

    pub(super) fn ksm_row(&self) -> Row {
        match (self.need_ksm(), self.ksm.run.known()) {
            (Ok(()), Some(KsmRun::Running)) => Row::new("ksm", State::Good, "merging"),
            (Ok(()), _) => Row::new("ksm", State::Good, "stopped; a run sets it to work"),
            (Err(need), Some(KsmRun::Stopped)) => Row::new("ksm", State::Limited, "stopped").hint(need.hint),
            (Err(need), Some(_)) => Row::new("ksm", State::Limited, "stopped, pages unmerged").hint(need.hint),
            (need, None) => Row::from_need("ksm", need, State::Missing, ""),
        }
    }

    pub(super) fn swap_row(&self) -> Row {
        let areas = self.swap.areas.known().map(Vec::as_slice).unwrap_or_default();
        let names: Vec<&str> = areas.iter().map(|area| area.name.as_str()).collect();
        let text = match self.swap.area() {
            Some(area) if self.swap.free_bytes() == 0 => format!("none; a run sets it up on {area}"),
            _ => format!("{} free on {}", bytes(self.swap.free_bytes()), names.join(", ")),
        };
        Row::from_need("swap", self.need_swap(), State::Missing, text)
    }

    pub(super) fn disk_row(&self) -> Row {
        let on_disk = self.swap.temporary_files_on_disk;
        let text = match &self.swap.idle_zram {
            _ if on_disk => "temporary files are written back to theirs".to_owned(),
            name => format!("none for temporary files; a run makes one of /dev/{}", name.as_deref().unwrap_or_default()),
        };
        Row::from_need("disk", self.need_disk(on_disk), State::Missing, text)
    }

    pub(super) fn hugetlb_row(&self) -> Row {
        let pools = self.hugetlb.pools.known().map(Vec::as_slice).unwrap_or_default();
        let pool_text =
            |pool: &super::Pool| format!("{} of {} free of {}", pool.usable_pages(), pool.pages.text(), bytes(pool.page_bytes));
        let text = pools.iter().map(pool_text).collect::<Vec<_>>().join(", ");
        if pools.iter().any(|pool| pool.usable_pages() > 0) {
            return Row::new("hugetlb", State::Good, text);
        }
        // the smallest pages are the ones a running system can still find
        let smallest = pools.first().map_or(2 << 20, |pool| pool.page_bytes);
        match self.need_hugetlb(smallest, 64) {
            Err(need) if !pools.is_empty() => Row::new("hugetlb", State::Limited, text).hint(need.hint),
            need => Row::from_need("hugetlb", need, State::Missing, text),
        }
    }

    pub(super) fn userfault_row(&self) -> Row {
        let userfault = &self.userfault;
        let features = userfault.features.known();
        let named = features.map_or_else(Vec::new, |features| {
            let all = [
                (features.write_protect, "wp"),
                (features.write_protect_shmem, "wp-shmem"),
                (features.write_protect_async, "wp-async"),
                (features.minor_shmem, "minor-shmem"),
                (features.r#move, "move"),
                (features.poison, "poison"),
            ];
            all.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect()
        });
        let source = if userfault.full.works() { "the system call" } else { "/dev/userfaultfd" };
        let text = format!("from {source}: missing, {}", named.join(", "));
        let lesser = if userfault.user_mode_only.works() { State::Limited } else { State::Missing };
        Row::from_need("userfaultfd", self.need_uffd(), lesser, text.trim_end_matches([' ', ',']))
    }

    pub(super) fn calls_row(&self) -> Row {
        let needs = [
            self.need_mremap_dontunmap(),
            self.need_mremap_dontunmap_shared(),
            self.need_remap_file_pages(),
            self.need_memfd(),
            self.need_vmsplice(),
            self.need_process_madvise(),
        ];
        let failed: Vec<_> = needs.iter().filter_map(|need| need.as_ref().err()).collect();
        match failed.as_slice() {
            [] => Row::new(
                "system calls",
                State::Good,
                "mremap DONTUNMAP, remap_file_pages, memfd_create, vmsplice, process_madvise",
            ),
            [first, ..] => {
                let what: Vec<&str> = failed.iter().map(|need| need.what.as_str()).collect();
                Row::new("system calls", State::Limited, format!("no {}", what.join(", no "))).hint(first.hint.clone())
            }
        }
    }

    pub(super) fn pagemap_row(&self) -> Row {
        let soft_dirty = match self.pagemap.soft_dirty {
            Attempt::Works => "soft-dirty bit",
            _ => "no soft-dirty bit",
        };
        let text = format!("frame numbers, {soft_dirty}");
        match (self.need_pagemap(), self.need_soft_dirty()) {
            (Ok(()), Err(need)) => Row::new("pagemap", State::Limited, text).hint(need.hint),
            (need, _) => Row::from_need("pagemap", need, State::Missing, text),
        }
    }
}
