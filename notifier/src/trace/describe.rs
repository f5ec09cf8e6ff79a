//! An event as others see it: its name in tracefs, its fields as columns of a table, and one line of text.

use super::{
    errno,
    event::{Call, Spte, What},
};
use crate::{Hva, addr::PAGE_SHIFT};
use std::{fmt, sync::LazyLock};

/// The group under which probes stand in a recording.
pub const PROBES: &str = "nostale_trace";

/// Names of both events of each system call, in the order of [`Call::NAMES`].
static CALLS: LazyLock<Vec<[String; 2]>> = LazyLock::new(|| {
    Call::NAMES.iter().map(|name| [format!("syscalls/sys_enter_{name}"), format!("syscalls/sys_exit_{name}")]).collect()
});

/// Group and name of an event, as in tracefs: `kvm/kvm_unmap_hva_range`. Where one kind of event has several sources, the first.
#[must_use]
pub fn name(what: &What) -> &'static str {
    match what {
        What::Enter { call, .. } => of_call(*call, 0),
        What::Exit { call, .. } => of_call(*call, 1),
        What::Unmap { .. } => "kvm/kvm_unmap_hva_range",
        What::ChangePte { .. } => "kvm/kvm_set_spte_hva",
        What::RangeStart { .. } => "nostale_trace/range_start",
        What::RangeEnd { .. } => "nostale_trace/range_end",
        What::Begin { .. } => "nostale_trace/invalidate_begin",
        What::End { .. } => "nostale_trace/invalidate_end",
        What::SlotUnmap { .. } => "nostale_trace/slot_unmap",
        What::Flush { .. } => "nostale_trace/flush",
        What::Requested { .. } => "kvmmmu/kvm_mmu_spte_requested",
        What::Set { .. } => "kvmmmu/kvm_mmu_set_spte",
        What::Changed { .. } => "kvmmmu/kvm_tdp_mmu_spte_changed",
        What::FastFault { .. } => "kvmmmu/fast_page_fault",
        What::Fault { .. } => "kvm/kvm_page_fault",
        What::ZapTable { .. } => "kvmmmu/kvm_mmu_prepare_zap_page",
        What::NewTask { .. } => "task/task_newtask",
        What::ZapAll => "kvmmmu/kvm_mmu_zap_all_fast",
        What::SetMigration { .. } => "migrate/set_migration_pte",
        What::RemoveMigration { .. } => "migrate/remove_migration_pte",
        What::TlbFlush { .. } => "tlb/tlb_flush",
        What::Free { .. } => "kmem/mm_page_free",
    }
}

fn of_call(call: Call, which: usize) -> &'static str {
    let at = Call::NAMES.iter().position(|name| *name == call.name());
    at.and_then(|at| CALLS.get(at)).map_or("syscalls/unknown", |names| names[which].as_str())
}

/// How many arguments a system call has.
#[must_use]
pub fn arguments(call: Call) -> usize {
    match call.name() {
        "fork" | "vfork" => 0,
        "exit_group" | "swapoff" | "brk" | "shmdt" => 1,
        "munmap" | "ftruncate" | "truncate" | "clone3" | "mlock" => 2,
        "mprotect" | "madvise" | "ioctl" | "execve" | "write" | "writev" | "read" | "msync" | "mlock2" => 3,
        "pkey_mprotect" | "migrate_pages" | "fallocate" | "pwrite64" | "vmsplice" => 4,
        "mremap" | "process_madvise" | "remap_file_pages" | "clone" => 5,
        _ => 6,
    }
}

macro_rules! fields {
    ($($name:ident $text:literal $kind:ident $doc:literal,)*) => {
        /// A column: what an event can say. Each has one type, whichever event it is of; none of the names is a word of SQL.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $(#[doc = $doc] $name,)*
        }

        impl Field {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// How it is written.
            #[must_use]
            pub const fn kind(self) -> FieldKind {
                match self {
                    $(Self::$name => FieldKind::$kind,)*
                }
            }
        }
    };
}

