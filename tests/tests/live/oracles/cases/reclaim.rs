//! Pages taken from guests, cleaned, or replaced by none for a while.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle};

pub(super) const CASES: &[Case] = &[
    Case::violation("conservation_of_swapped_pages", ("pageout", "anon"), Plant::OldCopy, Oracle::Conservation),
    Case::violation("conservation_of_reclaimed_pages", ("reclaim", "anon"), Plant::OldCopy, Oracle::Conservation),
    Case::violation(
        "conservation_of_pages_reclaimed_unmapped",
        ("reclaim-unmapped", "memfd-thp"),
        Plant::OldCopy,
        Oracle::Conservation,
    ),
    Case::violation("writes_after_madv_free_stay", ("free", "anon"), Plant::OldCopy, Oracle::Conservation),
    Case::violation("finality_of_merged_pages", ("ksm", "anon"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("conservation_of_merged_pages", ("ksm", "anon"), Plant::OldCopy, Oracle::Conservation),
    Case::violation("completeness_of_write_back", ("writeback", "file-shared"), Plant::MissedDirty, Oracle::Permission),
    Case::violation("conservation_of_written_back_pages", ("writeback", "file-shared"), Plant::OldCopy, Oracle::Conservation),
    Case::violation("completeness_of_soft_dirty_bits", ("soft-dirty", "anon"), Plant::MissedDirty, Oracle::Permission),
    Case::violation("finality_of_truncated_pages", ("truncate", "memfd"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("permission_where_nothing_is_mapped", ("unmap", "memfd"), Plant::StaleTranslation, Oracle::Permission),
    Case::violation("finality_of_unmapped_pages", ("unmap", "anon"), Plant::StrayWrite, Oracle::Finality),
];
