//! The notifier layer: the vocabulary of a primary MMU (the host's page tables) and the secondary MMUs that mirror it, and the
//! checker of invalidate orderings: a [step language](lang), its [compiler](compile), the compiled [`model`] and the
//! [explorer](check).
//!
//! Nothing in this crate needs KVM or root.

pub mod addr;
pub mod check;
pub mod compile;
pub mod event;
pub mod export;
pub mod lang;
pub mod model;
pub mod near;

pub use addr::{Gpa, Hva, HvaRange, Pfn};
