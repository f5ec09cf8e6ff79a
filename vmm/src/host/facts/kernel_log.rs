//! `/dev/kmsg`, in which the kernel's own checks report.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use super::attempt::Attempt;
use crate::errno;

/// Opens the log for reading. The permission is checked here and not on the first read (`devkmsg_open`,
/// `kernel/printk/printk.c`), and opening takes nothing from other readers.
pub(crate) fn probe() -> Attempt {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
    Attempt::of("/dev/kmsg", opened.map_err(errno::of))
}
