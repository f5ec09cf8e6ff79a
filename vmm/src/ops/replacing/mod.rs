//! Other pages, or none, in the place of those that were there.

mod discard;
mod remap;
mod remap_file_pages;
mod replace;

pub(super) use discard::PagePipe;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] = &[&remap::OPERATION, &remap_file_pages::OPERATION, &discard::OPERATION];