/// How people write a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// An address, a frame, an entry of a page table.
    Hex,
    /// A count or an index.
    Decimal,
    /// A number with a sign, as two's complement.
    Signed,
}

fields! {
    Arg0 "arg0" Hex "First argument of a system call.",
    Arg1 "arg1" Hex "Its second argument.",
    Arg2 "arg2" Hex "Its third argument.",
    Arg3 "arg3" Hex "Its fourth argument.",
    Arg4 "arg4" Hex "Its fifth argument.",
    Arg5 "arg5" Hex "Its sixth argument.",
    Ret "ret" Signed "What a system call returned.",
    Hva "hva" Hex "Where in the host.",
    HvaEnd "hva_end" Hex "First byte behind that.",
    Gfn "gfn" Hex "Where in the guest, in base pages.",
    GfnEnd "gfn_end" Hex "First frame behind that.",
    Pfn "pfn" Hex "A frame of the host.",
    Level "level" Decimal "1 for 4 KiB, 2 for 2 MiB.",
    Spte "spte" Hex "An entry of the secondary MMU, as it is now.",
    Old "old" Hex "The same before.",
    Sptep "sptep" Hex "Where that entry lies.",
    Space "space" Decimal "The VM's address space.",
    Mm "mm" Hex "Whose memory (`struct mm_struct`).",
    Kvm "kvm" Hex "Which VM (`struct kvm`).",
    Reason "reason" Decimal "`enum mmu_notifier_event`, or `enum tlb_flush_reason`.",
    Base "base" Hex "First frame of a memslot.",
    Vcpu "vcpu" Decimal "Which vCPU.",
    Address "address" Hex "A guest address.",
    Error "error" Hex "The hardware's error code.",
    Role "role" Hex "`union kvm_mmu_page_role`.",
    Entry "entry" Hex "An entry of the primary MMU.",
    Order "page_order" Decimal "log2 of pages.",
    Pages "pages" Decimal "Pages; all ones for everything.",
    Lost "lost" Decimal "Events that are missing here.",
    Child "child" Decimal "A new thread or process.",
    Flags "flags" Hex "`CLONE_*`.",
    From "from_tsc" Decimal "When what ends here began, in ticks.",
}

/// No event has more fields than this.
const MOST: usize = 6;

/// The fields of one event, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    list: [(Field, u64); MOST],
    len: usize,
}

impl Fields {
    /// These fields; what is above the most that an event has is left out.
    #[must_use]
    pub fn new(fields: &[(Field, u64)]) -> Self {
        let mut list = [(Field::Arg0, 0); MOST];
        let len = fields.len().min(MOST);
        list[..len].copy_from_slice(&fields[..len]);
        Self { list, len }
    }

    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[(Field, u64)] {
        &self.list[..self.len]
    }

    /// One of them, if the event has it.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<u64> {
        self.as_slice().iter().find(|(known, _)| *known == field).map(|(_, value)| *value)
    }
}

