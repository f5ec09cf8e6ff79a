//! Failures that emulation makes by itself.
//!
//! Seen on unmutated kernels in about one of 40 runs of multi-threaded TCG with nested SVM: a guest without an interrupt table takes
//! an exception that nothing in it explains, which is a triple fault, and KVM resets its vCPU. The same state after a real fault
//! cannot be told from it, so it proves nothing either way: what it happened to is to be run again. As rarely, and on huge pages only so
//! far, KVM begins to emulate one instruction of a vCPU for ever.

use crate::{
    migration::NO_VISIT,
    oracle::Oracle,
    qemu::Accel,
    report::{ScenarioResult, Verdict},
};

/// With nested paging KVM emulates no instruction of our guests. A vCPU that gets on no more while KVM emulates one and the same over
/// and over was given a fault that the emulated page tables do not explain.
const EMULATES: u64 = 10_000;

/// Where a vCPU stands that KVM has reset: the reset vector (SDM volume 3, 9.1.4).
pub const AT_RESET: &str = "triple fault at rip 0xfff0";

/// Whether all that is wrong with `result` may be the emulation's own doing.
#[must_use]
pub fn may_be_emulation(result: &ScenarioResult, accel: Accel) -> bool {
    // Of several vCPUs that failed, each has its part of the text.
    let reset = |text: &str| text.split("; ").all(|part| part.contains(AT_RESET));
    let emulates = result.kvm.insn_emulation > EMULATES;
    // A migration that waits for a vCPU which comes no further reports it itself, before it counts as stuck.
    let stands = |text: &str| emulates && text.contains(NO_VISIT);
    let may = |text: &str| reset(text) || stands(text);
    let stumbled = result.verdict == Verdict::Violation
        && !result.violations.is_empty()
        && result.violations.iter().all(|violation| violation.oracle == Oracle::Progress && may(&violation.detail));
    let loops = result.verdict == Verdict::Stuck && result.violations.is_empty() && emulates;
    accel == Accel::Tcg && (stumbled || loops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracle::Violation, report::sample};

    #[test]
    fn only_a_reset_vcpu_and_only_in_emulation() {
        let mut result = sample::run().scenarios.swap_remove(0);
        result.verdict = Verdict::Violation;
        let violation = |oracle, detail: &str| Violation::new(oracle, "protect", detail.to_owned());
        result.violations = vec![violation(Oracle::Progress, "vCPU 0: KVM_EXIT_SHUTDOWN: triple fault at rip 0xfff0")];
        assert!(may_be_emulation(&result, Accel::Tcg));
        assert!(!may_be_emulation(&result, Accel::Kvm));
        result.violations.push(violation(Oracle::Finality, "page 3 was written"));
        assert!(!may_be_emulation(&result, Accel::Tcg));
        let two =
            "vCPU 0: KVM_EXIT_SHUTDOWN: triple fault at rip 0xfff0; vCPU 1: KVM_EXIT_SHUTDOWN: triple fault at rip 0x400010";
        result.violations = vec![violation(Oracle::Progress, two)];
        assert!(!may_be_emulation(&result, Accel::Tcg));

        result.kvm.insn_emulation = EMULATES;
        result.violations = vec![violation(Oracle::Progress, "vCPU 0 made no visit within 20s after it had come back")];
        assert!(!may_be_emulation(&result, Accel::Tcg), "no more than happens at other times");
        result.kvm.insn_emulation += 1;
        assert!(may_be_emulation(&result, Accel::Tcg));
        result.violations.push(violation(Oracle::Progress, "vCPU 0: KVM_EXIT_INTERNAL_ERROR"));
        assert!(!may_be_emulation(&result, Accel::Tcg), "what ends a vCPU is no loop");
    }
}
