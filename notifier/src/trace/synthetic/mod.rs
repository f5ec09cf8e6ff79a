//! Recordings of what never happened: a list of items becomes pages of a ring buffer, in formats as a kernel has them, and these a
//! recording that is read as any other. Doctored streams go through everything that real ones go through.

pub(crate) mod page;

use super::{
    decode::{KNOWN, NUMBERS, PROBES, Plan},
    event::{At, Call, Item, KernelEvent, What},
    file::{Source, Writer},
    format::{Layout, PageLayout},
    head::{Format, Head, Mmu, Tail},
};
use crate::event::Tsc;
use page::PageWriter;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

/// `events/header_page` of a kernel with pages of 4 KiB.
pub(crate) const HEADER_PAGE: &str = "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
";

/// Bytes of the fields that all events have.
const COMMON: usize = 8;

/// Items between two watermarks.
const CYCLE: usize = 512;

/// A description as the kernel would give it, of fields of these names and sizes.
fn describe(name: &str, id: usize, fields: &[(&str, usize)]) -> Format {
    let mut text = format!("name: {}\nID: {id}\nformat:\n", name.rsplit('/').next().unwrap_or(name));
    let mut line = |declaration: &str, offset: usize, size: usize, signed: bool| {
        // to a `String`, this cannot fail
        let _ = writeln!(text, "\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:{};", u8::from(signed));
    };
    line("unsigned short common_type", 0, 2, false);
    line("unsigned char common_flags", 2, 1, false);
    line("unsigned char common_preempt_count", 3, 1, false);
    line("int common_pid", 4, 4, true);
    let mut offset = COMMON;
    for (name, size) in fields {
        offset = offset.next_multiple_of(*size);
        let kind = match size {
            1 => "u8",
            4 => "int",
            _ => "u64",
        };
        line(&format!("{kind} {name}"), offset, *size, false);
        offset += size;
    }
    Format { name: name.to_owned(), text }
}

/// All events that there are.
fn formats() -> Vec<Format> {
    const ARGUMENTS: [(&str, usize); 7] = [("__syscall_nr", 4), ("a", 8), ("b", 8), ("c", 8), ("d", 8), ("e", 8), ("f", 8)];
    let known = KNOWN.iter().map(|(name, _, wanted)| {
        let fields: Vec<_> = wanted.iter().map(|field| (field.names[0], field.bytes)).collect();
        ((*name).to_owned(), fields)
    });
    let calls = Call::NAMES.iter().flat_map(|name| {
        let exit = vec![("__syscall_nr", 4), ("ret", 8)];
        [(format!("syscalls/sys_enter_{name}"), ARGUMENTS.to_vec()), (format!("syscalls/sys_exit_{name}"), exit)]
    });
    known.chain(calls).enumerate().map(|(at, (name, fields))| describe(&name, 100 + at, &fields)).collect()
}

/// A head for them, of a machine that there is not.
#[must_use]
pub fn head() -> Head {
    Head {
        kernel: "6.18.0-synthetic".to_owned(),
        cpu: "none".to_owned(),
        cpus: 2,
        mmu: Mmu::Tdp,
        hertz: 1e9,
        began: 0,
        pid: Some(1),
        command: "nobody".to_owned(),
        title: "synthetic".to_owned(),
        header_page: HEADER_PAGE.to_owned(),
        formats: formats(),
        missing: BTreeMap::new(),
        probes: true,
    }
}

