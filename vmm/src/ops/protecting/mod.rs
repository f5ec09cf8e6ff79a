//! Pages stay where they are, and writing to them is taken away.

mod fork;
pub(in crate::ops) mod look_twice;
mod protect;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] = &[&fork::OPERATION, &protect::OPERATION];
