//! Pages that come back: each is written home under a claim, because other operations have pages, too, for a while.

use super::{
    HOME, MigrationError,
    memory::Memory,
    stream::{Area, Pages},
};
use crate::machine::AWAY;
use nostale_notifier::addr::PAGE_SIZE;
use std::{collections::BTreeMap, time::Instant};

/// A page's contents.
pub(super) type Content = [u8; PAGE_SIZE as usize];

/// The pages of a message and their contents.
///
/// # Errors
/// Contents that are not there.
pub(super) fn contents(pages: &Pages) -> impl Iterator<Item = (Area, u64, &Content)> {
    const ZEROS: &Content = &[0; PAGE_SIZE as usize];
    let area = if pages.arena { Area::Arena } else { Area::System };
    let mut full = pages.data.as_chunks().0.iter();
    pages.entries.iter().map_while(move |&(page, zero)| Some((area, page, if zero { ZEROS } else { full.next()? })))
}

/// Pages on their way home.
#[derive(Debug, Default)]
pub(super) struct Homecoming {
    waiting: BTreeMap<u64, Box<Content>>,
}

impl Homecoming {
    /// Brings pages home, or keeps them until others have done with their places.
    pub(super) fn bring(&mut self, memory: &Memory<'_>, pages: &Pages) -> Result<(), MigrationError> {
        for (area, page, content) in contents(pages) {
            if page >= memory.pages(area) {
                return Err(MigrationError::NoSuchPage { page, pages: memory.pages(area) });
            }
            // What waits is older.
            if area == Area::Arena {
                self.waiting.remove(&page);
            }
            if !put(memory, area, page, content) {
                self.waiting.insert(page, Box::new(*content));
            }
        }
        Ok(())
    }

    /// Brings home what is still waiting.
    pub(super) fn finish(&mut self, memory: &Memory<'_>) -> Result<(), MigrationError> {
        let begin = Instant::now();
        loop {
            self.waiting.retain(|&page, content| !put(memory, Area::Arena, page, content));
            let Some(&first) = self.waiting.keys().next() else { return Ok(()) };
            if begin.elapsed() > HOME {
                return Err(MigrationError::NotHome { pages: self.waiting.len() as u64, first, bound: HOME });
            }
            std::thread::sleep(AWAY);
        }
    }
}

fn put(memory: &Memory<'_>, area: Area, page: u64, content: &Content) -> bool {
    if area == Area::System {
        return memory.write(area, page, content);
    }
    let Some(claim) = memory.arena.claim(page, 1) else { return false };
    // An operation may have given the page at home a newer generation since the guest left, and promised it. The guest comes back
    // with the older one, so the promise is taken back first.
    if let Some(board) = memory.system.boards().get(page as usize) {
        board.returned.store(0, std::sync::atomic::Ordering::Release);
    }
    let written = memory.write(area, page, content);
    drop(claim);
    written
}
