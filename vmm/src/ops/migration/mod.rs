//! The guest itself goes elsewhere, and comes back.

mod live_migrate;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] =
    &[&live_migrate::EITHER, &live_migrate::LOG, &live_migrate::RINGS, &live_migrate::POST];
