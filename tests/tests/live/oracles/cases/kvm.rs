//! KVM's own side: memslots and logs.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle};

pub(super) const CASES: &[Case] = &[
    Case::violation("a_write_that_the_dirty_log_missed", ("dirty-log", "anon"), Plant::MissedDirty, Oracle::Permission),
    Case::violation("a_write_that_the_dirty_ring_missed", ("dirty-ring", "anon"), Plant::MissedDirty, Oracle::Permission),
    Case::violation("a_write_to_a_read_only_memslot", ("memslot-readonly", "memfd"), Plant::StaleTranslation, Oracle::Permission),
    Case::violation(
        "a_write_where_a_memslot_was_before_it_moved",
        ("memslot-move", "memfd"),
        Plant::StaleTranslation,
        Oracle::Permission,
    ),
    Case::violation(
        "a_write_to_the_memory_of_a_deleted_memslot",
        ("memslot-delete", "memfd"),
        Plant::StaleTranslation,
        Oracle::Freshness,
    ),
    Case::violation(
        "finality_of_memory_that_stood_in_for_a_memslots_own",
        ("memslot-delete", "anon"),
        Plant::StrayWrite,
        Oracle::Finality,
    ),
    Case::violation("finality_of_pages_of_a_guest_memfd", ("guest-memfd", "anon"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("freshness_of_pages_of_a_guest_memfd", ("guest-memfd", "memfd"), Plant::StaleTranslation, Oracle::Freshness),
    Case::violation("finality_of_pages_that_are_pre_faulted", ("pre-fault", "anon"), Plant::StrayWrite, Oracle::Finality),
];
