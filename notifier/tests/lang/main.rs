//! The front end of the step language: text to tree and back.

mod diagnostics;
mod format;
mod parses;
mod robust;

#[path = "../snapshots/mod.rs"]
mod snapshots;
