//! Swap: where pages could go that are taken from a guest.

use serde::Serialize;

use super::fact::Fact;
use super::tree::Tree;

/// One swap area in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwapArea {
    /// The device or file.
    pub name: String,
    /// Its size.
    pub total_bytes: u64,
    /// What is taken of it.
    pub used_bytes: u64,
}

/// Swap on this host.
#[derive(Clone, Debug, Serialize)]
pub struct Swap {
    /// The areas in use.
    pub areas: Fact<Vec<SwapArea>>,
    /// A zram device nobody has set up: the quickest way to swap, without a disk.
    pub idle_zram: Option<String>,
}

impl Swap {
    pub(crate) fn read(tree: &Tree) -> Self {
        let idle_zram = tree.names("sys/block").unwrap_or_default().into_iter().find(|name| {
            name.starts_with("zram") && tree.number(&format!("sys/block/{name}/disksize")).is_ok_and(|bytes| bytes == 0)
        });
        Self { areas: tree.parse("proc/swaps", "the table of swap areas", parse).into(), idle_zram }
    }

    /// Bytes that are still free in all areas.
    pub fn free_bytes(&self) -> u64 {
        let areas = self.areas.known().map(Vec::as_slice).unwrap_or_default();
        areas.iter().fold(0, |sum, area| sum.saturating_add(area.total_bytes.saturating_sub(area.used_bytes)))
    }
}

/// Name, type, size and used in KiB, priority (`swap_show`, `mm/swapfile.c`). Blanks in a
/// name are escaped, so a line has five words.
fn parse(text: &str) -> Option<Vec<SwapArea>> {
    let mut lines = text.lines();
    lines.next().filter(|header| header.starts_with("Filename"))?;
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, _kind, total, used, _priority] = words.as_slice() else { return None };
            let bytes = |word: &str| word.parse::<u64>().ok()?.checked_mul(1024);
            Some(SwapArea { name: (*name).to_owned(), total_bytes: bytes(total)?, used_bytes: bytes(used)? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    const HEADER: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    fn read(text: String) -> Swap {
        Swap::read(&Fake::new().file("proc/swaps", text).tree())
    }

    #[test]
    fn no_swap() {
        let swap = read(HEADER.into());
        assert!(swap.areas.is(&vec![]));
        assert_eq!(swap.free_bytes(), 0);
    }

    #[test]
    fn a_file_and_a_deleted_one() {
        let swap = read(format!(
            "{HEADER}/swap\\040file                             file\t\t1024\t\t24\t\t-2\n/gone\\040(deleted) file 8 0 -3\n"
        ));
        let areas = swap.areas.known().expect("well formed");
        assert_eq!(areas[0], SwapArea { name: "/swap\\040file".into(), total_bytes: 1 << 20, used_bytes: 24 << 10 });
        assert_eq!(areas[1].name, "/gone\\040(deleted)");
        assert_eq!(swap.free_bytes(), (1000 << 10) + (8 << 10));
    }

    #[test]
    fn garbage() {
        for text in ["", "junk\n", "Filename\nx", "Filename\na b c d e", "Filename\na b 1 18446744073709551615 0"] {
            assert!(read(text.into()).areas.known().is_none(), "{text:?}");
        }
    }

    #[test]
    fn zram_is_idle_until_it_has_a_size() {
        let fake = Fake::new().file("sys/block/zram0/disksize", "4096\n").file("sys/block/zram1/disksize", "0\n");
        assert_eq!(Swap::read(&fake.tree()).idle_zram.as_deref(), Some("zram1"));
    }
}
