//! Texts as kernels wrote them.

use super::*;

/// Linux 6.1.176 (Debian), `hist:keys=ra.sym-offset` on `__mmu_notifier_invalidate_range_start`.
const RETURNS_6_1: &str = "\
# event histogram
#
# trigger info: hist:keys=ra.sym-offset:vals=hitcount:sort=hitcount:size=4096 [active]
#

{ ra: [ffffffff8133819d] __split_huge_pmd+0x50d/0x1090                           } hitcount:          5
{ ra: [ffffffff812dd1ab] change_protection+0xccb/0x15d0                          } hitcount:          7
{ ra: [ffffffff812c75e3] wp_page_copy+0x573/0x720                                } hitcount:        997

Totals:
    Hits: 1009
    Entries: 3
    Dropped: 0

";

/// The same kernel, `hist:keys=stacktrace` on `kvm_unmap_gfn_range`.
const STACKS_6_1: &str = "\
# event histogram
#
# trigger info: hist:keys=stacktrace:vals=hitcount:sort=hitcount:size=4096 [active]
#

{ stacktrace:
         kprobe_ftrace_handler+0x10b/0x1b0
         0xffffffffc04060c8
         kvm_unmap_gfn_range+0x5/0x120 [kvm]
         kvm_mmu_notifier_invalidate_range_start+0x156/0x360 [kvm]
         __mmu_notifier_invalidate_range_start+0x7f/0x190
         __split_huge_pmd+0x50d/0x1090
         vma_adjust_trans_huge+0xd7/0x1a0
         __vma_adjust+0x1ca/0xb20
         __split_vma+0xda/0x170
         do_mas_align_munmap+0x118/0x510
         do_mas_munmap+0xd2/0x120
         do_munmap+0x6b/0x90
         move_vma+0x251/0x470
         __do_sys_mremap+0x67d/0x980
         do_syscall_64+0x5d/0xb0
         entry_SYSCALL_64_after_hwframe+0x6e/0xd8
} hitcount:          2
{ stacktrace:
         kprobe_ftrace_handler+0x10b/0x1b0
         0xffffffffc04060c8
         kvm_unmap_gfn_range+0x5/0x120 [kvm]
         kvm_mmu_notifier_invalidate_range_start+0x156/0x360 [kvm]
         __mmu_notifier_invalidate_range_start+0x7f/0x190
         unmap_vmas+0x169/0x180
         unmap_region+0xba/0x120
         do_mas_align_munmap+0x2a5/0x510
         do_syscall_64+0x5d/0xb0
         entry_SYSCALL_64_after_hwframe+0x6e/0xd8
} hitcount:          4

Totals:
    Hits: 6
    Entries: 2
    Dropped: 17

";

/// Linux 7.2.13 (Debian), where two functions have one name.
const RETURNS_7_2: &str = "\
# event histogram
#
# trigger info: hist:keys=ra.sym-offset:vals=hitcount:sort=hitcount:size=4096 [active]
#

{ ra: [ffffffff8171721d] tlb_flush_mmu_tlbonly+0x3d/0x140                        } hitcount:          3
{ ra: [ffffffff8173050d] tlb_flush_mmu_tlbonly+0x3d/0x140                        } hitcount:         44
{ ra: [ffffffff8173bbfa] set_tlb_ubc_flush_pending.isra.0+0xea/0x110             } hitcount:        184

Totals:
    Hits: 231
    Entries: 3
    Dropped: 0

";

/// The same kernel: a fault of the guest itself that migrates a page to its node.
const STACKS_7_2: &str = "\
# event histogram
#
# trigger info: hist:keys=common_stacktrace:vals=hitcount:sort=hitcount:size=4096 [active]
#

{ common_stacktrace:
         kprobe_ftrace_handler+0x151/0x1f0
         0xffffffffc06d00da
         kvm_unmap_gfn_range+0x9/0xb0 [kvm]
         kvm_mmu_notifier_invalidate_range_start+0x1d2/0x450 [kvm]
         __mmu_notifier_invalidate_range_start+0xb9/0x2e0
         try_to_migrate_one+0xdd2/0xe80
         rmap_walk_anon+0x114/0x2a0
         try_to_migrate+0x89/0xe0
         migrate_pages_batch+0x308/0xe40
         migrate_pages+0xa0c/0xb70
         migrate_misplaced_folio+0xdc/0x220
         __handle_mm_fault+0xd87/0xf90
         hva_to_pfn+0x354/0x4d0 [kvm]
         kvm_arch_vcpu_ioctl_run+0x79b/0x18e0 [kvm]
         __x64_sys_ioctl+0xb9/0x100
         entry_SYSCALL_64_after_hwframe+0x76/0x7e
} hitcount:          1

