//! KVM's own side: what a VMM does to memslots, dirty logs and translations while vCPUs run.

mod cut;
mod dirty_log;
mod dirty_ring;
mod logged;
mod memslot_delete;
mod memslot_move;
mod memslot_readonly;
mod shut;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] = &[
    &dirty_log::OPERATION,
    &dirty_ring::OPERATION,
    &memslot_move::OPERATION,
    &memslot_delete::OPERATION,
    &memslot_readonly::OPERATION,
];
