//! A row of a table.

use crate::{
    addr::PAGE_SIZE,
    trace::{
        describe::{self, Field, Fields},
        event::{Item, SlotMap},
    },
};

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// When.
    pub tsc: u64,
    /// On which CPU, if on one.
    pub cpu: Option<u16>,
    /// In which thread, if in one.
    pub tid: Option<i32>,
    /// Group and name of the event.
    pub event: &'static str,
    /// What it says.
    pub fields: Fields,
}

/// What is no event of the kernel has names of its own: a table in which events are missing must say so.
pub(super) const LOST: &str = "recording/lost";
/// A memslot.
pub(super) const SLOT: &str = "recording/slot";
/// A look at the primary MMU. Its single entries stay in the recording: a row for each would bury the events.
pub(super) const PRIMARY: &str = "recording/primary";

/// Calls `each` with every row that an item makes: one for an event, one for each memslot.
pub(super) fn rows<E>(item: &Item, mut each: impl FnMut(&Row) -> Result<(), E>) -> Result<(), E> {
    let tsc = item.tsc().0;
    match item {
        Item::Event(event) => each(&Row {
            tsc,
            cpu: Some(event.at.cpu),
            tid: Some(event.at.tid.0),
            event: describe::name(&event.what),
            fields: describe::fields(&event.what),
        }),
        Item::Lost { cpu, events, .. } => {
            let lost = events.map(|events| (Field::Lost, events));
            each(&Row { tsc, cpu: Some(*cpu), tid: None, event: LOST, fields: Fields::new(lost.as_slice()) })
        }
        Item::Slots { slots, .. } => slots.iter().try_for_each(|slot| {
            let SlotMap { gfn, pages, hva } = *slot;
            let fields = Fields::new(&[(Field::Gfn, gfn.0), (Field::Pages, pages), (Field::Hva, hva.get())]);
            each(&Row { tsc, cpu: None, tid: None, event: SLOT, fields })
        }),
        Item::Primary(sample) => {
            let pages = sample.entries.len() as u64;
            let end = sample.start.get().saturating_add(pages.saturating_mul(PAGE_SIZE));
            let fields = Fields::new(&[
                (Field::From, sample.from.0),
                (Field::Hva, sample.start.get()),
                (Field::HvaEnd, end),
                (Field::Pages, pages),
            ]);
            each(&Row { tsc, cpu: None, tid: None, event: PRIMARY, fields })
        }
    }
}
