//! A guest's memory as pages of two areas, wherever it is.

use super::stream::Area;
use crate::{
    machine::Bitmap,
    memory::{Arena, System},
};
use nostale_notifier::{Hva, HvaRange, addr::PAGE_SIZE};

/// A guest's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory<'a> {
    pub(super) arena: &'a Arena,
    pub(super) system: &'a System,
}

impl Memory<'_> {
    /// Pages of an area.
    pub(super) fn pages(&self, area: Area) -> u64 {
        match area {
            Area::Arena => self.arena.pages(),
            Area::System => self.system.region().size() as u64 / PAGE_SIZE,
        }
    }

    /// Where a page of an area is, if there is such a page.
    pub(super) fn hva(&self, area: Area, page: u64) -> Option<Hva> {
        (page < self.pages(area)).then(|| match area {
            Area::Arena => self.arena.hva(page),
            Area::System => Hva::new(self.system.region().as_ptr() as u64 + page * PAGE_SIZE),
        })
    }

    /// Where an area is.
    pub(super) fn range(&self, area: Area) -> Option<HvaRange> {
        HvaRange::new(self.hva(area, 0)?, self.pages(area))
    }

    /// Copies a page out. `false` while it is not at home.
    pub(super) fn read(&self, area: Area, page: u64, to: &mut [u8]) -> bool {
        self.hva(area, page).is_some_and(|at| self.arena.primary().copy_from(at, to).is_ok())
    }

    /// Copies a page in, which nobody else writes. `false` while it is not at home, or if there is no such page.
    pub(super) fn write(&self, area: Area, page: u64, from: &[u8; PAGE_SIZE as usize]) -> bool {
        // SAFETY: a page of the guest's memory at home, or nothing.
        self.hva(area, page).is_some_and(|at| unsafe { self.arena.primary().copy_to(at, from) }.is_ok())
    }
}

/// Pages of both areas.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    pub(super) arena: Bitmap,
    pub(super) system: Bitmap,
}

impl Set {
    /// None.
    pub(super) fn none(memory: &Memory<'_>) -> Self {
        Self { arena: Bitmap::new(memory.pages(Area::Arena)), system: Bitmap::new(memory.pages(Area::System)) }
    }

    /// All pages of the areas that are named.
    pub(super) fn all(memory: &Memory<'_>, areas: &[Area]) -> Self {
        let mut set = Self::none(memory);
        for &area in areas {
            (0..memory.pages(area)).for_each(|page| set.insert(area, page));
        }
        set
    }

    fn of(&self, area: Area) -> &Bitmap {
        match area {
            Area::Arena => &self.arena,
            Area::System => &self.system,
        }
    }

    pub(super) fn insert(&mut self, area: Area, page: u64) {
        match area {
            Area::Arena => self.arena.insert(page),
            Area::System => self.system.insert(page),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.arena.merge(&other.arena);
        self.system.merge(&other.system);
    }

    pub(super) fn count(&self) -> u64 {
        self.arena.count() + self.system.count()
    }

    /// The pages, the system slot's first: boards are copied once, for no vCPU writes them, and what they promise of a page holds of
    /// any copy of it that is made later. A board that is newer than its page would be a lie at the destination: operations give
    /// pages their generations through other mappings, too, where no log sees it.
    pub(super) fn pages(&self) -> impl Iterator<Item = (Area, u64)> + use<'_> {
        [Area::System, Area::Arena].into_iter().flat_map(|area| self.of(area).pages().map(move |page| (area, page)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_go_before_the_pages_of_which_they_speak() {
        let mut set = Set { arena: Bitmap::new(8), system: Bitmap::new(8) };
        [(Area::Arena, 1), (Area::System, 7), (Area::Arena, 0)].into_iter().for_each(|(area, page)| set.insert(area, page));
        assert_eq!(set.pages().collect::<Vec<_>>(), [(Area::System, 7), (Area::Arena, 0), (Area::Arena, 1)]);
    }
}
