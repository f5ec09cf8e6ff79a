//! Third threads (seed S2): host threads that see a new page through the primary MMU as soon as anybody can, and say so, while
//! the operation that put it there is still running.

use crate::{
    host::clock,
    memory::{Arena, System},
    oracle::Watch,
};
use nostale_guest::page::{GENERATION, word_offset};
use nostale_notifier::{
    Hva,
    event::{Event, Stage},
};
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// Pages looked at before the stop flag is.
const ROUND: u64 = 64;

/// Looks at the hot pages until `stop`, and counts the new pages that it saw first.
pub(super) fn watch(arena: &Arena, system: &System, watch: &Watch, actor: usize, stop: &AtomicBool, sightings: &AtomicU64) {
    let control = system.control();
    while !stop.load(Relaxed) {
        let hot = control.hot_start.load(Relaxed);
        let end = (hot + control.hot_pages.load(Relaxed).min(ROUND)).min(arena.pages());
        for page in hot.min(end)..end {
            let board = &system.boards()[page as usize];
            // `next` before the page: a fresh page is the one that `next` announces only if it was announced before.
            let next = board.next.load(Acquire);
            let Ok(held) = arena.primary().load(Hva::new(arena.hva(page).get() + word_offset(GENERATION))) else { continue };
            let generation = if held == 0 { next } else { held };
            if generation > board.seen.load(Relaxed) && board.seen.fetch_max(generation, AcqRel) < generation {
                sightings.fetch_add(1, Relaxed);
                if let Some(range) = arena.home().part(page, 1) {
                    let event = Event { tsc: clock::now(), stage: Stage::Seen, actor: "third thread".into(), range, generation };
                    watch.note(actor, event);
                }
            }
        }
    }
}
