//! Guests that come back with less than they had.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle};

/// These cases.
pub(super) const CASES: &[Case] = &[
    Case::violation(
        "conservation_of_a_guest_migrated_by_dirty_log",
        ("live-migrate-log", "anon"),
        Plant::MissedDirty,
        Oracle::Conservation,
    ),
    Case::violation(
        "conservation_of_a_guest_migrated_by_dirty_ring",
        ("live-migrate-ring", "anon"),
        Plant::MissedDirty,
        Oracle::Conservation,
    ),
    Case::violation(
        "conservation_of_a_guest_migrated_by_post_copy",
        ("live-migrate-post", "memfd"),
        Plant::MissedDirty,
        Oracle::Conservation,
    ),
];
