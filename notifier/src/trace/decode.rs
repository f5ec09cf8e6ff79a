//! From the bytes of an event to what it says.
//!
//! For each event that a recording holds, its [format](super::format) is bound once to what is read from it (see [`known`]); then
//! events are decoded without looking at a name again, and without allocation.

mod known;

pub(crate) use known::{KNOWN, Kind, PROBES};

use super::{
    event::{Call, Gfn, Spte, Tid, What},
    format::{FormatError, Layout, Slot},
    head::Format,
};
use crate::{Hva, Pfn};
use std::collections::BTreeMap;

/// System calls have at most so many arguments, and no other event has more numbers.
pub(crate) const NUMBERS: usize = 6;

/// How one event is read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pid: Slot,
    slots: [Slot; NUMBERS],
}

impl Plan {
    /// Binds an event to its format; `None` if nobody here knows an event of that name.
    pub(crate) fn bind(name: &str, layout: &Layout) -> Result<Option<Self>, FormatError> {
        let Some((kind, wanted)) = known::find(name) else { return Ok(None) };
        let mut slots = [Slot::default(); NUMBERS];
        if let Kind::Enter(_) = kind {
            // All that follow the number; behind them, kernels since 6.19 add what user memory holds there, which are no plain ones.
            let arguments =
                layout.fields.iter().skip_while(|field| field.name != "__syscall_nr").skip(1).filter(|field| field.plain);
            for (slot, field) in slots.iter_mut().zip(arguments) {
                *slot = field.slot()?;
            }
        }
        for (slot, field) in slots.iter_mut().zip(wanted) {
            match field.names.iter().find_map(|name| layout.field(name)) {
                Some(found) => *slot = found.slot()?,
                None if field.needed => return Err(FormatError::Absent(field.names[0])),
                None => {}
            }
        }
        let pid = layout.field("common_pid").ok_or(FormatError::Absent("common_pid"))?.slot()?;
        Ok(Some(Self { kind, pid, slots }))
    }

    /// What an event says, and in which thread's context; `None` if it is too short for its format.
    #[inline]
    pub(crate) fn decode(&self, event: &[u8]) -> Option<(Tid, What)> {
        let number = |at: usize| self.slots[at].read(event);
        let hva = |at| number(at).map(Hva::new);
        let pfn = |at| number(at).map(Pfn::new);
        let gfn = |at| number(at).map(Gfn);
        let spte = |at| number(at).map(Spte);
        let what = match self.kind {
            Kind::Enter(call) => {
                What::Enter { call, args: [number(0)?, number(1)?, number(2)?, number(3)?, number(4)?, number(5)?] }
            }
            Kind::Exit(call) => What::Exit { call, ret: number(0)? as i64 },
            Kind::NewTask => What::NewTask { child: Tid(number(0)? as i32), flags: number(1)? },
            Kind::Unmap => What::Unmap { start: hva(0)?, end: hva(1)? },
            Kind::ChangePte => What::ChangePte { hva: hva(0)? },
            Kind::RangeStart => What::RangeStart { mm: number(0)?, start: hva(1)?, end: hva(2)?, reason: number(3)? as u32 },
            Kind::RangeEnd => What::RangeEnd { mm: number(0)?, start: hva(1)?, end: hva(2)? },
            Kind::Begin => What::Begin { kvm: number(0)? },
            Kind::End => What::End { kvm: number(0)? },
            Kind::SlotUnmap => What::SlotUnmap { start: gfn(0)?, end: gfn(1)?, base: gfn(2)?, hva: hva(3)? },
            Kind::Flush => What::Flush { kvm: number(0)? },
            Kind::Requested => What::Requested { gfn: gfn(0)?, pfn: pfn(1)?, level: number(2)? as u8 },
            Kind::Set => What::Set { gfn: gfn(0)?, spte: spte(1)?, sptep: number(2)?, level: number(3)? as u8 },
            Kind::Changed => {
                What::Changed { gfn: gfn(0)?, old: spte(1)?, new: spte(2)?, level: number(3)? as u8, space: number(4)? as u8 }
            }
            Kind::FastFault => What::FastFault { sptep: number(0)?, old: spte(1)?, new: spte(2)? },
            Kind::Fault => What::Fault { vcpu: number(2)? as u32, address: number(0)?, error: number(1)? },
            Kind::ZapTable => What::ZapTable { gfn: gfn(0)?, role: number(1)? as u32 },
            Kind::ZapAll => What::ZapAll,
            // One entry each, whatever the order that they name: that is the folio's, of which the entry maps a page.
            Kind::SetMigration => What::SetMigration { hva: hva(0)?, entry: number(1)?, order: 0 },
            Kind::SetMigrationPmd => What::SetMigration { hva: hva(0)?, entry: number(1)?, order: PMD_ORDER },
            Kind::RemoveMigration => What::RemoveMigration { hva: hva(0)?, entry: number(1)?, order: 0 },
            Kind::RemoveMigrationPmd => What::RemoveMigration { hva: hva(0)?, entry: number(1)?, order: PMD_ORDER },
            Kind::TlbFlush => What::TlbFlush { reason: number(0)? as u8, pages: number(1)? },
            Kind::Free => What::Free { pfn: pfn(0)?, order: number(1)? as u8 },
        };
        Some((Tid(self.pid.read(event)? as i32), what))
    }

