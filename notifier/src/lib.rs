//! The notifier layer: the vocabulary of a primary MMU (the host's page tables) and the secondary MMUs that mirror it.
//!
//! Nothing in this crate needs KVM or root.

pub mod addr;
pub mod event;

pub use addr::{Gpa, Hva, HvaRange, Pfn};
