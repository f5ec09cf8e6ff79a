//! A swap area as a setting: in use, or not. A zram device, which gets a size and a header first, or a file that is made for it.

use super::zram::Zram;
use nix::{
    errno::Errno,
    fcntl::{OFlag, posix_fallocate},
};
use std::{
    ffi::CString,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::Path,
};

pub(super) const ON: &str = "on";
pub(super) const OFF: &str = "off";
/// Neither: a device that has a size, or a file that is there, without being used for swap. Between two steps of ours, or
/// somebody else's business.
pub(super) const PREPARED: &str = "prepared";

const ZRAM_BYTES: u64 = 1 << 30;
const FILE_BYTES: u64 = 256 << 20;
const PAGE: u64 = 4096;

/// What the area at `path` is now.
pub(super) fn read(path: &Path) -> io::Result<&'static str> {
    if in_use(path, &fs::read_to_string("/proc/swaps")?) {
        return Ok(ON);
    }
    let prepared = match Zram::at(path) {
        Some(device) => device.bytes()? != 0,
        None => path.try_exists()?,
    };
    Ok(if prepared { PREPARED } else { OFF })
}

/// Makes it what `value` says.
pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    match (read(path)?, value) {
        (ON, ON) | (OFF, OFF) => Ok(()),
        (OFF, ON) => turn_on(path),
        (PREPARED, ON) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there already, for something else than swap")),
        (_, _) => turn_off(path),
    }
}

/// Whether the table of swap areas has `path`. Its names are escaped, and ours have nothing to escape.
fn in_use(path: &Path, swaps: &str) -> bool {
    swaps.lines().skip(1).any(|line| line.split_whitespace().next().is_some_and(|name| Path::new(name) == path))
}

fn turn_on(path: &Path) -> io::Result<()> {
    let bytes = match Zram::at(path) {
        Some(device) => {
            device.set_up(ZRAM_BYTES)?;
            // Exclusively: who has mounted it meanwhile keeps it.
            let exclusive = OFlag::O_EXCL.bits();
            OpenOptions::new().write(true).custom_flags(exclusive).open(path)?.write_all(&header(ZRAM_BYTES))?;
            ZRAM_BYTES
        }
        None => {
            // Never through a link, and never a file of somebody else's.
            let flags = OFlag::O_NOFOLLOW.bits();
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)?;
            posix_fallocate(&file, 0, FILE_BYTES as i64)?;
            file.write_all(&header(FILE_BYTES))?;
            // The kernel reads the header and the blocks' places from the disk.
            file.sync_all()?;
            FILE_BYTES
        }
    };
    debug_assert!(bytes % PAGE == 0);
    // SAFETY: a path that ends with 0.
    called(path, |name| unsafe { libc::swapon(name, 0) })
}

fn turn_off(path: &Path) -> io::Result<()> {
    // SAFETY: a path that ends with 0.
    match called(path, |name| unsafe { libc::swapoff(name) }) {
        // It was not in use.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        result => result?,
    }
    match Zram::at(path) {
        Some(device) => device.reset(),
        None => fs::remove_file(path),
    }
}

fn called(path: &Path, call: impl Fn(*const libc::c_char) -> i32) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    Ok(Errno::result(call(name.as_ptr())).map(drop)?)
}

/// What `mkswap` writes: the first page of an area of `bytes` (`union swap_header`, include/linux/swap.h).
fn header(bytes: u64) -> Vec<u8> {
    const INFO: usize = 1024;
    const MAGIC: &[u8] = b"SWAPSPACE2";
    let mut page = vec![0; PAGE as usize];
    let last = (bytes / PAGE - 1) as u32;
    page[INFO..INFO + 4].copy_from_slice(&1u32.to_ne_bytes());
    page[INFO + 4..INFO + 8].copy_from_slice(&last.to_ne_bytes());
    let end = page.len();
    page[end - MAGIC.len()..].copy_from_slice(MAGIC);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_in_use_are_found_by_their_whole_name() {
        let swaps = "Filename Type Size Used Priority\n/dev/zram10 partition 8 0 -2\n/a\\040b file 8 0 -3\n";
        assert!(in_use(Path::new("/dev/zram10"), swaps));
        assert!(!in_use(Path::new("/dev/zram1"), swaps));
        assert!(!in_use(Path::new("Filename"), swaps));
    }

    #[test]
    fn a_file_of_somebody_else_is_neither_used_nor_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("swap");
        assert_eq!(read(&path).expect("swaps"), OFF);
        fs::write(&path, "mine").expect("written");
        assert_eq!(read(&path).expect("swaps"), PREPARED);
        assert_eq!(write(&path, ON).map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&path).expect("still there"), b"mine");
    }

    #[test]
    fn the_header_is_where_the_kernel_looks() {
        let page = header(16 * PAGE);
        assert_eq!(&page[4086..], b"SWAPSPACE2");
        assert_eq!((page[1024], page[1028], page.len()), (1, 15, 4096));
    }
}
