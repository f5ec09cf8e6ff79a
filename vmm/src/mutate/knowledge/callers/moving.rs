//! Functions that put another page, or none for a while, in the place of one.

use crate::mutate::knowledge::{Caller, Reach};

pub(super) const CALLERS: &[Caller] = &[
    Caller {
        // do_wp_page has it in 6.12 and 7.2; there are no other calls in it.
        functions: &["wp_page_copy", "do_wp_page"],
        what: "copy on write: after fork, after a KSM merge, of a private file page",
        reach: Reach::Operations(&["fork", "ksm"]),
        oracles: &["conservation", "freshness", "third thread"],
        source: "mm/memory.c",
    },
    Caller {
        functions: &["move_page_tables"],
        what: "mremap",
        reach: Reach::Operations(&["mremap-dontunmap", "mremap", "mremap-merge", "mremap-grow"]),
        oracles: &["finality", "third thread", "freshness"],
        source: "mm/mremap.c",
    },
    Caller {
        functions: &["move_hugetlb_page_tables"],
        what: "mremap on hugetlbfs",
        reach: Reach::Operations(&["mremap on hugetlb-2m"]),
        oracles: &["finality", "third thread", "freshness"],
        source: "mm/hugetlb.c",
    },
    Caller {
        functions: &["hugetlb_wp"],
        what: "copy on write of private hugetlb pages",
        reach: Reach::Operations(&["fork on hugetlb-2m"]),
        oracles: &["conservation", "freshness"],
        source: "mm/hugetlb.c",
    },
    Caller {
        functions: &["try_to_migrate_one"],
        what: "page migration (move_pages, compaction, memory offlining), and freezing a huge page to split it",
        reach: Reach::Operations(&["migrate", "offline"]),
        oracles: &["conservation", "finality", "kernel"],
        source: "mm/rmap.c",
    },
    Caller {
        functions: &["try_to_merge_one_page", "replace_page"],
        what: "KSM puts the common page in the place of an equal one",
        reach: Reach::Operations(&["ksm"]),
        oracles: &["conservation", "finality"],
        source: "mm/ksm.c",
    },
    Caller {
        // userfaultfd's move_pages() has it in 6.12.
        functions: &["move_pages_pte", "move_pages_ptes", "move_pages", "move_pages_huge_pmd"],
        what: "UFFDIO_MOVE",
        reach: Reach::Operations(&["uffd-move"]),
        oracles: &["finality", "third thread", "freshness"],
        source: "mm/userfaultfd.c, mm/huge_memory.c",
    },
    Caller {
        functions: &["__replace_page", "uprobe_write"],
        what: "a uprobe's breakpoint, written into a private copy of a page of a file",
        reach: Reach::Never(
            "uprobes take only mappings that are not writable (valid_vma()), and guest memory that a writer works on is",
        ),
        oracles: &["freshness"],
        source: "kernel/events/uprobes.c",
    },
];
