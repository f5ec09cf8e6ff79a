//! Which orders matter: the stages of an invalidation that must not change places, as data, with the reason for each.
//!
//! What is *not* here, on purpose. A fault may come at any time, and so may an install, except where KVM has said that none may: both
//! belong to vCPUs, not to the thread that invalidates. The host's own TLB flush says nothing of whose translations it was about (the
//! tracepoint knows a CPU and a reason), so it is only held against the release of the page. What `enter` comes before is no question of
//! order. And a missing zap or flush is no finding by itself: a page that was never installed needs neither.

use super::diff::Inversion;
use crate::trace::profile::Stage;

/// Two stages, and what is wanted of them.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// This stage should come first,
    pub before: Stage,
    /// and this one after it.
    pub after: Stage,
    /// What exactly is wanted.
    pub demand: Demand,
    /// Why, and where the kernel does so.
    pub why: &'static str,
}

/// What is wanted of two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Where both are seen, the first of the one comes before the first of the other.
    First,
    /// The same, and the second does not come without the first.
    Needed,
    /// From the one to the other there is this one.
    NotUntil(Stage),
}

const fn pair(before: Stage, demand: Demand, after: Stage, why: &'static str) -> Pair {
    Pair { before, after, demand, why }
}

/// All of them. Within each group the first says most.
pub const RELEVANT: [Pair; 19] = {
    use Demand::{First, Needed, NotUntil};
    use Stage::{Begin, End, Flush, Free, Install, KvmFlush, RemoveMigration, Return, SetMigration, Start, Zap};
    [
        // Nothing may happen to a mapping before its change was announced.
        pair(
            Start,
            Needed,
            SetMigration,
            "the mapping made way before the change was announced: a guest goes on using the page while it is copied (mm/rmap.c, \
             try_to_migrate_one)",
        ),
        pair(
            Begin,
            First,
            SetMigration,
            "a fault that has looked the page up before it made way could still install it (mm/rmap.c, try_to_migrate_one; \
             virt/kvm/kvm_main.c, kvm_mmu_invalidate_begin)",
        ),
        pair(
            Start,
            Needed,
            Free,
            "the page went back to the allocator without a word to the guest's MMU (mm/mmu_gather.c, tlb_finish_mmu; mm/memory.c, \
             unmap_vmas)",
        ),
        pair(
            Begin,
            First,
            Free,
            "a fault in flight could install a page that is free already (virt/kvm/kvm_main.c, kvm_mmu_invalidate_begin)",
        ),
        pair(
            Start,
            Needed,
            Return,
            "the system call was over before its change was announced: a guest that knows of its return still uses the old page \
             (mm/mmu_notifier.c, __mmu_notifier_invalidate_range_start)",
        ),
        pair(
            Begin,
            First,
            Return,
            "the system call was over before KVM heard of its change (virt/kvm/kvm_main.c, \
             kvm_mmu_notifier_invalidate_range_start)",
        ),
        // Faults must be held off before anything is zapped, or they bring it back.
        pair(
            Start,
            Needed,
            Zap,
            "KVM zapped what nobody had announced, so nothing keeps a fault from installing it again (virt/kvm/kvm_main.c, \
             kvm_mmu_notifier_invalidate_range_start)",
        ),
        pair(
            Begin,
            Needed,
            Zap,
            "a fault in flight passes mmu_invalidate_retry and installs the old page behind the zap (virt/kvm/kvm_main.c, \
             kvm_handle_hva_range: on_lock comes before the handler)",
        ),
        // What is zapped is zapped before anybody goes on.
        pair(Zap, First, Free, "a guest could still write to a page that is free (arch/x86/kvm/mmu/mmu.c, kvm_unmap_gfn_range)"),
        pair(
            Zap,
            First,
            RemoveMigration,
            "host threads see the new page while a guest still writes to the old one (mm/migrate.c, remove_migration_ptes)",
        ),
        pair(
            Zap,
            First,
            End,
            "faults were let in again while the old entry was there (virt/kvm/kvm_main.c, kvm_mmu_invalidate_end)",
        ),
        pair(Zap, First, Return, "the system call was over while a guest could still use the old page"),
        // A zapped entry lives on in TLBs until they are flushed.
        pair(
            Zap,
            NotUntil(KvmFlush),
            Free,
            "a vCPU's TLB still translates to a page that is free (virt/kvm/kvm_main.c, kvm_handle_hva_range: \
             kvm_flush_remote_tlbs before the range is left)",
        ),
        pair(
            Zap,
            NotUntil(KvmFlush),
            RemoveMigration,
            "a vCPU's TLB still translates to the old page when host threads see the new one (mm/migrate.c, \
             remove_migration_ptes)",
        ),
        pair(
            Zap,
            NotUntil(KvmFlush),
            End,
            "the invalidation was over while vCPUs' TLBs still had the old translation (virt/kvm/kvm_main.c, \
             kvm_handle_hva_range)",
        ),
        pair(
            Zap,
            NotUntil(KvmFlush),
            Return,
            "the system call was over while vCPUs' TLBs still had the old translation (virt/kvm/kvm_main.c, \
             kvm_handle_hva_range)",
        ),
        // What begins must end, and meanwhile nothing may be installed there.
        pair(
            Start,
            NotUntil(End),
            Return,
            "an invalidation that does not end keeps every fault there in retry for ever (mm/mmu_notifier.c, \
             __mmu_notifier_invalidate_range_end)",
        ),
        pair(
            Begin,
            NotUntil(End),
            Install,
            "a fault installed in the middle of an invalidation what it had looked up before: the old page (arch/x86/kvm/mmu/mmu.c, \
             is_page_fault_stale)",
        ),
        // Not a matter of the guest, but of the page: its next owner must not share it with the last one.
        pair(
            Flush,
            First,
            Free,
            "the page was free while the host's own TLBs still had it (mm/mmu_gather.c, tlb_flush_mmu: flush, then free)",
        ),
    ]
};

