//! The front end of the step language: text to tree and back.

mod diagnostics;
mod parses;
mod robust;
