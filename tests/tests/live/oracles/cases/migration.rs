//! Guests that come back with less than they had.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle, report::Verdict};

/// These cases.
pub(super) const CASES: &[Case] = &[
    Case {
        name: "conservation_of_a_guest_migrated_by_dirty_log",
        operation: "live-migrate-log",
        backing: "anon",
        plant: Plant::MissedDirty,
        verdict: Verdict::Violation,
        oracle: Some(Oracle::Conservation),
        reason: "conservation",
    },
    Case {
        name: "conservation_of_a_guest_migrated_by_dirty_ring",
        operation: "live-migrate-ring",
        backing: "anon",
        plant: Plant::MissedDirty,
        verdict: Verdict::Violation,
        oracle: Some(Oracle::Conservation),
        reason: "conservation",
    },
    Case {
        name: "conservation_of_a_guest_migrated_by_post_copy",
        operation: "live-migrate-post",
        backing: "memfd",
        plant: Plant::MissedDirty,
        verdict: Verdict::Violation,
        oracle: Some(Oracle::Conservation),
        reason: "conservation",
    },
];
