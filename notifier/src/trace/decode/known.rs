//! The events that are known, and the names of their fields, which differ from kernel to kernel.

use super::super::event::Call;

/// What becomes of an event. Its numbers are in the order of the fields in [`KNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Enter(Call),
    Exit(Call),
    NewTask,
    Unmap,
    ChangePte,
    RangeStart,
    RangeEnd,
    Begin,
    End,
    SlotUnmap,
    Flush,
    Requested,
    Set,
    Changed,
    FastFault,
    Fault,
    ZapTable,
    ZapAll,
    SetMigration,
    SetMigrationPmd,
    RemoveMigration,
    RemoveMigrationPmd,
    TlbFlush,
    Free,
}

/// A field that is wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// What it is called, in this kernel or that one.
    pub(crate) names: &'static [&'static str],
    /// Its size in events that never happened; a kernel says its own.
    pub(crate) bytes: usize,
    /// Whether the event says nothing without it.
    pub(crate) needed: bool,
}

const fn long(names: &'static [&'static str]) -> Wanted {
    Wanted { names, bytes: 8, needed: true }
}

const fn int(names: &'static [&'static str]) -> Wanted {
    Wanted { names, bytes: 4, needed: true }
}

const fn byte(names: &'static [&'static str]) -> Wanted {
    Wanted { names, bytes: 1, needed: true }
}

const fn perhaps(wanted: Wanted) -> Wanted {
    Wanted { needed: false, ..wanted }
}

/// The group of events that are probes, in a recording. In tracefs it carries a number besides, of the process that made them, which
/// would make the same event another one in each recording.
pub(crate) const PROBES: &str = "nostale_trace";

/// All but system calls.
pub(crate) const KNOWN: &[(&str, Kind, &[Wanted])] = &[
    ("task/task_newtask", Kind::NewTask, &[int(&["pid"]), long(&["clone_flags"])]),
    ("kvm/kvm_unmap_hva_range", Kind::Unmap, &[long(&["start"]), long(&["end"])]),
    ("kvm/kvm_set_spte_hva", Kind::ChangePte, &[long(&["hva"])]),
    // The vCPU is known since Linux 6.2; the error code has had 4 bytes.
    ("kvm/kvm_page_fault", Kind::Fault, &[long(&["fault_address"]), long(&["error_code"]), perhaps(int(&["vcpu_id"]))]),
    ("kvmmmu/kvm_mmu_spte_requested", Kind::Requested, &[long(&["gfn"]), long(&["pfn"]), byte(&["level"])]),
    ("kvmmmu/kvm_mmu_set_spte", Kind::Set, &[long(&["gfn"]), long(&["spte"]), long(&["sptep"]), byte(&["level"])]),
    (
        "kvmmmu/kvm_tdp_mmu_spte_changed",
        Kind::Changed,
        &[long(&["gfn"]), long(&["old_spte"]), long(&["new_spte"]), byte(&["level"]), perhaps(byte(&["as_id"]))],
    ),
    ("kvmmmu/fast_page_fault", Kind::FastFault, &[long(&["sptep"]), long(&["old_spte"]), long(&["new_spte"])]),
    ("kvmmmu/kvm_mmu_prepare_zap_page", Kind::ZapTable, &[long(&["gfn"]), int(&["role"])]),
    ("kvmmmu/kvm_mmu_zap_all_fast", Kind::ZapAll, &[]),
    ("migrate/set_migration_pte", Kind::SetMigration, &[long(&["addr"]), long(&["pte"])]),
    ("migrate/remove_migration_pte", Kind::RemoveMigration, &[long(&["addr"]), long(&["pte"])]),
    ("thp/set_migration_pmd", Kind::SetMigrationPmd, &[long(&["addr"]), long(&["pmd"])]),
    ("thp/remove_migration_pmd", Kind::RemoveMigrationPmd, &[long(&["addr"]), long(&["pmd"])]),
    ("tlb/tlb_flush", Kind::TlbFlush, &[int(&["reason"]), long(&["pages"])]),
    ("kmem/mm_page_free", Kind::Free, &[long(&["pfn"]), int(&["order"])]),
    ("nostale_trace/range_start", Kind::RangeStart, &[long(&["mm"]), long(&["start"]), long(&["end"]), int(&["reason"])]),
    ("nostale_trace/range_end", Kind::RangeEnd, &[long(&["mm"]), long(&["start"]), long(&["end"])]),
    ("nostale_trace/invalidate_begin", Kind::Begin, &[long(&["kvm"])]),
    ("nostale_trace/invalidate_end", Kind::End, &[long(&["kvm"])]),
    ("nostale_trace/slot_unmap", Kind::SlotUnmap, &[long(&["start"]), long(&["end"]), long(&["base"]), long(&["hva"])]),
    ("nostale_trace/flush", Kind::Flush, &[long(&["kvm"])]),
    ("nostale_trace/flush_range", Kind::Flush, &[long(&["kvm"])]),
    ("nostale_trace/flush_slot", Kind::Flush, &[long(&["kvm"])]),
];

/// Of a system call's end; its arguments have other names each, so that they go by their order.
const RETURN: &[Wanted] = &[long(&["ret"])];

/// What becomes of the event of this name, and which fields it takes.
pub(super) fn find(name: &str) -> Option<(Kind, &'static [Wanted])> {
    match super::call_of(name) {
        Some(kind @ Kind::Exit(_)) => Some((kind, RETURN)),
        Some(kind) => Some((kind, &[])),
        None => KNOWN.iter().find(|(known, ..)| *known == name).map(|(_, kind, wanted)| (*kind, *wanted)),
    }
}
