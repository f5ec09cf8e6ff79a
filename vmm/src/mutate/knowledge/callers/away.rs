//! Functions that take pages away.

use crate::mutate::knowledge::{Caller, Reach};

pub(super) const CALLERS: &[Caller] = &[
    Caller {
        functions: &["zap_page_range_single", "zap_page_range_single_batched", "zap_vma_range", "zap_vma_range_batched"],
        what: "MADV_DONTNEED, truncation of and holes punched into files",
        reach: Reach::Operations(&["discard", "truncate", "uffd-minor"]),
        oracles: &["finality", "third thread", "freshness"],
        source: "mm/memory.c",
    },
    Caller {
        // Gone since 6.3; the stable kernels of 6.1 have MADV_DONTNEED moved away from it, too.
        functions: &["zap_page_range"],
        what: "pages of a socket that were lent to a process are taken back; the vDSO changes its time namespace",
        reach: Reach::Never("neither a socket's pages nor the vDSO can be guest memory that a writer works on"),
        oracles: &["finality"],
        source: "mm/memory.c; its callers: net/ipv4/tcp.c, arch/x86/entry/vdso/vma.c",
    },
    Caller {
        functions: &["unmap_vmas"],
        what: "munmap, mmap(MAP_FIXED) and remap_file_pages over pages in use, and the exit of a process",
        reach: Reach::Operations(&["remap", "remap-file-pages", "mremap", "unmap", "gather"]),
        oracles: &["finality", "third thread", "freshness"],
        source: "mm/memory.c",
    },
    Caller {
        // 6.12 of Debian has it in do_madvise, which has no calls of its own.
        functions: &["madvise_free_single_vma", "do_madvise", "madvise_vma_behavior"],
        what: "MADV_FREE: pages stay until reclaim wants them, unless somebody writes them again",
        reach: Reach::Operations(&["free"]),
        oracles: &["conservation"],
        source: "mm/madvise.c",
    },
    Caller {
        functions: &["try_to_unmap_one"],
        what: "reclaim and MADV_PAGEOUT, and pages of a file that are about to be collapsed into a huge one",
        reach: Reach::Operations(&["pageout", "reclaim", "gather on file-shared"]),
        oracles: &["conservation", "finality", "kernel"],
        source: "mm/rmap.c, mm/khugepaged.c (collapse_file)",
    },
    Caller {
        functions: &["__unmap_hugepage_range", "unmap_hugepage_range"],
        // munmap and MADV_DONTNEED come by as well, inside a bracket of their callers'.
        what: "holes in and truncation of hugetlb files, and a page of which a child has a copy when the pool is empty",
        reach: Reach::Operations(&["discard on hugetlb-2m-shared", "truncate on hugetlb-2m-shared"]),
        oracles: &["finality", "third thread", "freshness"],
        source: "mm/hugetlb.c",
    },
    Caller {
        functions: &["__oom_reap_task_mm", "zap_vma_for_reaping"],
        what: "the OOM reaper, and process_mrelease(2)",
        reach: Reach::Never(
            "it takes the memory of a process that is being killed; its virtual CPUs leave the guest on the same signal, and nobody \
             of that process is left to look",
        ),
        oracles: &[],
        source: "mm/oom_kill.c",
    },
];
