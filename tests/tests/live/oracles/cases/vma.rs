//! VMAs that change their shape.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle, report::Verdict};

const fn case(
    name: &'static str,
    (operation, backing): (&'static str, &'static str),
    plant: Plant,
    oracle: Oracle,
    reason: &'static str,
) -> Case {
    Case { name, operation, backing, plant, verdict: Verdict::Violation, oracle: Some(oracle), reason }
}

pub(super) const CASES: &[Case] = &[
    case(
        "finality_of_pages_before_a_mapping_that_grows",
        ("mremap-grow", "anon"),
        Plant::StrayWrite,
        Oracle::Finality,
        "finality",
    ),
    case(
        "permission_where_a_mapping_is_about_to_grow",
        ("mremap-grow", "memfd"),
        Plant::StaleTranslation,
        Oracle::Permission,
        "permission",
    ),
    case(
        "permission_behind_a_boundary_that_walks",
        ("vma-adjust", "memfd"),
        Plant::StaleTranslation,
        Oracle::Permission,
        "permission",
    ),
    case("conservation_under_boundaries_that_walk", ("vma-adjust", "anon"), Plant::OldCopy, Oracle::Conservation, "conservation"),
    case("conservation_under_storms_of_exits", ("gather", "anon"), Plant::OldCopy, Oracle::Conservation, "conservation"),
    case("freshness_under_storms_of_exits", ("gather", "memfd"), Plant::UnwrittenValue, Oracle::Freshness, "freshness"),
];
