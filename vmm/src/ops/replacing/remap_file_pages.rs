//! `remap-file-pages`: the flood of seed S2. Emulated by the kernel since 4.0 (it makes a VMA for each page), but still the call
//! that databases made "zillions of times on the same vma".

use super::replace;
use crate::memory::Backing;
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall};

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "remap-file-pages",
    summary: "the flood of seed S2: remap_file_pages(2) over pages in use, with third threads watching",
    usual: &[Backing::MEMFD],
    effect: |backing| {
        if backing.is_shared() { Effect::Exchanges } else { Effect::Inapplicable("remap_file_pages wants a shared mapping") }
    },
    needs: |facts, _| facts.need_remap_file_pages(),
    make: |_, _| Ok(Box::new(RemapFilePages)),
    not_hugetlb: Some("remap_file_pages counts in base pages, which hugetlbfs cannot map"),
    ..Operation::USUAL
};

struct RemapFilePages;

impl HostOperation for RemapFilePages {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        replace::perform(bed, rng, |place, frame| syscall::remap_file_pages(place, u64::from(frame.0)))
    }
}
