//! Functions that take write access away and leave the page.

use crate::mutate::knowledge::{Caller, Reach};

pub(super) const CALLERS: &[Caller] = &[
    Caller {
        functions: &["copy_page_range"],
        what: "fork: the parent's pages become read-only, since they are the child's now, too",
        reach: Reach::Operations(&["fork"]),
        oracles: &["conservation"],
        source: "mm/memory.c",
    },
    Caller {
        functions: &["copy_hugetlb_page_range"],
        what: "the same for private hugetlb pages",
        reach: Reach::Operations(&["fork on hugetlb-2m"]),
        oracles: &["conservation"],
        source: "mm/hugetlb.c",
    },
    Caller {
        functions: &["change_protection", "change_pmd_range", "change_protection_range"],
        // NUMA balancing comes here of its own accord, by the same bracket; `mutate` turns it off, so that what is measured is
        // the operations' doing.
        what: "mprotect, userfaultfd write-protection, NUMA balancing",
        reach: Reach::Operations(&["protect", "uffd-wp"]),
        oracles: &["permission"],
        source: "mm/mprotect.c",
    },
    Caller {
        functions: &["hugetlb_change_protection"],
        what: "the same on hugetlbfs",
        reach: Reach::Operations(&["protect on hugetlb-2m-shared"]),
        oracles: &["permission"],
        source: "mm/hugetlb.c",
    },
    Caller {
        functions: &["write_protect_page"],
        what: "KSM write-protects a page before it compares it for the last time",
        reach: Reach::Operations(&["ksm"]),
        oracles: &["conservation"],
        source: "mm/ksm.c",
    },
    Caller {
        functions: &["page_vma_mkclean_one"],
        what: "write-back of a shared file mapping: a write after it must be seen",
        reach: Reach::Operations(&["writeback"]),
        oracles: &["permission"],
        source: "mm/rmap.c",
    },
    Caller {
        functions: &["clear_refs_write"],
        what: "/proc/PID/clear_refs with 4: soft-dirty tracking begins anew",
        reach: Reach::Operations(&["soft-dirty"]),
        oracles: &["permission"],
        source: "fs/proc/task_mmu.c",
    },
    Caller {
        functions: &["do_pagemap_scan"],
        what: "PAGEMAP_SCAN with PM_SCAN_WP_MATCHING: reads and write-protects in one go",
        reach: Reach::Operations(&["pagemap-scan"]),
        oracles: &["permission"],
        source: "fs/proc/task_mmu.c",
    },
    Caller {
        functions: &["wp_clean_pre_vma", "wp_clean_post_vma"],
        what: "clean_record_shared_mapping_range(): start is called by the one, end by the other",
        reach: Reach::Never("only a graphics driver (vmwgfx) records writes this way, to its own mappings"),
        oracles: &["permission"],
        source: "mm/mapping_dirty_helpers.c",
    },
];
