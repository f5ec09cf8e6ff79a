//! What a page holds at one time.

use nostale_guest::{
    abi::{MAX_VCPUS, PAGE_SIZE},
    page::{GENERATION, LINES, line_offset, stamp_place, word_offset},
};

/// The lines of a page, word by word, as found at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Counter, host word, and stamps of each line.
    pub lines: [[u64; 8]; LINES],
}

impl Snapshot {
    /// Index of the host's word, which the host itself may change, in each line.
    const HOST_WORD: usize = 1;

    /// Reads a page word by word.
    ///
    /// # Errors
    /// The first word that cannot be read.
    pub fn read<E>(mut load: impl FnMut(u64) -> Result<u64, E>) -> Result<Self, E> {
        let mut lines = [[0; 8]; LINES];
        for (line, words) in lines.iter_mut().enumerate() {
            for (word, value) in words.iter_mut().enumerate() {
                *value = load(line_offset(line) + word as u64 * 8)?;
            }
        }
        Ok(Self { lines })
    }

    /// A page that nobody has written.
    #[must_use]
    pub const fn empty() -> Self {
        Self { lines: [[0; 8]; LINES] }
    }

    /// A page that holds this, and `generation`. Nothing lies between the lines of an arena page.
    #[must_use]
    pub fn page(&self, generation: u64) -> [u8; PAGE_SIZE as usize] {
        let mut bytes = [0; PAGE_SIZE as usize];
        for (line, words) in self.lines.iter().enumerate() {
            let place = &mut bytes[line_offset(line) as usize..];
            place.chunks_exact_mut(8).zip(words).for_each(|(place, word)| place.copy_from_slice(&word.to_ne_bytes()));
        }
        let word = word_offset(GENERATION) as usize;
        bytes[word..word + 8].copy_from_slice(&generation.to_ne_bytes());
        bytes
    }

    /// Where the other differs in what writers write: line, word, and both values.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<(usize, usize, u64, u64)> {
        let words = |lines: &[[u64; 8]; LINES]| (*lines).into_iter().enumerate();
        words(&self.lines).zip(words(&other.lines)).find_map(|((line, mine), (_, theirs))| {
            (0..8)
                .find(|&word| word != Self::HOST_WORD && mine[word] != theirs[word])
                .map(|word| (line, word, mine[word], theirs[word]))
        })
    }

    /// The counters' values.
    #[must_use]
    pub fn counters(&self) -> [u64; LINES] {
        std::array::from_fn(|line| self.lines[line][0])
    }

    /// The generation that the host gave this page.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.lines[GENERATION][Self::HOST_WORD]
    }

    /// The newest promises with which any vCPU wrote here: vCPU, `returned`, `seen`; each maximum on its own.
    #[must_use]
    pub fn newest_stamps(&self) -> [(usize, u64); 2] {
        let mut newest = [(0, 0); 2];
        for vcpu in 0..MAX_VCPUS {
            let (line, slot) = stamp_place(vcpu);
            for (which, best) in newest.iter_mut().enumerate() {
                let stamp = self.lines[line][2 + 2 * slot + which];
                if stamp > best.1 {
                    *best = (vcpu, stamp);
                }
            }
        }
        newest
    }
}
