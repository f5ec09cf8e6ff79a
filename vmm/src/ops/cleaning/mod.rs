//! Pages made clean, so that the next write to each of them is noticed.

mod direct;
mod soft_dirty;
mod writeback;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] = &[&writeback::OPERATION, &soft_dirty::OPERATION];
