//! `/proc/self/pagemap`: which physical page is where, the eyes of every test that moves pages.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::errno;
use nix::errno::Errno;
use serde::Serialize;

use super::attempt::Attempt;
use super::mapping::Mapping;
use super::memory::page_bytes;

/// Bits of an entry (`Documentation/admin-guide/mm/pagemap.rst`).
const FRAME_MASK: u64 = (1 << 55) - 1;
const SOFT_DIRTY: u64 = 1 << 55;
const PRESENT: u64 = 1 << 63;

/// What a page of our own, just written, shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pagemap {
    /// Its frame number. Since 4.2 everybody may read the file, and without `CAP_SYS_ADMIN` all frame numbers are 0.
    pub frame_numbers: Attempt,
    /// Its soft-dirty bit, which a fresh page always has under `CONFIG_MEM_SOFT_DIRTY`.
    pub soft_dirty: Attempt,
}

impl Pagemap {
    pub(crate) fn not_tried() -> Self {
        Self { frame_numbers: Attempt::NotTried, soft_dirty: Attempt::NotTried }
    }

    pub(crate) fn probe() -> Self {
        match entry() {
            Ok(entry) => Self::from_entry(entry),
            Err(errno) => {
                let refused = Attempt::refused("/proc/self/pagemap", errno);
                Self { frame_numbers: refused.clone(), soft_dirty: refused }
            }
        }
    }

    fn from_entry(entry: u64) -> Self {
        let shown = |what: &str, yes: bool, errno| if yes { Attempt::Works } else { Attempt::refused(what, errno) };
        Self {
            // not present: the page was swapped out between the write and the look, and nothing was learnt
            frame_numbers: match entry & PRESENT {
                0 => Attempt::refused("the page of the probe left memory", Errno::EAGAIN),
                _ => shown("/proc/self/pagemap hides frame numbers", entry & FRAME_MASK != 0, Errno::EPERM),
            },
            soft_dirty: shown("/proc/self/pagemap has no soft-dirty bit", entry & SOFT_DIRTY != 0, Errno::EOPNOTSUPP),
        }
    }
}

fn entry() -> Result<u64, Errno> {
    let mapping = Mapping::anonymous(usize::try_from(page_bytes()).unwrap_or(4096))?;
    mapping.touch(0);
    let mut entry = [0; 8];
    let offset = mapping.address() as u64 / page_bytes() * 8;
    File::open("/proc/self/pagemap").and_then(|file| file.read_exact_at(&mut entry, offset)).map_err(errno::of)?;
    Ok(u64::from_ne_bytes(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let all = Pagemap::from_entry(PRESENT | SOFT_DIRTY | 42);
        assert!(all.frame_numbers.works() && all.soft_dirty.works());
        let hidden = Pagemap::from_entry(PRESENT);
        assert_eq!(hidden.frame_numbers.errno(), Some(Errno::EPERM));
        assert_eq!(hidden.soft_dirty.errno(), Some(Errno::EOPNOTSUPP));
        assert_eq!(Pagemap::from_entry(42).frame_numbers.errno(), Some(Errno::EAGAIN));
    }
}
