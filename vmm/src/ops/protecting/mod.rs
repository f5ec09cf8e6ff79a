//! Pages stay where they are, and writing to them is taken away.

mod fork;
mod protect;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] = &[&fork::OPERATION, &protect::OPERATION];
