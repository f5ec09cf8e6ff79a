//! Other pages, or none, in the place of those that were there.

mod discard;
pub(in crate::ops) mod pipe;
mod remap;
mod remap_file_pages;
mod replace;
mod thrown;
mod truncate;
mod unmap;

use super::Operation;

/// These operations.
pub(super) static OPERATIONS: &[&Operation] =
    &[&remap::OPERATION, &remap_file_pages::OPERATION, &discard::OPERATION, &truncate::OPERATION, &unmap::OPERATION];
