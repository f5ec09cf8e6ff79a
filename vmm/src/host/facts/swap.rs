//! Swap: where pages could go that are taken from a guest.

use serde::Serialize;

use super::fact::Fact;
use super::tree::Tree;
use crate::host::knobs::{Knob, Setting};
use nix::sys::statfs::{EXT4_SUPER_MAGIC, FsType, TMPFS_MAGIC, XFS_SUPER_MAGIC, statfs};
use std::{os::unix::fs::FileTypeExt, path::Path};

/// Where a swap file is made, if there is no other way.
const FILE_DIR: &str = "/var/tmp";
/// Least free space there.
const FILE_ROOM_BYTES: u64 = 1 << 30;
/// File systems on which a file without holes can be swapped to, whatever the mount options.
const FILE_SYSTEMS: [FsType; 2] = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC];

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
    /// A swap file that could be made.
    pub possible_file: Option<String>,
    /// Whether temporary files have a disk that they are written back to.
    pub temporary_files_on_disk: bool,
}

/// `RAMFS_MAGIC` (include/uapi/linux/magic.h).
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// Whether files in `dir` are written back to a disk. Where that cannot be known, they are.
pub(crate) fn writes_back(dir: &Path) -> bool {
    // A device is its own disk, whatever its name is kept on.
    if dir.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device()) {
        return true;
    }
    let kind = statfs(dir).map(|system| system.filesystem_type());
    kind.map_or(true, |kind| kind != TMPFS_MAGIC && i128::from(kind.0) != i128::from(RAMFS_MAGIC))
}

impl Swap {
    pub(crate) fn read(tree: &Tree) -> Self {
        let idle_zram = tree.names("sys/block").unwrap_or_default().into_iter().find(|name| {
            name.starts_with("zram") && tree.number(&format!("sys/block/{name}/disksize")).is_ok_and(|bytes| bytes == 0)
        });
        Self {
            areas: tree.parse("proc/swaps", "the table of swap areas", parse).into(),
            idle_zram,
            possible_file: None,
            temporary_files_on_disk: true,
        }
    }

    /// Looks for a place for a swap file, and for what temporary files are on.
    pub(crate) fn probe(&mut self) {
        self.temporary_files_on_disk = writes_back(&std::env::temp_dir());
        let Ok(place) = statfs(FILE_DIR) else { return };
        let free = place.blocks_available().saturating_mul(place.block_size() as u64);
        let fits = FILE_SYSTEMS.contains(&place.filesystem_type()) && free >= FILE_ROOM_BYTES;
        self.possible_file = fits.then(|| format!("{FILE_DIR}/nostale.swap"));
    }

    /// The area that a run can use: one in use (to hold on to it, should it be another run's), else an idle zram device, else a file.
    pub fn area(&self) -> Option<String> {
        let areas = self.areas.known()?;
        let free = |area: &&SwapArea| area.used_bytes < area.total_bytes && !area.name.contains('\\');
        let used = areas.iter().find(free).map(|area| area.name.clone());
        used.or_else(|| self.idle_zram.as_ref().map(|name| format!("/dev/{name}"))).or_else(|| self.possible_file.clone())
    }

    /// The setting by which there is a disk of so many bytes that files can be written back to, where there is what it takes.
    pub fn disk_setting(&self, bytes: u64) -> Option<Setting> {
        Some(Setting::essential(Knob::disk(format!("/dev/{}", self.idle_zram.as_ref()?)), bytes.to_string()))
    }

    /// The setting by which swap is there, where [`Swap::area`] knows one.
    pub fn setting(&self) -> Option<Setting> {
        Some(Setting::essential(Knob::swap_area(Path::new(&self.area()?)), "on"))
    }

    /// Bytes that are still free in all areas.
    pub fn free_bytes(&self) -> u64 {
        let areas = self.areas.known().map(Vec::as_slice).unwrap_or_default();
        areas.iter().fold(0, |sum, area| sum.saturating_add(area.total_bytes.saturating_sub(area.used_bytes)))
    }
}

/// Bytes that are free for swap at this moment.
pub(crate) fn free_swap_bytes() -> u64 {
    Swap::read(&Tree::new("/")).free_bytes()
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
    fn swap_in_use_is_preferred_to_what_would_have_to_be_set_up() {
        let mut swap = read(format!("{HEADER}/full partition 8 8 -2\n/swap partition 16 8 -3\n"));
        swap.idle_zram = Some("zram0".to_owned());
        assert_eq!(swap.area().as_deref(), Some("/swap"));
        let mut swap = read(HEADER.into());
        assert_eq!(swap.area(), None);
        swap.possible_file = Some("/file".to_owned());
        assert_eq!(swap.area().as_deref(), Some("/file"));
        swap.idle_zram = Some("zram0".to_owned());
        assert_eq!(swap.area().as_deref(), Some("/dev/zram0"));
    }

    #[test]
    fn zram_is_idle_until_it_has_a_size() {
        let fake = Fake::new().file("sys/block/zram0/disksize", "4096\n").file("sys/block/zram1/disksize", "0\n");
        assert_eq!(Swap::read(&fake.tree()).idle_zram.as_deref(), Some("zram1"));
    }
}
