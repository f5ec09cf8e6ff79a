//! Faults served by this process.

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
    case("finality_of_pages_that_faults_deliver_anew", ("uffd-missing", "anon"), Plant::StrayWrite, Oracle::Finality, "finality"),
    case(
        "conservation_of_pages_that_faults_deliver_anew",
        ("uffd-missing", "anon"),
        Plant::OldCopy,
        Oracle::Conservation,
        "conservation",
    ),
    case(
        "finality_of_shared_pages_that_faults_deliver_anew",
        ("uffd-missing", "memfd"),
        Plant::StaleTranslation,
        Oracle::Finality,
        "finality",
    ),
    case(
        "permission_between_an_empty_page_table_and_a_minor_fault",
        ("uffd-minor", "memfd"),
        Plant::StaleTranslation,
        Oracle::Permission,
        "permission",
    ),
    case(
        "permission_under_userfaultfd_write_protection",
        ("uffd-wp", "memfd"),
        Plant::StaleTranslation,
        Oracle::Permission,
        "permission",
    ),
    case("a_write_that_pagemap_scan_misses", ("pagemap-scan", "anon"), Plant::MissedDirty, Oracle::Permission, "permission"),
    case("finality_of_pages_that_uffdio_move_took_away", ("uffd-move", "anon"), Plant::StrayWrite, Oracle::Finality, "finality"),
    case(
        "freshness_of_values_that_uffdio_move_brings_home",
        ("uffd-move", "anon"),
        Plant::UnwrittenValue,
        Oracle::Freshness,
        "freshness",
    ),
];
