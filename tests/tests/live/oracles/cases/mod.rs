//! Planted faults and what they must come to, family by family.

mod founding;
mod hugetlb;
mod kvm;
mod large;
mod migration;
mod reclaim;
mod userfault;
mod vma;

use nostale_vmm::{live::Plant, oracle::Oracle, report::Verdict};

/// One planted fault.
pub(crate) struct Case {
    /// Of the test.
    pub(crate) name: &'static str,
    /// Operations, as `--ops` takes them.
    pub(crate) operation: &'static str,
    /// As `--backing` takes it.
    pub(crate) backing: &'static str,
    /// The planted fault.
    pub(crate) plant: Plant,
    /// What it must come to.
    pub(crate) verdict: Verdict,
    /// The oracle that must be named; `None` where the verdict itself says it.
    pub(crate) oracle: Option<Oracle>,
    /// What the reason must mention.
    pub(crate) reason: &'static str,
}

impl Case {
    /// A fault that `oracle` finds, and nobody has to look far for: the reason names the oracle.
    const fn violation(name: &'static str, place: (&'static str, &'static str), plant: Plant, oracle: Oracle) -> Self {
        let (operation, backing) = place;
        Self { name, operation, backing, plant, verdict: Verdict::Violation, oracle: Some(oracle), reason: oracle.name() }
    }
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    let families = [
        founding::CASES,
        hugetlb::CASES,
        kvm::CASES,
        large::CASES,
        migration::CASES,
        reclaim::CASES,
        userfault::CASES,
        vma::CASES,
    ];
    families.into_iter().flatten()
}
