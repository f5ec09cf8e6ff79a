//! Pages that keep their contents and go elsewhere: to another address, or to another pfn.

mod migrate;
pub(in crate::ops) mod mremap;
pub(in crate::ops) mod mremap_dontunmap;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] =
    &[&mremap::OPERATION, &mremap::MERGE, &mremap_dontunmap::OPERATION, &migrate::OPERATION];
