//! `collapse`: base pages are copied into one huge page (`MADV_COLLAPSE`), new pfns with the same contents.

use crate::memory::Backing;
use crate::ops::{Bed, Done, HostOperation, Operation, OperationError, Rng, huge};
use nostale_notifier::event::Stage;
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "collapse",
    summary: "MADV_COLLAPSE: copy base pages into a huge page, after cutting the last one up",
    usual: &[Backing::ANON_THP, Backing::MEMFD_THP],
    more: &[Backing::ANON_MTHP],
    effect: huge::huge_only,
    needs: |facts, _| facts.need_collapse(),
    make: |_, _| Ok(Box::new(Collapse)),
    not_hugetlb: Some("hugetlb pages are never cut up"),
    ..Operation::USUAL
};

struct Collapse;

impl HostOperation for Collapse {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let Some(claim) = bed.pick_pmd(rng) else { return Ok(Done::Busy) };
        // Of a huge page that is whole only the mapping has to be put together again; of one that is not, a new one is made.
        if rng.random_bool(0.5) {
            huge::take_apart(claim.range(), rng)?;
            bed.dwell(rng);
        } else {
            huge::cut_up(claim.range(), rng)?;
        }
        bed.note(Stage::OperationStart, claim.range(), 0);
        let collapsed = huge::collapse(claim.range())?;
        bed.note(Stage::Returned, claim.range(), 0);
        Ok(if collapsed { Done::Pages(claim.range().pages()) } else { Done::Busy })
    }
}
