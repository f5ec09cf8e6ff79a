//! `remap`: `mmap(MAP_FIXED)` of another offset of the same file, over pages in use.

use super::replace;
use crate::memory::Backing;
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall};
use nostale_notifier::addr::PAGE_SIZE;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "remap",
    summary: "map another page of the same file over a page in use (mmap MAP_FIXED)",
    usual: &[Backing::MEMFD],
    more: &[Backing::FILE_SHARED, Backing::HUGETLB_2M_SHARED],
    effect: |backing| {
        if backing.is_shared() { Effect::Exchanges } else { Effect::Inapplicable("private memory has no other page to map") }
    },
    make: |_, _| Ok(Box::new(Remap)),
    not_hugetlb: None,
    ..Operation::USUAL
};

struct Remap;

impl HostOperation for Remap {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let fd = bed.arena.file_fd();
        replace::perform(bed, rng, |place, frame| {
            syscall::map_file(place, fd, u64::from(frame.0) * PAGE_SIZE, libc::PROT_READ | libc::PROT_WRITE)
        })
    }
}
