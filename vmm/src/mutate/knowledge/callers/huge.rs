//! Functions that make huge pages of small ones and the other way round.

use crate::mutate::knowledge::{Caller, Reach};

pub(super) const CALLERS: &[Caller] = &[
    Caller {
        functions: &["collapse_huge_page"],
        what: "khugepaged and MADV_COLLAPSE: private pages are copied into a huge one",
        reach: Reach::Operations(&["collapse", "split", "khugepaged"]),
        oracles: &["conservation", "finality", "kernel"],
        source: "mm/khugepaged.c",
    },
    Caller {
        // In 6.1 one function for both uses.
        functions: &["collapse_and_free_pmd"],
        what: "the page table over collapsed shmem or file pages is thrown away: empty after a collapse, full of the huge page's \
               own parts when another process has collapsed it",
        reach: Reach::Operations(&["collapse", "split"]),
        oracles: &["finality"],
        source: "mm/khugepaged.c (retract_page_tables, collapse_pte_mapped_thp)",
    },
    Caller {
        functions: &["retract_page_tables"],
        what: "an empty page table over collapsed shmem or file pages is thrown away",
        reach: Reach::Operations(&["collapse", "split"]),
        oracles: &[],
        source: "mm/khugepaged.c",
    },
    Caller {
        functions: &["collapse_pte_mapped_thp", "try_collapse_pte_mapped_thp"],
        what: "a page table that maps the parts of one huge shmem or file page is replaced by one huge entry, or by none",
        reach: Reach::Operations(&["collapse", "split"]),
        oracles: &["finality"],
        source: "mm/khugepaged.c",
    },
    Caller {
        functions: &["__split_huge_pmd"],
        what: "a huge entry becomes a page table (private memory), or nothing (shmem and files): part of a huge page is unmapped, \
               protected or moved, or the page itself is split",
        reach: Reach::Operations(&[
            "reclaim-unmapped",
            "protect on memfd-thp",
            "split",
            "collapse",
            "protect",
            "mremap",
            "vma-adjust on memfd-thp",
        ]),
        oracles: &["conservation", "permission", "finality"],
        source: "mm/huge_memory.c",
    },
    Caller {
        functions: &["do_huge_pmd_wp_page"],
        what: "the first write to a huge page that was only read so far, and is the huge zero page",
        reach: Reach::Operations(&["discard on anon-thp"]),
        oracles: &["freshness"],
        source: "mm/huge_memory.c (do_huge_zero_wp_pmd)",
    },
    Caller {
        functions: &["hugetlb_unshare_pmds"],
        what: "page tables that processes share on hugetlbfs are unshared: userfaultfd registration, a VMA that is cut in two",
        reach: Reach::Operations(&["unshare"]),
        oracles: &["permission", "finality"],
        source: "mm/hugetlb.c",
    },
    Caller {
        functions: &["__split_huge_pud"],
        what: "a 1 GiB entry is dropped",
        reach: Reach::Never("only DAX makes such entries, and this machine has no persistent memory"),
        oracles: &["finality"],
        source: "mm/huge_memory.c",
    },
];