/// The fields of an event.
#[must_use]
pub fn fields(what: &What) -> Fields {
    use Field as F;
    match *what {
        What::Enter { call, args } => {
            let names = [F::Arg0, F::Arg1, F::Arg2, F::Arg3, F::Arg4, F::Arg5];
            let mut list = [(F::Arg0, 0); MOST];
            for (slot, pair) in list.iter_mut().zip(names.into_iter().zip(args)) {
                *slot = pair;
            }
            Fields { list, len: arguments(call) }
        }
        What::Exit { ret, .. } => Fields::new(&[(F::Ret, ret.cast_unsigned())]),
        What::NewTask { child, flags } => Fields::new(&[(F::Child, child.0 as u64), (F::Flags, flags)]),
        What::Unmap { start, end } => Fields::new(&[(F::Hva, start.get()), (F::HvaEnd, end.get())]),
        What::ChangePte { hva } => Fields::new(&[(F::Hva, hva.get())]),
        What::RangeStart { mm, start, end, reason } => {
            Fields::new(&[(F::Mm, mm), (F::Hva, start.get()), (F::HvaEnd, end.get()), (F::Reason, reason.into())])
        }
        What::RangeEnd { mm, start, end } => Fields::new(&[(F::Mm, mm), (F::Hva, start.get()), (F::HvaEnd, end.get())]),
        What::Begin { kvm } | What::End { kvm } | What::Flush { kvm } => Fields::new(&[(F::Kvm, kvm)]),
        What::SlotUnmap { start, end, base, hva } => {
            Fields::new(&[(F::Gfn, start.0), (F::GfnEnd, end.0), (F::Base, base.0), (F::Hva, hva.get())])
        }
        What::Requested { gfn, pfn, level } => Fields::new(&[(F::Gfn, gfn.0), (F::Pfn, pfn.get()), (F::Level, level.into())]),
        What::Set { gfn, spte, sptep, level } => {
            Fields::new(&[(F::Gfn, gfn.0), (F::Spte, spte.0), (F::Sptep, sptep), (F::Level, level.into())])
        }
        What::Changed { gfn, old, new, level, space } => {
            Fields::new(&[(F::Gfn, gfn.0), (F::Old, old.0), (F::Spte, new.0), (F::Level, level.into()), (F::Space, space.into())])
        }
        What::FastFault { sptep, old, new } => Fields::new(&[(F::Sptep, sptep), (F::Old, old.0), (F::Spte, new.0)]),
        What::Fault { vcpu, address, error } => Fields::new(&[(F::Vcpu, vcpu.into()), (F::Address, address), (F::Error, error)]),
        What::ZapTable { gfn, role } => Fields::new(&[(F::Gfn, gfn.0), (F::Role, role.into())]),
        What::ZapAll => Fields::new(&[]),
        What::SetMigration { hva, entry, order } | What::RemoveMigration { hva, entry, order } => {
            Fields::new(&[(F::Hva, hva.get()), (F::Entry, entry), (F::Order, order.into())])
        }
        What::TlbFlush { reason, pages } => Fields::new(&[(F::Reason, reason.into()), (F::Pages, pages)]),
        What::Free { pfn, order } => Fields::new(&[(F::Pfn, pfn.get()), (F::Order, order.into())]),
    }
}

/// What an event says, in one line, without its time and thread: `unmap [0x7f0000000000, 0x7f0000010000) 16 pages`.
#[must_use]
pub fn describe(what: &What) -> impl fmt::Display + '_ {
    Text(what)
}

