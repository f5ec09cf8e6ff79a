//! Faults of the guest served by this process (userfaultfd), and page tables that only its requests change.
//!
//! Each operation has one descriptor and one thread that serves it ([`server`]). It registers no more than the pages that it has
//! claimed, and for no longer than it has them, so that whatever else is at work on the arena never waits for it.

mod minor;
mod missing;
mod move_pages;
mod pagemap_scan;
mod server;
mod write_protect;

use super::{Effect, Operation};
use crate::memory::{Backing, BackingKind};

/// These operations.
pub(super) static OPERATIONS: &[&Operation] =
    &[&missing::OPERATION, &minor::OPERATION, &write_protect::OPERATION, &pagemap_scan::OPERATION, &move_pages::OPERATION];

/// mm/userfaultfd.c, vma_can_userfault.
const NO_FILES: Effect = Effect::Inapplicable("userfaultfd serves anonymous memory, shmem and hugetlbfs, and no other files");

/// `effect` where userfaultfd serves faults at all.
const fn served(backing: Backing, effect: Effect) -> Effect {
    match backing.kind {
        BackingKind::Anon | BackingKind::Memfd => effect,
        BackingKind::FileShared | BackingKind::FilePrivate => NO_FILES,
    }
}
