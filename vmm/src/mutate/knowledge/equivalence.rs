//! Mutants that no guest can ever notice, with the argument and what it depends on.

use super::Release;
use crate::mutate::{Callee, Kind, Mutant};

/// Why a mutant is as good as the original.
#[derive(Debug)]
pub struct Equivalence {
    /// Under which condition. Where it does not hold, the mutant is not equivalent.
    pub condition: &'static str,
    /// Why nobody can notice.
    pub argument: &'static str,
    /// The source file of the kernel that this is read from.
    pub source: &'static str,
    /// Whether it speaks of private memory alone.
    pub private_only: bool,
    about: About,
    /// From this release on, and before that one.
    since: Release,
    before: Release,
}

#[derive(Debug)]
enum About {
    /// A call that many functions make.
    Calls(&'static [Callee]),
    /// Both calls of these functions.
    Both(&'static [&'static str]),
    /// A mutant of KVM.
    Kvm(Kind),
}

const EVER: Release = Release { major: 0, minor: 0 };
const FOR_EVER: Release = Release { major: u32::MAX, minor: 0 };
/// "KVM: x86/mmu: Mark folio dirty when creating SPTE, not when zapping/modifying".
const DIRTY_AT_CREATION: Release = Release { major: 6, minor: 13 };

const ALL: &[Equivalence] = &[
    Equivalence {
        condition: "always",
        argument: "it only asks whether a page was accessed, and forgets it; no translation goes away or leads elsewhere. Without it \
                   reclaim may choose a worse page, and then tells everybody by invalidate_range_start",
        source: "mm/mmu_notifier.c, virt/kvm/kvm_main.c (kvm_mmu_notifier_clear_young and its like)",
        private_only: false,
        about: About::Calls(&[Callee::ClearFlushYoung, Callee::ClearYoung, Callee::TestYoung]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "the function brackets the page with invalidate_range_start and _end, as all that call change_pte in 6.1 do",
        argument: "change_pte says what takes the page's place, so that a secondary MMU need not fault. KVM has dropped all it knew of \
                   the page at invalidate_range_start and lets no fault install anything before _end, so nothing is left to change \
                   (which is why it was removed in 6.10)",
        source: "virt/kvm/kvm_main.c (kvm_mmu_notifier_change_pte)",
        private_only: false,
        about: About::Calls(&[Callee::ChangePte]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "the page at 0xfee00000 of an in-kernel APIC is not what changes, and no device shares the page tables (SVA)",
        argument: "it is for hardware that walks the CPU's page tables. KVM has tables of its own; its callback does one thing, reloading \
                   the APIC access page, and has none for anything else",
        source: "mm/mmu_notifier.c, arch/x86/kvm/x86.c (kvm_arch_mmu_notifier_invalidate_range)",
        private_only: false,
        about: About::Calls(&[Callee::Range]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "no device shares the page tables (SVA)",
        argument: "it is for hardware that walks the CPU's page tables. KVM has tables of its own and no such callback",
        source: "mm/mmu_notifier.c, virt/kvm/kvm_main.c (kvm_mmu_notifier_ops)",
        private_only: false,
        about: About::Calls(&[Callee::SecondaryTlbs]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "always",
        argument: "an address space is released when its last thread is gone, and a virtual CPU runs only in a thread of the address \
                   space that made it (KVM_RUN answers EIO to others); so no guest runs any more when its pages are freed",
        source: "mm/mmap.c (exit_mmap), virt/kvm/kvm_main.c (kvm_vcpu_ioctl)",
        private_only: false,
        about: About::Calls(&[Callee::Release]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "the huge page is private (anonymous) memory. On shmem and files it is not so: there the huge entry is dropped, nobody \
                    maps the page any more, and reclaim and migration find nobody to tell, nor before 6.12 does mprotect",
        argument: "a page table takes the place of the huge entry, and each of its entries leads to the same part of the same page with the \
                   same rights; whatever changes an entry afterwards has a bracket of its own. The page that is split for good (frozen) \
                   is bracketed by try_to_migrate_one as well, and gets its entries back with the same pages. The huge zero page \
                   becomes zero pages, both read-only for ever",
        source: "mm/huge_memory.c (__split_huge_pmd_locked), mm/rmap.c (try_to_migrate_one)",
        private_only: true,
        about: About::Both(&["__split_huge_pmd"]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "always",
        argument: "the page table is empty: collapse_file has unmapped every old page before, each in a bracket of its own, and still holds the \
                   lock of the new page, which every fault must take. So no guest has a translation that came from it",
        source: "mm/khugepaged.c (collapse_file, retract_page_tables)",
        private_only: false,
        about: About::Both(&["retract_page_tables"]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "always",
        argument: "only a page table goes; the file keeps its pages, and they come back on the next fault. Until then a guest's \
                   translation leads to the right page, and whoever takes a page away, protects or migrates it brackets the whole \
                   range before it looks at any page table",
        source: "mm/hugetlb.c (hugetlb_unshare_pmds, hugetlb_change_protection, __unmap_hugepage_range), mm/rmap.c",
        private_only: false,
        about: About::Both(&["hugetlb_unshare_pmds"]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "the old place is unmapped in the same call: always, since MREMAP_DONTUNMAP is refused on hugetlbfs; and nobody \
                    migrates the page in the moment between",
        argument: "move_vma unmaps the old place before it returns, in a bracket of its own, under the same mmap_lock. Until then the page \
                   is the same at either address, and what a guest still writes through the old one lands where it belongs",
        source: "mm/hugetlb.c (move_hugetlb_page_tables), mm/mremap.c (move_vma)",
        private_only: false,
        about: About::Both(&["move_hugetlb_page_tables"]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "a huge entry is installed in the same go (MADV_COLLAPSE), or the page table is empty. khugepaged may leave no entry: \
                    then nobody maps the page any more, and reclaim and migration have nobody to tell (CVE-2022-48991): \
                    khugepaged+pageout on memfd-thp would have to meet it",
        argument: "every entry of the page table is checked to lead to its own part of one huge page; the huge entry leads to the same \
                   pages with the same rights",
        source: "mm/khugepaged.c (collapse_pte_mapped_thp)",
        private_only: false,
        about: About::Both(&["collapse_and_free_pmd", "collapse_pte_mapped_thp", "try_collapse_pte_mapped_thp"]),
        since: EVER,
        before: FOR_EVER,
    },
    Equivalence {
        condition: "KVM marks a page dirty when it drops a translation that was written through: before 6.13",
        argument: "MADV_FREE takes no page away; it makes entries clean, so that reclaim may throw away what is still clean then. Reclaim \
                   unmaps in a bracket of its own, in which KVM drops its translation and marks the page dirty if the guest wrote \
                   it; and a dirty page is kept. Since 6.13 a page is marked when the translation is made: a guest that kept a \
                   writable one writes unseen, and its writes are thrown away",
        source: "mm/madvise.c (madvise_free_pte_range), mm/rmap.c (try_to_unmap_one), arch/x86/kvm/mmu (kvm_set_pfn_dirty)",
        private_only: false,
        about: About::Both(&["madvise_free_single_vma", "do_madvise", "madvise_vma_behavior"]),
        since: EVER,
        before: DIRTY_AT_CREATION,
    },
    Equivalence {
        condition: "QEMU emulates the processors (TCG). On hardware it is not so: a virtual CPU goes on with what its TLB holds",
        argument: "QEMU forgets all it has cached of a guest's translations whenever that guest is left, if only for the host's timer; so \
                   what is stale lasts for milliseconds, and no run can count on meeting it",
        source: "virt/kvm/kvm_main.c (kvm_flush_remote_tlbs); target/i386/tcg of QEMU",
        private_only: false,
        about: About::Kvm(Kind::Flush),
        since: EVER,
        before: FOR_EVER,
    },
];

/// The argument that nobody can notice a mutant, if there is one for a kernel of this release.
#[must_use]
pub fn equivalence(mutant: &Mutant, release: Release) -> Option<&'static Equivalence> {
    ALL.iter().find(|entry| (entry.since..entry.before).contains(&release) && is_about(&entry.about, mutant))
}

fn is_about(about: &About, mutant: &Mutant) -> bool {
    match (about, &mutant.kind) {
        (About::Calls(callees), Kind::Call(name)) => callees.iter().any(|callee| callee.name() == name),
        (About::Both(functions), Kind::Both) => functions.contains(&mutant.function.as_str()),
        (About::Kvm(kind), other) => kind == other,
        _ => false,
    }
}
