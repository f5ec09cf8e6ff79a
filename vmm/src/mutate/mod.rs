//! Every notifier call of a running kernel, and kernels in which one of them is missing.
//!
//! [`sites()`] finds the calls in the live text, [`mutants()`] makes mutants of them and of KVM's side. Nothing here changes a kernel:
//! a [`Patch`] says what to write where.

mod callee;
mod callers;
pub mod campaign;
mod code;
mod flags;
mod flow;
pub mod knowledge;
mod kvm;
mod mutant;
mod patch;
mod sites;
mod symbols;
mod text;

pub use callee::{Callee, Entry};
pub use mutant::{Change, Group, Kind, Mutant};
pub use patch::Patch;
pub use sites::{Form, Oddity, Site, Sweep, sites, sweep};
pub use symbols::{Function, Symbols, SymbolsError, base};
pub use text::{Image, Text, TextError};

/// Every mutant of a kernel: each notifier call is in at least one, then those of KVM itself.
#[must_use]
pub fn mutants(symbols: &Symbols, image: &Image, sites: &[Site]) -> Vec<Mutant> {
    let mut mutants = callers::callers(symbols, image, sites);
    mutants.extend(kvm::kvm(symbols, image));
    mutants
}
