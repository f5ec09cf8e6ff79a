//! VMAs that change their shape.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle};

pub(super) const CASES: &[Case] = &[
    Case::violation(
        "finality_of_pages_before_a_mapping_that_grows",
        ("mremap-grow", "anon"),
        Plant::StrayWrite,
        Oracle::Finality,
    ),
    Case::violation(
        "permission_where_a_mapping_is_about_to_grow",
        ("mremap-grow", "memfd"),
        Plant::StaleTranslation,
        Oracle::Permission,
    ),
    Case::violation(
        "permission_behind_a_boundary_that_walks",
        ("vma-adjust", "memfd"),
        Plant::StaleTranslation,
        Oracle::Permission,
    ),
    Case::violation("conservation_under_boundaries_that_walk", ("vma-adjust", "anon"), Plant::OldCopy, Oracle::Conservation),
    Case::violation("conservation_under_storms_of_exits", ("gather", "anon"), Plant::OldCopy, Oracle::Conservation),
    Case::violation("freshness_under_storms_of_exits", ("gather", "memfd"), Plant::UnwrittenValue, Oracle::Freshness),
];
