//! The notifier layer: the vocabulary of a primary MMU (the host's page tables) and the secondary MMUs that mirror it, and the
//! checker of invalidate orderings: a [step language](lang), its compiled [`model`] and the [explorer](check).
//!
//! Nothing in this crate needs KVM or root.

pub mod addr;
pub mod check;
pub mod event;
pub mod export;
pub mod lang;
pub mod model;

pub use addr::{Gpa, Hva, HvaRange, Pfn};
