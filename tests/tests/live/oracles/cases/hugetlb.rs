//! hugetlb memory: the same rules, a whole huge page at a time.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle, report::Verdict};

const fn violation(
    name: &'static str,
    operation: &'static str,
    backing: &'static str,
    plant: Plant,
    oracle: Oracle,
    reason: &'static str,
) -> Case {
    Case { name, operation, backing, plant, verdict: Verdict::Violation, oracle: Some(oracle), reason }
}

pub(super) const CASES: &[Case] = &[
    violation("hugetlb_moved", "mremap", "hugetlb-2m", Plant::StrayWrite, Oracle::Finality, "finality"),
    violation("hugetlb_exchanged", "remap", "hugetlb-2m-shared", Plant::StaleTranslation, Oracle::Finality, "finality"),
    violation(
        "hugetlb_seen_by_a_third_thread",
        "remap",
        "hugetlb-2m-shared",
        Plant::StillRunning,
        Oracle::ThirdThread,
        "third-thread",
    ),
    violation("hugetlb_discarded", "discard", "hugetlb-2m", Plant::StrayWrite, Oracle::Finality, "finality"),
    violation("hugetlb_forked", "fork", "hugetlb-2m", Plant::StrayWrite, Oracle::Finality, "finality"),
    violation("hugetlb_protected", "protect", "hugetlb-2m-shared", Plant::StaleTranslation, Oracle::Permission, "permission"),
    violation("hugetlb_unshared", "unshare", "hugetlb-2m-shared", Plant::OldCopy, Oracle::Conservation, "conservation"),
];