    /// Bytes of an event that holds all that is read of it.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.iter().chain([&self.pid]).map(|slot| slot.end()).max().unwrap_or(0).max(2)
    }

    /// The inverse of [`Plan::decode`], for events that never happened: writes numbers where they lie.
    pub(crate) fn encode(&self, event: &mut [u8], tid: Tid, numbers: &[u64; NUMBERS]) {
        self.pid.write(event, tid.0 as u64);
        self.slots.iter().zip(numbers).for_each(|(slot, number)| slot.write(event, *number));
    }
}

/// log2 of the pages that a PMD maps.
const PMD_ORDER: u8 = 9;

/// How all events of a recording are read.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// By the number that events carry: one more than an index into `plans`; 0 for what nobody wanted.
    by_id: Vec<u16>,
    /// With the place of each one's name among the recording's formats.
    plans: Vec<(Plan, usize)>,
}

impl Decoder {
    /// Binds all formats of a recording; gives also why some cannot be.
    pub(crate) fn new(formats: &[Format]) -> (Self, BTreeMap<String, FormatError>) {
        let (mut decoder, mut missing) = (Self::default(), BTreeMap::new());
        for (at, Format { name, text }) in formats.iter().enumerate() {
            let bound = Layout::parse(text).and_then(|layout| Ok((layout.id, Plan::bind(name, &layout)?)));
            match bound {
                Ok((id, Some(plan))) => {
                    decoder.plans.push((plan, at));
                    let wide = decoder.by_id.len().max(usize::from(id) + 1);
                    decoder.by_id.resize(wide, 0);
                    // 65,536 events at most, as their numbers have 16 bits
                    decoder.by_id[usize::from(id)] = u16::try_from(decoder.plans.len()).unwrap_or(0);
                }
                Ok((_, None)) => {}
                Err(error) => {
                    missing.insert(name.clone(), error);
                }
            }
        }
        (decoder, missing)
    }

    /// The plan for an event, by its first two bytes, `common_type` (which is where it is: the kernel's own readers find the format by
    /// it before they know any); and the place of its format.
    #[inline]
    pub(crate) fn plan(&self, event: &[u8]) -> Option<u16> {
        let id = u16::from_le_bytes(*event.first_chunk()?);
        match self.by_id.get(usize::from(id)) {
            None | Some(0) => None,
            Some(at) => Some(at - 1),
        }
    }

    /// The plan itself.
    #[inline]
    pub(crate) fn get(&self, plan: u16) -> Option<&(Plan, usize)> {
        self.plans.get(usize::from(plan))
    }
}

/// What becomes of an event of this name, if it is of a system call.
fn call_of(name: &str) -> Option<Kind> {
    let call = |prefix| name.strip_prefix(prefix).and_then(Call::named);
    call("syscalls/sys_enter_").map(Kind::Enter).or_else(|| call("syscalls/sys_exit_").map(Kind::Exit))
}

#[cfg(test)]
mod tests;