struct Text<'a>(&'a What);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            What::Enter { call, args } => {
                write!(f, "{}(", call.name())?;
                for (at, argument) in args.iter().take(arguments(call)).enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    number(f, *argument)?;
                }
                f.write_str(")")
            }
            What::Exit { call, ret } => {
                write!(f, "{} → ", call.name())?;
                returned(f, ret)
            }
            What::Unmap { start, end } => write!(f, "unmap {}", Range(start, end)),
            What::ChangePte { hva } => write!(f, "change pte at {hva}"),
            What::RangeStart { start, end, reason, .. } => match notifier_event(reason) {
                Some(why) => write!(f, "range start {} {why}", Range(start, end)),
                None => write!(f, "range start {} reason {reason}", Range(start, end)),
            },
            What::RangeEnd { start, end, .. } => write!(f, "range end {}", Range(start, end)),
            What::Begin { kvm } => write!(f, "invalidate begin, VM {kvm:#x}"),
            What::End { kvm } => write!(f, "invalidate end, VM {kvm:#x}"),
            What::SlotUnmap { start, end, base, hva } => {
                let frames = end.0.saturating_sub(start.0);
                write!(f, "unmap gfn [{start}, {end}) {}, slot of gfn {base} at {hva}", Count(frames))
            }
            What::Flush { kvm } => write!(f, "flush TLBs of all vCPUs, VM {kvm:#x}"),
            What::Requested { gfn, pfn, level } => write!(f, "request gfn {gfn} → pfn {pfn} level {level}"),
            What::Set { gfn, spte, sptep, level } => {
                write!(f, "set gfn {gfn} → {} at {sptep:#x}", Entry(spte, level))
            }
            What::Changed { gfn, old, new, level, space } => {
                write!(f, "change gfn {gfn}: {} → {}", Entry(old, level), Entry(new, level))?;
                if space == 0 { Ok(()) } else { write!(f, " in space {space}") }
            }
            What::FastFault { sptep, old, new } => write!(f, "fast fault {old} → {new} at {sptep:#x}"),
            What::Fault { vcpu, address, error } => write!(f, "fault of vCPU {vcpu} at {address:#x} error {error:#x}"),
            What::ZapTable { gfn, role } => write!(f, "zap table of gfn {gfn} role {role:#x}"),
            What::NewTask { child, flags } => write!(f, "new task {child} flags {flags:#x}"),
            What::ZapAll => f.write_str("zap all"),
            What::SetMigration { hva, entry, order } => write!(f, "migration entry {entry:#x} at {hva} order {order}"),
            What::RemoveMigration { hva, entry, order } => write!(f, "migrated: {entry:#x} at {hva} order {order}"),
            What::TlbFlush { reason, pages } => {
                f.write_str("flush host TLB: ")?;
                if pages == u64::MAX {
                    f.write_str("all")?
                } else {
                    Count(pages).fmt(f)?
                }
                match tlb_reason(reason) {
                    Some(why) => write!(f, ", {why}"),
                    None => write!(f, ", reason {reason}"),
                }
            }
            What::Free { pfn, order } => write!(f, "free pfn {pfn} order {order}"),
        }
    }
}

/// An argument. Addresses and lengths are hexadecimal; small numbers, file descriptors and flags, are not.
fn number(f: &mut fmt::Formatter<'_>, value: u64) -> fmt::Result {
    let signed = value.cast_signed();
    if (-errno::MAX..4096).contains(&signed) { write!(f, "{signed}") } else { write!(f, "{value:#x}") }
}

fn returned(f: &mut fmt::Formatter<'_>, ret: i64) -> fmt::Result {
    match errno::name(-ret.max(-errno::MAX)) {
        Some(name) if (-errno::MAX..0).contains(&ret) => write!(f, "{name} ({ret})"),
        _ => number(f, ret.cast_unsigned()),
    }
}

struct Range(Hva, Hva);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(start, end) = *self;
        // A range that is not made of whole pages touches one more.
        let last = (end.get() >> PAGE_SHIFT) + u64::from(end.get() & ((1 << PAGE_SHIFT) - 1) != 0);
        write!(f, "[{start}, {end}) {}", Count(last.saturating_sub(start.get() >> PAGE_SHIFT)))
    }
}

struct Count(u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 1 { f.write_str("1 page") } else { write!(f, "{} pages", self.0) }
    }
}

/// An entry of the secondary MMU, of this level.
struct Entry(Spte, u8);

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(spte, level) = *self;
        if !spte.is_present() {
            return write!(f, "nothing ({spte}) level {level}");
        }
        let kind = if spte.is_leaf(level) { "pfn" } else { "table" };
        write!(f, "{kind} {} level {level} {}", spte.pfn(), if spte.is_writable() { "rw" } else { "ro" })
    }
}

/// `enum mmu_notifier_event` (`include/linux/mmu_notifier.h`).
fn notifier_event(reason: u32) -> Option<&'static str> {
    ["unmap", "clear", "protect vma", "protect page", "soft dirty", "release", "migrate", "exclusive"]
        .get(usize::try_from(reason).ok()?)
        .copied()
}

