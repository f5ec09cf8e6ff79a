//! Twelve mutants of 6.12 that other testbeds were measured with.

/// A mutant, and what is expected of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The function, by its name in the source.
    pub function: &'static str,
    /// The mutants that it is in Debian's kernels, whose compiler puts some functions into others.
    pub ids: &'static [&'static str],
    /// The host operation that shall find it.
    pub operation: &'static str,
    /// The oracle that shall.
    pub oracle: &'static str,
    /// What to know about it.
    pub note: &'static str,
}

/// The twelve.
pub const REFERENCE: [Reference; 12] = [
    Reference {
        function: "wp_page_copy",
        ids: &["wp_page_copy/both", "do_wp_page/both"],
        operation: "fork",
        oracle: "freshness",
        note: "a guest that only reads keeps the page that the child has now; a guest that writes faults and is put right",
    },
    Reference {
        function: "copy_page_range",
        ids: &["copy_page_range/both"],
        operation: "fork",
        oracle: "conservation",
        note: "a guest writes on in what is the child's page, too",
    },
    Reference {
        function: "change_protection",
        ids: &["change_protection/both"],
        operation: "protect",
        oracle: "permission",
        note: "",
    },
    Reference {
        function: "move_page_tables",
        ids: &["move_page_tables/both"],
        operation: "mremap-dontunmap",
        oracle: "finality",
        note: "a page that comes back to its place makes it whole again: what was written while it was away must be looked at, or \
               another page must take its place",
    },
    Reference {
        function: "try_to_migrate_one",
        ids: &["try_to_migrate_one/both"],
        operation: "migrate",
        oracle: "conservation",
        note: "",
    },
    Reference {
        function: "try_to_unmap_one",
        ids: &["try_to_unmap_one/both"],
        operation: "pageout",
        oracle: "conservation",
        note: "a collapse of huge shmem pages gets there, too",
    },
    Reference {
        function: "collapse_huge_page",
        ids: &["collapse_huge_page/both"],
        operation: "collapse",
        oracle: "conservation",
        note: "",
    },
    Reference {
        function: "__split_huge_pmd",
        ids: &["__split_huge_pmd/both"],
        operation: "split",
        oracle: "permission",
        note: "equivalent on private memory; on shmem the huge entry is dropped and the mprotect that caused it finds nothing left to \
               protect, so a write while part of the page is read-only shows it",
    },
    Reference {
        function: "zap_page_range_single",
        ids: &["zap_page_range_single/both", "zap_vma_range_batched/both"],
        operation: "discard",
        oracle: "finality",
        note: "",
    },
    Reference { function: "unmap_vmas", ids: &["unmap_vmas/both"], operation: "remap", oracle: "finality", note: "" },
    Reference {
        function: "madvise_free_single_vma",
        ids: &["madvise_free_single_vma/both", "do_madvise/both"],
        operation: "free",
        oracle: "conservation",
        note: "equivalent before 6.13; since then it needs reclaim after the guest's writes",
    },
    Reference {
        function: "kvm_unmap_gfn_range",
        ids: &["kvm/range-empty"],
        operation: "fork",
        oracle: "conservation",
        note: "any operation that replaces pages shows it",
    },
];
