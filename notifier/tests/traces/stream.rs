//! Streams of events as texts:
//!
//! ```text
//! # What happens, in a line or more
//! rule announced
//! breaks announced primary          which rules the doctored stream breaks
//! mmu shadow                        or tdp
//! probes                            where probes tell of begin and end
//! slot 0x100 0x1000 0x7f0000000000  first gfn, pages, hva
//! 100 0 11 set gfn=0x100 spte=…     tsc, cpu, tid, kind, fields
//! 200 0 0 primary from=190 start=0x7f0000000000 0x8…  entries of pagemap
//! ```

use nostale_notifier::{
    Hva, Pfn,
    event::Tsc,
    trace::{
        event::{At, Call, Gfn, Item, KernelEvent, PrimarySample, SlotMap, Spte, Tid, What},
        head::{Format, Head, Mmu},
    },
};
use std::collections::BTreeMap;

/// Everything that could be recorded with tracepoints, and with probes.
const TRACEPOINTS: [&str; 9] = [
    "kvm/kvm_unmap_hva_range",
    "kvmmmu/kvm_mmu_set_spte",
    "migrate/set_migration_pte",
    "migrate/remove_migration_pte",
    "syscalls/sys_enter_munmap",
    "syscalls/sys_exit_munmap",
    "kmem/mm_page_free",
    "kvmmmu/kvm_mmu_prepare_zap_page",
    "tlb/tlb_flush",
];
const PROBES: [&str; 6] = [
    "nostale_trace/range_start",
    "nostale_trace/range_end",
    "nostale_trace/invalidate_begin",
    "nostale_trace/invalidate_end",
    "nostale_trace/flush",
    "nostale_trace/slot_unmap",
];

#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) rule: String,
    pub(crate) breaks: Vec<String>,
    pub(crate) head: Head,
    pub(crate) items: Vec<Item>,
}