/// `enum tlb_flush_reason` (`include/linux/mm_types.h`).
fn tlb_reason(reason: u8) -> Option<&'static str> {
    ["task switch", "remote shootdown", "local shootdown", "local shootdown of an mm", "IPI sent", "IPI to the wrong CPU"]
        .get(usize::from(reason))
        .copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use super::*;
    use crate::{Pfn, trace::event::Gfn};

    fn says(what: What) -> String {
        describe(&what).to_string()
    }

    #[test]
    fn an_event_in_a_line() {
        let (start, end) = (Hva::new(0x7f00_0000_0000), Hva::new(0x7f00_0001_0000));
        let call = Call::named("mremap").unwrap();
        assert_eq!(says(What::Unmap { start, end }), "unmap [0x7f0000000000, 0x7f0000010000) 16 pages");
        assert_eq!(says(What::Unmap { start, end: Hva::new(0x7f00_0000_0001) }), "unmap [0x7f0000000000, 0x7f0000000001) 1 page");
        let args = [0x7f00_0000_0000, 0x1000, 0x1000, 3, u64::MAX, 5];
        assert_eq!(says(What::Enter { call, args }), "mremap(0x7f0000000000, 0x1000, 0x1000, 3, -1)");
        assert_eq!(says(What::Exit { call, ret: -22 }), "mremap → EINVAL (-22)");
        assert_eq!(says(What::Exit { call, ret: -4000 }), "mremap → -4000");
        assert_eq!(says(What::Exit { call, ret: 0x7f00_0000_0000 }), "mremap → 0x7f0000000000");
        assert_eq!(says(What::Exit { call, ret: 0 }), "mremap → 0");
        assert_eq!(says(What::Exit { call, ret: i64::MIN }), "mremap → 0x8000000000000000");
        let what = What::Set { gfn: Gfn(0x100_376), spte: Spte(0x1e1a_77883 | 2), sptep: 0xffff_8880_0000_0010, level: 1 };
        assert_eq!(says(what), "set gfn 0x100376 → pfn 0x1e1a77 level 1 rw at 0xffff888000000010");
        let what = What::Changed { gfn: Gfn(1), old: Spte(0x1801), new: Spte(0x5a0), level: 2, space: 1 };
        assert_eq!(says(what), "change gfn 0x1: table 0x1 level 2 ro → nothing (0x5a0) level 2 in space 1");
        assert_eq!(says(What::TlbFlush { reason: 1, pages: u64::MAX }), "flush host TLB: all, remote shootdown");
        assert_eq!(says(What::TlbFlush { reason: 9, pages: 1 }), "flush host TLB: 1 page, reason 9");
        assert_eq!(says(What::Free { pfn: Pfn::new(0x12), order: 9 }), "free pfn 0x12 order 9");
        let what = What::RangeStart { mm: 1, start, end, reason: 6 };
        assert_eq!(says(what), "range start [0x7f0000000000, 0x7f0000010000) 16 pages migrate");
    }

    #[test]
    fn names_are_those_of_tracefs() {
        for call in Call::NAMES {
            let call = Call::named(call).unwrap();
            assert_eq!(name(&What::Enter { call, args: [0; 6] }), format!("syscalls/sys_enter_{}", call.name()));
            assert_eq!(name(&What::Exit { call, ret: 0 }), format!("syscalls/sys_exit_{}", call.name()));
            assert_eq!(fields(&What::Enter { call, args: [0; 6] }).as_slice().len(), arguments(call));
        }
        assert!(name(&What::Flush { kvm: 0 }).starts_with(PROBES));
        let names: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
        assert!((0..names.len()).all(|at| !names[..at].contains(&names[at])), "no column twice");
        assert!(Field::ALL.iter().enumerate().all(|(at, field)| *field as usize == at));
    }
}
