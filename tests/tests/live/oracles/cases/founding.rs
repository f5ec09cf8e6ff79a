//! Each oracle, on the operations that it was made for.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle, report::Verdict};

pub(super) const CASES: &[Case] = &[
    Case::violation("conservation", ("mremap", "anon"), Plant::OldCopy, Oracle::Conservation),
    Case::violation("conservation_over_a_whole_file", ("remap", "memfd"), Plant::OldCopy, Oracle::Conservation),
    Case::violation("finality", ("remap", "memfd"), Plant::StaleTranslation, Oracle::Finality),
    Case::violation("finality_of_pages_moved_away", ("mremap", "memfd"), Plant::StaleTranslation, Oracle::Finality),
    Case::violation("third_thread", ("remap-file-pages", "memfd"), Plant::StillRunning, Oracle::ThirdThread),
    Case::violation("freshness_of_host_values", ("mremap", "anon"), Plant::UnwrittenValue, Oracle::Freshness),
    Case::violation("freshness_of_generations", ("remap", "memfd"), Plant::StaleTranslation, Oracle::Freshness),
    Case::violation("permission", ("protect", "memfd"), Plant::StaleTranslation, Oracle::Permission),
    Case {
        name: "progress",
        operation: "protect",
        backing: "anon",
        plant: Plant::HeldVcpu,
        verdict: Verdict::Stuck,
        oracle: None,
        reason: "vCPU 0",
    },
    Case {
        name: "kernel",
        operation: "protect",
        backing: "anon",
        plant: Plant::KernelMessage,
        verdict: Verdict::Violation,
        oracle: Some(Oracle::Kernel),
        reason: "BUG: nostale planted",
    },
    Case {
        name: "vacuity",
        operation: "collapse",
        backing: "anon-thp",
        plant: Plant::Ring0,
        verdict: Verdict::Vacuous,
        oracle: None,
        reason: "secondary MMU",
    },
    Case::violation("finality_of_private_pages_moved_away", ("mremap", "anon"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("finality_of_private_pages_left_behind", ("mremap-dontunmap", "anon"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("finality_of_a_forked_childs_pages", ("fork", "anon"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("finality_of_discarded_pages_in_a_pipe", ("discard", "anon"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("finality_where_a_destination_merges", ("mremap-merge", "anon"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("finality_of_a_part_of_a_huge_page", ("split", "anon-thp"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("conservation_under_migration", ("migrate", "memfd"), Plant::OldCopy, Oracle::Conservation),
    Case::violation("conservation_under_khugepaged", ("khugepaged", "anon-thp"), Plant::OldCopy, Oracle::Conservation),
];
