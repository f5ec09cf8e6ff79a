//! *Not vacuous*: a run in which the guest never used the secondary MMU, or no invalidation ever hit it, proves nothing.

use crate::machine::Sample;

/// Why a run proves nothing, if so. `unplugs` says whether its operations take memslots away, for which KVM may drop its page
/// tables as a whole (`kvm_mmu_zap_all_fast`) and counts no flush: then the guest must have faulted its pages in again each time.
#[must_use]
pub fn judge(delta: &Sample, visits: u64, operations: u64, unplugs: bool) -> Option<String> {
    if visits == 0 {
        return Some("the guest visited no page".to_owned());
    }
    if operations == 0 {
        return Some("no host operation completed".to_owned());
    }
    // Every hypercall and every access to a page that is away may cost a few; a guest that is interpreted costs dozens a visit.
    if delta.insn_emulation > visits / 4 + 4096 {
        return Some(format!(
            "the guest was interpreted and made no use of the secondary MMU: {} instructions emulated in {visits} visits",
            delta.insn_emulation
        ));
    }
    if delta.installs() == 0 {
        return Some("no translation was installed in the secondary MMU (pf_fixed did not move)".to_owned());
    }
    let again = unplugs && delta.installs() >= operations;
    if delta.sptes() == 0 && delta.invalidations() == 0 && !again {
        return Some("the secondary MMU held no translation (pages_4k, pages_2m and pages_1g are 0)".to_owned());
    }
    if delta.invalidations() == 0 && !again {
        return Some("no invalidation hit the secondary MMU (remote_tlb_flush_requests did not move)".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Sample = Sample {
        pages_4k: 100,
        pages_2m: 0,
        pages_1g: 0,
        remote_tlb_flush_requests: 50,
        remote_tlb_flush: 40,
        mmu_shadow_zapped: 0,
        pf_fixed: 150,
        pf_taken: 160,
        pf_spurious: 10,
        pf_fast: 0,
        exits: 500,
        insn_emulation: 10,
    };

    #[test]
    fn each_sign_of_a_vacuous_run_is_enough() {
        assert_eq!(judge(&GOOD, 1_000_000, 10, false), None);
        let unflushed = Sample { remote_tlb_flush_requests: 0, remote_tlb_flush: 0, ..GOOD };
        assert_eq!(judge(&unflushed, 1_000_000, 10, true), None, "tables went as a whole, and 150 faults made new ones");
        assert!(judge(&unflushed, 1_000_000, 151, true).is_some());
        for (sample, visits, operations, reason) in [
            (GOOD, 0, 10, "visited no page"),
            (GOOD, 1_000_000, 0, "no host operation"),
            (Sample { insn_emulation: 5_000_000, ..GOOD }, 1_000_000, 10, "interpreted"),
            (Sample { pf_fixed: 0, ..GOOD }, 1_000_000, 10, "pf_fixed"),
            (Sample { remote_tlb_flush_requests: 0, remote_tlb_flush: 0, ..GOOD }, 1_000_000, 10, "no invalidation"),
        ] {
            let judged = judge(&sample, visits, operations, false).expect("vacuous");
            assert!(judged.contains(reason), "{judged}");
        }
    }
}