/// In which buffer a recorder would find it, the event's name, and its numbers.
fn place(what: &What) -> (Source, String, [u64; NUMBERS]) {
    use Source::{Memory, Task};
    let probe = |name: &str| format!("{PROBES}/{name}");
    let event = |source, name: &str, numbers: &[u64]| {
        let mut all = [0; NUMBERS];
        all.iter_mut().zip(numbers).for_each(|(to, from)| *to = *from);
        (source, name.to_owned(), all)
    };
    match *what {
        What::Enter { call, args } => event(Task, &format!("syscalls/sys_enter_{}", call.name()), &args),
        What::Exit { call, ret } => event(Task, &format!("syscalls/sys_exit_{}", call.name()), &[ret as u64]),
        What::NewTask { child, flags } => event(Task, "task/task_newtask", &[child.0 as u64, flags]),
        What::Unmap { start, end } => event(Memory, "kvm/kvm_unmap_hva_range", &[start.get(), end.get()]),
        What::ChangePte { hva } => event(Memory, "kvm/kvm_set_spte_hva", &[hva.get()]),
        What::RangeStart { mm, start, end, reason } => {
            event(Memory, &probe("range_start"), &[mm, start.get(), end.get(), reason.into()])
        }
        What::RangeEnd { mm, start, end } => event(Memory, &probe("range_end"), &[mm, start.get(), end.get()]),
        What::Begin { kvm } => event(Memory, &probe("invalidate_begin"), &[kvm]),
        What::End { kvm } => event(Memory, &probe("invalidate_end"), &[kvm]),
        What::SlotUnmap { start, end, base, hva } => event(Memory, &probe("slot_unmap"), &[start.0, end.0, base.0, hva.get()]),
        What::Flush { kvm } => event(Memory, &probe("flush"), &[kvm]),
        What::Requested { gfn, pfn, level } => event(Task, "kvmmmu/kvm_mmu_spte_requested", &[gfn.0, pfn.get(), level.into()]),
        What::Set { gfn, spte, sptep, level } => event(Task, "kvmmmu/kvm_mmu_set_spte", &[gfn.0, spte.0, sptep, level.into()]),
        What::Changed { gfn, old, new, level, space } => {
            event(Memory, "kvmmmu/kvm_tdp_mmu_spte_changed", &[gfn.0, old.0, new.0, level.into(), space.into()])
        }
        What::FastFault { sptep, old, new } => event(Task, "kvmmmu/fast_page_fault", &[sptep, old.0, new.0]),
        What::Fault { vcpu, address, error } => event(Task, "kvm/kvm_page_fault", &[address, error, vcpu.into()]),
        What::ZapTable { gfn, role } => event(Memory, "kvmmmu/kvm_mmu_prepare_zap_page", &[gfn.0, role.into()]),
        What::ZapAll => event(Memory, "kvmmmu/kvm_mmu_zap_all_fast", &[]),
        What::SetMigration { hva, entry, order: 0 } => event(Memory, "migrate/set_migration_pte", &[hva.get(), entry]),
        What::SetMigration { hva, entry, .. } => event(Memory, "thp/set_migration_pmd", &[hva.get(), entry]),
        What::RemoveMigration { hva, entry, order: 0 } => event(Memory, "migrate/remove_migration_pte", &[hva.get(), entry]),
        What::RemoveMigration { hva, entry, .. } => event(Memory, "thp/remove_migration_pmd", &[hva.get(), entry]),
        What::TlbFlush { reason, pages } => event(Memory, "tlb/tlb_flush", &[reason.into(), pages]),
        What::Free { pfn, order } => event(Memory, "kmem/mm_page_free", &[pfn.get(), order.into()]),
    }
}

/// A CPU's buffer that is being filled.
#[derive(Debug)]
struct Filling {
    page: PageWriter,
    /// What is missing before that page.
    lost: Option<Option<u64>>,
    full: Vec<Vec<u8>>,
}

/// What turns items into pages.
struct Pages {
    layout: PageLayout,
    plans: BTreeMap<String, (u16, Plan)>,
    buffers: BTreeMap<(u16, Source), Filling>,
}

impl Pages {
    fn new(head: &Head) -> io::Result<Self> {
        let layout = PageLayout::parse(&head.header_page).map_err(io::Error::other)?;
        let mut plans = BTreeMap::new();
        for Format { name, text } in &head.formats {
            let layout = Layout::parse(text).map_err(io::Error::other)?;
            if let Some(plan) = Plan::bind(name, &layout).map_err(io::Error::other)? {
                plans.insert(name.clone(), (layout.id, plan));
            }
        }
        Ok(Self { layout, plans, buffers: BTreeMap::new() })
    }

    fn begin(&mut self, cpu: u16, source: Source, tsc: Tsc) -> &mut Filling {
        let layout = self.layout;
        let new = || Filling { page: PageWriter::new(layout, tsc.0), lost: None, full: Vec::new() };
        self.buffers.entry((cpu, source)).or_insert_with(new)
    }

