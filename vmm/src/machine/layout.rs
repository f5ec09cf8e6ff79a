//! How the arena appears in guest-physical memory: in one piece, in several, twice, or at an odd place.

use super::slot::Slot;
use crate::memory::Arena;
use nostale_guest::abi::layout;
use nostale_notifier::{
    Gpa,
    addr::{PAGE_SIZE, PMD_SIZE},
    near::did_you_mean,
};
use rand::{Rng, RngExt};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// How the arena appears in guest-physical memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One memslot, aligned like its host memory.
    #[default]
    Plain,
    /// Several memslots of different sizes over one VMA: an invalidation can hit more than one.
    Split,
    /// Two memslots over the same host memory: half of the vCPUs work through either, and every invalidation must hit both.
    Alias,
    /// Guest-physical and host addresses differ in their offset within a PMD, so that no huge SPTE fits.
    Unaligned,
}

/// No layout has this name.
#[derive(Debug, Error)]
#[error("unknown layout '{name}'{}; known: {}", did_you_mean(name, names()), names().collect::<Vec<_>>().join(", "))]
pub struct UnknownLayout {
    /// As given.
    pub name: String,
}

fn names() -> impl Iterator<Item = &'static str> {
    Layout::ALL.into_iter().map(Layout::name)
}

/// Most memslots of a split arena.
const PIECES: u64 = 8;

impl Layout {
    /// Every layout.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Split, Self::Alias, Self::Unaligned];

    /// Its name on the command line and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Split => "split",
            Self::Alias => "alias",
            Self::Unaligned => "unaligned",
        }
    }

    /// One by chance; the plain one as often as all others together.
    #[must_use]
    pub fn draw(rng: &mut impl Rng) -> Self {
        if rng.random_bool(0.5) { Self::Plain } else { Self::ALL[rng.random_range(1..Self::ALL.len())] }
    }

    /// Guest-physical addresses at which vCPUs find the arena, by turns.
    #[must_use]
    pub fn bases(self, pages: u64, rng: &mut impl Rng) -> Vec<u64> {
        match self {
            Self::Plain | Self::Split => vec![layout::ARENA],
            Self::Alias => vec![layout::ARENA, (layout::ARENA + pages * PAGE_SIZE).next_multiple_of(1 << 30)],
            Self::Unaligned => vec![layout::ARENA + rng.random_range(1..PMD_SIZE / PAGE_SIZE) * PAGE_SIZE],
        }
    }

    /// The memslots that show the arena at these bases.
    #[must_use]
    pub fn slots(self, arena: &Arena, bases: &[u64], rng: &mut impl Rng) -> Vec<Slot> {
        let whole = bases.iter().map(|&base| Slot::home(Gpa::new(base), arena));
        match self {
            Self::Split => {
                whole.flat_map(|slot| split(slot, if arena.backing().huge { PMD_SIZE } else { PAGE_SIZE }, rng)).collect()
            }
            _ => whole.collect(),
        }
    }
}

/// Cuts a slot into pieces at multiples of `unit` bytes.
fn split(slot: Slot, unit: u64, rng: &mut impl Rng) -> Vec<Slot> {
    let units = slot.pages() * PAGE_SIZE / unit;
    let mut cuts: Vec<u64> = (1..PIECES.min(units)).map(|_| rng.random_range(1..units) * (unit / PAGE_SIZE)).collect();
    cuts.extend([0, slot.pages()]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).filter_map(|ends| slot.part(ends[0], ends[1] - ends[0])).collect()
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = UnknownLayout;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|layout| layout.name() == name).ok_or_else(|| UnknownLayout { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Backing;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn every_page_is_in_one_memslot_of_each_view() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        for (backing, pages) in [(Backing::ANON, 1024), (Backing::ANON_THP, 1024), (Backing::ANON_THP, 300)] {
            let arena = Arena::new(backing, pages, &std::env::temp_dir()).expect("memory");
            for layout in Layout::ALL {
                let bases = layout.bases(pages, &mut rng);
                let slots = layout.slots(&arena, &bases, &mut rng);
                for &base in &bases {
                    for page in 0..pages {
                        let gpa = Gpa::new(base + page * PAGE_SIZE);
                        let shown: Vec<_> = slots.iter().filter_map(|slot| slot.translate(gpa)).collect();
                        assert_eq!(shown, [arena.hva(page)], "{layout} at {gpa}");
                    }
                }
                assert_eq!(slots.iter().map(Slot::pages).sum::<u64>(), pages * bases.len() as u64);
                assert_eq!(
                    slots.len() > 1,
                    matches!(layout, Layout::Alias) || layout == Layout::Split && pages == 1024,
                    "{layout}"
                );
            }
        }
    }

    #[test]
    fn names_lead_back() {
        for layout in Layout::ALL {
            assert_eq!(layout.name().parse::<Layout>().expect("its own name"), layout);
        }
        assert!("splt".parse::<Layout>().expect_err("unknown").to_string().contains("did you mean 'split'?"));
    }
}
