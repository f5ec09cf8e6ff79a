//! VMAs that change their shape under faults: grown, shrunk, cut, merged, moved while they grow, and unmapped in storms.

mod adjust;
mod gather;
mod grow;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] = &[&grow::OPERATION, &adjust::OPERATION, &gather::OPERATION];