    fn lose(&mut self, cpu: u16, until: Tsc, events: Option<u64>) {
        let layout = self.layout;
        let filling = self.begin(cpu, Source::Task, until);
        filling.next(layout, until);
        filling.lost = Some(events);
    }

    fn event(&mut self, KernelEvent { at, what }: &KernelEvent) -> io::Result<()> {
        let At { tsc, cpu, tid } = *at;
        let (source, name, numbers) = place(what);
        let none = || io::Error::new(io::ErrorKind::InvalidInput, format!("the head has no format of '{name}'"));
        let (id, plan) = self.plans.get(&name).ok_or_else(none)?;
        let mut event = vec![0; plan.bytes()];
        event[..2].copy_from_slice(&id.to_le_bytes());
        plan.encode(&mut event, tid, &numbers);
        let layout = self.layout;
        let filling = self.begin(cpu, source, tsc);
        if !filling.page.push(tsc.0, &event) {
            filling.next(layout, tsc);
            // an event is no larger than a page
            filling.page.push(tsc.0, &event);
        }
        Ok(())
    }

    fn flush<W: Write>(&mut self, writer: &mut Writer<W>) -> io::Result<()> {
        for ((cpu, source), mut filling) in std::mem::take(&mut self.buffers) {
            filling.next(self.layout, Tsc(0));
            if !filling.full.is_empty() {
                writer.pages(source, cpu, filling.full.iter().map(Vec::as_slice))?;
            }
        }
        Ok(())
    }
}

impl Filling {
    /// Ends the page, if there is anything on it or before it.
    fn next(&mut self, layout: PageLayout, tsc: Tsc) {
        let page = std::mem::replace(&mut self.page, PageWriter::new(layout, tsc.0));
        let lost = self.lost.take();
        if !page.is_empty() || lost.is_some() {
            self.full.push(page.finish(lost));
        }
    }
}

/// A recording that is being made up, item by item: what is in memory is what lies between two watermarks.
pub struct Made<W> {
    pages: Pages,
    writer: Writer<W>,
    /// Items since the last watermark, and when the latest of them was.
    held: usize,
    latest: Tsc,
}

impl<W> std::fmt::Debug for Made<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("latest", &self.latest).finish_non_exhaustive()
    }
}

impl<W: Write> Made<W> {
    /// Begins one. Its formats are those of the head, see [`head`].
    pub fn begin(sink: W, head: &Head) -> io::Result<Self> {
        Ok(Self { pages: Pages::new(head)?, writer: Writer::new(sink, head)?, held: 0, latest: Tsc(0) })
    }

    /// What happened next; they come in order of time.
    pub fn item(&mut self, item: &Item) -> io::Result<()> {
        match item {
            Item::Event(event) => self.pages.event(event)?,
            Item::Primary(sample) => self.writer.primary(sample)?,
            Item::Slots { tsc, slots } => self.writer.slots(*tsc, slots)?,
            Item::Lost { until, cpu, events, .. } => self.pages.lose(*cpu, *until, *events),
        }
        self.latest = item.tsc();
        self.held += 1;
        if self.held == CYCLE { self.cycle() } else { Ok(()) }
    }

    fn cycle(&mut self) -> io::Result<()> {
        self.held = 0;
        self.pages.flush(&mut self.writer)?;
        // those of the same time may be in the next cycle
        self.writer.watermark(self.latest)
    }

    /// Ends it.
    pub fn finish(mut self, tail: &Tail) -> io::Result<W> {
        if self.held > 0 {
            self.cycle()?;
        }
        self.writer.finish(tail)
    }
}

/// Writes a recording of these items, in order of time, however they stand here. Its formats are those of the head, see [`head`].
pub fn write<W: Write>(sink: W, head: &Head, items: &[Item], tail: &Tail) -> io::Result<W> {
    let mut made = Made::begin(sink, head)?;
    let mut sorted: Vec<_> = items.iter().collect();
    sorted.sort_by_key(|item| item.tsc());
    for item in sorted {
        made.item(item)?;
    }
    made.finish(tail)
}

/// The same in memory, with a [`head`] that knows all events.
pub fn recording(items: &[Item]) -> io::Result<Vec<u8>> {
    write(Vec::new(), &head(), items, &Tail::default())
}
