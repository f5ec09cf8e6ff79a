//! The notifier layer: the vocabulary of a primary MMU (the host's page tables) and the secondary MMUs that mirror it, and the
//! checker of invalidate orderings: a [step language](lang), its [compiler](compile), the compiled [`model`] and the
//! [explorer](check). A [litmus test](litmus) is a model whose final states are counted: as the explorer finds them, and as real
//! threads come to them in real memory. What a kernel really did is [recorded](trace) and held against the rules.
//!
//! Nothing in this crate needs KVM, and only recording needs root.

pub mod addr;
pub mod chain;
pub mod check;
pub mod compile;
pub mod event;
pub mod export;
pub mod lang;
pub mod litmus;
pub mod model;
pub mod near;
pub mod stats;
pub mod trace;

pub use addr::{Gpa, Hva, HvaRange, Pfn};
