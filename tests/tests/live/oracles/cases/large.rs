//! Memory in folios of more than one page.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle, report::Verdict};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "finality_of_parts_of_a_folio_moved_away",
        operation: "mremap",
        backing: "anon-mthp",
        plant: Plant::StrayWrite,
        verdict: Verdict::Violation,
        oracle: Some(Oracle::Finality),
        reason: "finality",
    },
    Case {
        name: "conservation_in_folios_that_are_collapsed",
        operation: "collapse",
        backing: "anon-mthp",
        plant: Plant::OldCopy,
        verdict: Verdict::Violation,
        oracle: Some(Oracle::Conservation),
        reason: "conservation",
    },
];
