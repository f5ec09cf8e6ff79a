//! hugetlb memory: the same rules, a whole huge page at a time.

use super::Case;
use nostale_vmm::{live::Plant, oracle::Oracle};

pub(super) const CASES: &[Case] = &[
    Case::violation("hugetlb_moved", ("mremap", "hugetlb-2m"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("hugetlb_exchanged", ("remap", "hugetlb-2m-shared"), Plant::StaleTranslation, Oracle::Finality),
    Case::violation("hugetlb_seen_by_a_third_thread", ("remap", "hugetlb-2m-shared"), Plant::StillRunning, Oracle::ThirdThread),
    Case::violation("hugetlb_discarded", ("discard", "hugetlb-2m"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("hugetlb_forked", ("fork", "hugetlb-2m"), Plant::StrayWrite, Oracle::Finality),
    Case::violation("hugetlb_protected", ("protect", "hugetlb-2m-shared"), Plant::StaleTranslation, Oracle::Permission),
    Case::violation("hugetlb_unshared", ("unshare", "hugetlb-2m-shared"), Plant::OldCopy, Oracle::Conservation),
];
