//! Memory taken from a guest that goes on using it: swapped out, dropped, merged, its block taken offline.

mod free;
mod group;
mod ksm;
mod offline;
mod pageout;
mod unmapped;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] =
    &[&pageout::OPERATION, &group::OPERATION, &unmapped::OPERATION, &free::OPERATION, &ksm::OPERATION, &offline::OPERATION];
