//! Faults served by this process.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle};

pub(super) const CASES: &[Case] = &[
    Case::violation("finality_of_pages_that_faults_deliver_anew", ("uffd-missing", "anon"), Plant::StrayWrite, Oracle::Finality),
    Case::violation(
        "conservation_of_pages_that_faults_deliver_anew",
        ("uffd-missing", "anon"),
        Plant::OldCopy,
        Oracle::Conservation,
    ),
    Case::violation(
        "finality_of_shared_pages_that_faults_deliver_anew",
        ("uffd-missing", "memfd"),
        Plant::StaleTranslation,
        Oracle::Finality,
    ),
    Case::violation(
        "permission_between_an_empty_page_table_and_a_minor_fault",
        ("uffd-minor", "memfd"),
        Plant::StaleTranslation,
        Oracle::Permission,
    ),
    Case::violation(
        "permission_under_userfaultfd_write_protection",
        ("uffd-wp", "memfd"),
        Plant::StaleTranslation,
        Oracle::Permission,
    ),
    Case::violation("a_write_that_pagemap_scan_misses", ("pagemap-scan", "anon"), Plant::MissedDirty, Oracle::Permission),
    Case::violation("finality_of_pages_that_uffdio_move_took_away", ("uffd-move", "anon"), Plant::StrayWrite, Oracle::Finality),
    Case::violation(
        "freshness_of_values_that_uffdio_move_brings_home",
        ("uffd-move", "anon"),
        Plant::UnwrittenValue,
        Oracle::Freshness,
    ),
];