/// How an order fails a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// What should have come does not come.
    Missing,
    /// It comes too late.
    Late,
}

impl Pair {
    /// Whether an order fails it. `can_see` says which stages are seen at all: of others, nothing is said.
    pub(super) fn fails(&self, order: &[Stage], can_see: impl Fn(Stage) -> bool) -> Option<Failing> {
        let first = |stage: Stage| order.iter().position(|at| *at == stage);
        match self.demand {
            Demand::First | Demand::Needed => match (first(self.before), first(self.after)?) {
                (Some(before), after) => (after < before).then_some(Failing::Late),
                (None, _) => (self.demand == Demand::Needed && can_see(self.before)).then_some(Failing::Missing),
            },
            Demand::NotUntil(until) => {
                let mut pending = false;
                for (at, &stage) in order.iter().enumerate() {
                    if stage == self.before {
                        pending = true;
                    } else if stage == until {
                        pending = false;
                    } else if stage == self.after && pending && can_see(until) {
                        return Some(if order[at..].contains(&until) { Failing::Late } else { Failing::Missing });
                    }
                }
                None
            }
        }
    }

    /// What is wrong with an order that fails it.
    pub(super) fn inversion(&self, failing: Failing, invalidations_a: u64, counts: bool) -> Inversion {
        let (before, after) = (self.before.name(), self.after.name());
        let missing = failing == Failing::Missing;
        let (until, says) = match (self.demand, missing) {
            (Demand::NotUntil(until), true) => (Some(until), format!("{after} follows {before}, and no {} came", until.name())),
            (Demand::NotUntil(until), false) => (Some(until), format!("{after} stands between {before} and {}", until.name())),
            (_, true) => (None, format!("{after} without {before}")),
            (_, false) => (None, format!("{after} before {before}")),
        };
        Inversion {
            before: self.before,
            after: self.after,
            until,
            missing,
            says,
            why: self.why.to_owned(),
            invalidations_a,
            counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Stage::*, *};
    use crate::trace::compare::sample::MREMAP;

    /// What an order fails.
    type Failed = (Stage, Stage, Failing);

    /// All of it, where everything can be seen.
    fn failed(order: &[Stage]) -> Vec<Failed> {
        let failing = RELEVANT.iter().filter_map(|pair| Some((pair.before, pair.after, pair.fails(order, |_| true)?)));
        failing.collect()
    }

    #[test]
    fn what_the_kernel_does_is_right() {
        let migrate = [Enter, Start, Begin, Zap, KvmFlush, Flush, SetMigration, End, RemoveMigration, Free, Return];
        let cow = [Fault, Start, Begin, Zap, KvmFlush, Flush, End, Install];
        let not_installed = [Enter, Start, Begin, End, Flush, Free, Return];
        // Two pieces, and a fault of another vCPU before, between and after them.
        let pieces =
            [Install, Start, Install, Begin, Zap, KvmFlush, End, Install, Start, Begin, Zap, KvmFlush, End, Install, Return];
        for order in [&MREMAP[..], &migrate, &cow, &not_installed, &pieces, &[], &[Fault, Install]] {
            assert_eq!(failed(order), [], "{order:?}");
        }
    }

    #[test]
    fn what_stands_in_the_wrong_place_is_named() {
        use Failing::{Late, Missing};
        let cases: [(&[Stage], &[Failed]); 9] = [
            (&[SetMigration, Start, Begin, Zap, KvmFlush, End], &[(Start, SetMigration, Late), (Begin, SetMigration, Late)]),
            (&[SetMigration], &[(Start, SetMigration, Missing)]),
            (&[Start, Zap, Begin, KvmFlush, End], &[(Begin, Zap, Late)]),
            (&[Start, Begin, Zap, End, KvmFlush, Return], &[(Zap, End, Late)]),
            (&[Start, Begin, Zap, End, Return], &[(Zap, End, Missing), (Zap, Return, Missing)]),
            // The second piece was not flushed.
            (&[Start, Begin, Zap, KvmFlush, Zap, Free, KvmFlush, End], &[(Zap, Free, Late)]),
            (&[Start, Begin, Zap, KvmFlush, Return], &[(Start, Return, Missing)]),
            (&[Start, Begin, Install, Zap, KvmFlush, End], &[(Begin, Install, Late)]),
            (&[Start, Begin, Zap, KvmFlush, End, Free, Flush, Return], &[(Flush, Free, Late)]),
        ];
        for (order, expected) in cases {
            assert_eq!(failed(order), expected, "{order:?}");
        }
    }

    #[test]
    fn what_nobody_can_see_is_not_missed() {
        let order = [Start, Zap, Return];
        let without = |stage: Stage| !matches!(stage, Begin | KvmFlush | End);
        assert!(RELEVANT.iter().all(|pair| pair.fails(&order, without).is_none()));
    }

    #[test]
    fn every_pair_has_its_words() {
        for pair in &RELEVANT {
            for failing in [Failing::Missing, Failing::Late] {
                let inversion = pair.inversion(failing, 0, true);
                assert!(inversion.says.contains(pair.after.name()) && !inversion.why.contains("  "), "{inversion:?}");
            }
        }
    }
}