Totals:
    Hits: 1
    Entries: 1
    Dropped: 0

";

const START: &str = "__mmu_notifier_invalidate_range_start";

fn sites(histogram: &Histogram) -> Vec<(String, Option<u64>, u64)> {
    let entries = histogram.entries.iter();
    entries.map(|entry| (entry.frames[0].site.clone(), entry.frames[0].address, entry.hits)).collect()
}

#[test]
fn return_addresses() {
    let six = parse(RETURNS_6_1);
    assert_eq!(
        sites(&six),
        [
            ("__split_huge_pmd+0x50d".to_owned(), Some(0xffff_ffff_8133_819d), 5),
            ("change_protection+0xccb".to_owned(), Some(0xffff_ffff_812d_d1ab), 7),
            ("wp_page_copy+0x573".to_owned(), Some(0xffff_ffff_812c_75e3), 997),
        ]
    );
    let seven = sites(&parse(RETURNS_7_2));
    assert_eq!(
        (seven[0].0.as_str(), seven[0].1, seven[1].1),
        ("tlb_flush_mmu_tlbonly+0x3d", Some(0xffff_ffff_8171_721d), Some(0xffff_ffff_8173_050d))
    );
    assert_eq!(seven[2].0, "set_tlb_ubc_flush_pending.isra.0+0xea");
}

#[test]
fn stacks_say_who_called() {
    let six = parse(STACKS_6_1);
    assert_eq!(six.dropped, 17);
    let callers: Vec<_> = six.entries.iter().map(|entry| (entry.caller_of(START), entry.hits)).collect();
    assert_eq!(callers, [(Some("__split_huge_pmd+0x50d"), 2), (Some("unmap_vmas+0x169"), 4)]);
    assert_eq!(six.entries[0].frames[1].site, "kvm_unmap_gfn_range+0x5 [kvm]");
    let seven = parse(STACKS_7_2);
    assert_eq!(seven.entries[0].caller_of(START), Some("try_to_migrate_one+0xdd2"));
    assert_eq!(seven.entries[0].caller_of("__mmu_notifier_change_pte"), None);
    assert_eq!(seven.entries[0].caller_of("entry_SYSCALL_64_after_hwframe"), None, "nobody called the last one");
}

/// A place of a function is the same in both kinds of histogram: they are joined by it.
#[test]
fn both_kinds_name_a_site_alike() {
    let (returns, stacks) = (sites(&parse(RETURNS_6_1)), parse(STACKS_6_1));
    assert_eq!(stacks.entries[0].caller_of(START), Some(returns[0].0.as_str()));
}

#[test]
fn whatever_is_cut_or_odd_is_no_entry_and_no_panic() {
    for text in [RETURNS_6_1, STACKS_6_1, STACKS_7_2] {
        for end in 0..text.len() {
            let (cut, whole) = (parse(&text[..end]), parse(text));
            // Of the last number, digits may be missing.
            let complete = cut.entries.len().saturating_sub(1);
            assert_eq!(cut.entries[..complete], whole.entries[..complete], "{end}");
        }
    }
    let odd =
        parse("{ ra: [zz] x+0x1/0x2 } hitcount: 3\n{ ra: [12] y } hitcount: 1\n{ } hitcount: x\n} hitcount: 4\nDropped: many\n");
    assert_eq!(sites(&Histogram { entries: odd.entries[..1].to_vec(), dropped: 0 }), [("x+0x1".to_owned(), None, 3)]);
    assert_eq!((odd.entries.len(), odd.entries[1].frames.len(), odd.dropped), (2, 0, 0), "{odd:?}");
    assert_eq!(parse("# event histogram\n\nTotals:\n    Hits: 0\n    Entries: 0\n    Dropped: 0\n"), Histogram::default());
}