impl Stream {
    /// The stream with the lines that are marked with `own` and those that are not marked.
    pub(crate) fn parse(text: &str, own: char) -> Result<Self, String> {
        let mut head = Head {
            kernel: "test".to_owned(),
            cpu: "test".to_owned(),
            cpus: 2,
            mmu: Mmu::Shadow,
            hertz: 1e9,
            began: 0,
            pid: Some(1),
            command: "vmm".to_owned(),
            title: String::new(),
            header_page: String::new(),
            formats: Vec::new(),
            missing: BTreeMap::new(),
            probes: false,
        };
        let (mut rule, mut breaks, mut slots, mut items) = (String::new(), Vec::new(), Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = match line.chars().next() {
                Some(mark @ ('-' | '+')) if mark == own => &line[1..],
                Some('-' | '+' | '#') | None => continue,
                Some(_) => line,
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            let bad = || format!("line {}: {line}", number + 1);
            match words.as_slice() {
                [] => {}
                ["rule", name] => rule = (*name).to_owned(),
                ["breaks", names @ ..] => breaks = names.iter().map(|name| (*name).to_owned()).collect(),
                ["mmu", "shadow"] => head.mmu = Mmu::Shadow,
                ["mmu", "tdp"] => head.mmu = Mmu::Tdp,
                ["probes"] => head.probes = true,
                ["slot", gfn, pages, hva] => slots.push(SlotMap {
                    gfn: Gfn(number_of(gfn).ok_or_else(bad)?),
                    pages: number_of(pages).ok_or_else(bad)?,
                    hva: Hva::new(number_of(hva).ok_or_else(bad)?),
                }),
                [tsc, cpu, tid, kind, fields @ ..] => {
                    let number = |word: &str| number_of(word).ok_or_else(bad);
                    let at = At { tsc: Tsc(number(tsc)?), cpu: number(cpu)? as u16, tid: Tid(number(tid)? as i32) };
                    items.push(item(at, kind, fields).ok_or_else(bad)?);
                }
                _ => return Err(bad()),
            }
        }
        let tdp = (head.mmu == Mmu::Tdp).then_some("kvmmmu/kvm_tdp_mmu_spte_changed");
        let probes = PROBES.iter().filter(|_| head.probes).copied();
        let names = TRACEPOINTS.into_iter().chain(tdp).chain(probes);
        head.formats = names.map(|name| Format { name: name.to_owned(), text: String::new() }).collect();
        items.insert(0, Item::Slots { tsc: Tsc(0), slots });
        if !items.is_sorted_by_key(Item::tsc) {
            return Err("not in order of time".to_owned());
        }
        Ok(Self { rule, breaks, head, items })
    }

    /// Loses an item, and says so.
    pub(crate) fn lose(&mut self, number: usize) {
        let Item::Event(KernelEvent { at, .. }) = self.items[number] else { return };
        self.items.remove(number);
        // Known as late as in a recording: with the next event of the same CPU.
        let same_cpu = |item: &Item| matches!(item, Item::Event(event) if event.at.cpu == at.cpu);
        let since = self.items[..number].iter().rfind(|item| same_cpu(item)).map_or(Tsc(0), Item::tsc);
        let next = self.items[number..].iter().position(same_cpu).map_or(self.items.len(), |next| number + next);
        let until = self.items.get(next).map_or(at.tsc, Item::tsc);
        self.items.insert(next, Item::Lost { since, until, cpu: at.cpu, events: Some(1) });
    }
}

fn number_of(word: &str) -> Option<u64> {
    word.strip_prefix("0x").map_or_else(|| word.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok())
}

fn item(at: At, kind: &str, words: &[&str]) -> Option<Item> {
    let mut fields = BTreeMap::new();
    let mut bare = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((name, value)) => _ = fields.insert(name, value),
            None => bare.push(*word),
        }
    }
    let text = |name: &str| fields.get(name).copied();
    let number = |name: &str| text(name).and_then(number_of);
    let hva = |name: &str| number(name).map(Hva::new);
    let spte = |name: &str| number(name).map(Spte);
    let level = || number("level").map(|level| level as u8);
    let order = || number("order").map(|order| order as u8);
    let gfn = || number("gfn").map(Gfn);
    // That of the VM's process, unless it is said.
    let mm = || number("mm").unwrap_or(1);
    let what = match kind {
        "enter" => {
            let mut args = [0; 6];
            for (arg, word) in args.iter_mut().zip(&bare[1..]) {
                *arg = number_of(word)?;
            }
            What::Enter { call: Call::named(bare.first()?)?, args }
        }
        "exit" => What::Exit { call: Call::named(bare.first()?)?, ret: text("ret").and_then(ret_of)? },
        "new_task" => What::NewTask { child: Tid(number("child")? as i32), flags: number("flags")? },
        "unmap" => What::Unmap { start: hva("start")?, end: hva("end")? },
        "range_start" => What::RangeStart { mm: mm(), start: hva("start")?, end: hva("end")?, reason: 0 },
        "range_end" => What::RangeEnd { mm: mm(), start: hva("start")?, end: hva("end")? },
        "slot_unmap" => What::SlotUnmap {
            start: number("start").map(Gfn)?,
            end: number("end").map(Gfn)?,
            base: number("base").map(Gfn)?,
            hva: hva("hva")?,
        },
        "begin" => What::Begin { kvm: 1 },
        "end" => What::End { kvm: 1 },
        "flush" => What::Flush { kvm: 1 },
        "requested" => What::Requested { gfn: gfn()?, pfn: Pfn::new(number("pfn")?), level: level()? },
        "set" => What::Set { gfn: gfn()?, spte: spte("spte")?, sptep: number("sptep")?, level: level()? },
        "changed" => What::Changed { gfn: gfn()?, old: spte("old")?, new: spte("new")?, level: level()?, space: 0 },
        "fault" => What::Fault { vcpu: 0, address: number("address")?, error: 2 },
        "zap_table" => What::ZapTable { gfn: gfn()?, role: number("role")? as u32 },
        "set_migration" => What::SetMigration { hva: hva("hva")?, entry: number("entry")?, order: order()? },
        "remove_migration" => What::RemoveMigration { hva: hva("hva")?, entry: number("entry")?, order: order()? },
        "tlb_flush" => What::TlbFlush { reason: number("reason")? as u8, pages: number("pages")? },
        "free" => What::Free { pfn: Pfn::new(number("pfn")?), order: order()? },
        "primary" => {
            let entries = bare.iter().map(|word| number_of(word)).collect::<Option<_>>()?;
            let sample = PrimarySample { from: Tsc(number("from")?), to: at.tsc, start: hva("start")?, entries };
            return Some(Item::Primary(sample));
        }
        _ => return None,
    };
    Some(Item::Event(KernelEvent { at, what }))
}

fn ret_of(word: &str) -> Option<i64> {
    word.strip_prefix("0x").map_or_else(|| word.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok().map(|ret| ret as i64))
}
