//! zram devices, as swap areas and disks need them: they get a size once, and lose it, with all that is on them, by a reset.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Somebody may just look at a device (udev does, at every change), which keeps it from being reset.
const TRIES: u32 = 100;

/// A zram device.
pub(super) struct Zram {
    /// Its directory in sysfs.
    dir: PathBuf,
}

impl Zram {
    /// The device at `path`, if it is one.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let device = path.strip_prefix("/dev").ok()?.to_str()?;
        let number = device.strip_prefix("zram").filter(|number| !number.is_empty())?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| Self { dir: Path::new("/sys/block").join(device) })
    }

    /// Its size; 0 as long as nobody has set it up.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.dir.join("disksize"))?;
        text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("its size is {:?}", text.trim())))
    }

    /// Gives it a size. zram takes memory only for what is in it.
    ///
    /// `AlreadyExists` where somebody was quicker, and nothing was changed: of these two, only one may take it down again.
    pub(super) fn set_up(&self, bytes: u64) -> io::Result<()> {
        fs::write(self.dir.join("disksize"), format!("{bytes}\n")).map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => io::Error::new(io::ErrorKind::AlreadyExists, "somebody has set it up already"),
            _ => error,
        })
    }

    /// Takes its size, unless somebody has it open.
    pub(super) fn reset(&self) -> io::Result<()> {
        let step = || fs::write(self.dir.join("reset"), "1\n");
        for _ in 1..TRIES {
            match step() {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(Duration::from_millis(10)),
                result => return result,
            }
        }
        step()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zram_devices_are_zram_devices() {
        assert_eq!(Zram::at(Path::new("/dev/zram3")).map(|zram| zram.dir).as_deref(), Some(Path::new("/sys/block/zram3")));
        for other in ["/dev/sda", "/dev/zram", "/dev/zram3/x", "/dev/zram-control", "/zram3"] {
            assert!(Zram::at(Path::new(other)).is_none(), "{other}");
        }
    }
}
