//! Memory in folios of more than one page.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle};

pub(super) const CASES: &[Case] = &[
    Case::violation("finality_of_parts_of_a_folio_moved_away", ("mremap", "anon-mthp"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("conservation_in_folios_that_are_collapsed", ("collapse", "anon-mthp"), Plant::OldCopy, Oracle::Conservation),
];
