//! userfaultfd: page faults of this process, guests' among them, are served by this process.
//!
//! KVM takes the faults of guests in the kernel (`get_user_pages`), so a descriptor for user mode alone would not do. A thread whose
//! fault waits here waits until somebody resolves it, wakes its place, unregisters it, or closes the descriptor; whoever serves
//! must do one of these whatever happens to itself.

mod abi;
mod event;
mod features;
mod resolve;

pub use event::{Event, Next, PageFault, Stop};
pub use features::{Features, Modes};
pub use resolve::Filled;

use super::Pagemap;
use crate::errno;
use nix::errno::Errno;
use nostale_notifier::HvaRange;
use std::{
    fs::OpenOptions,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::AtomicU64,
};
use thiserror::Error;

/// What went wrong, where, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UserfaultError {
    /// There is none to be had for faults taken in the kernel.
    #[error("no userfaultfd for guest faults ({0}): run as root, or sysctl vm.unprivileged_userfaultfd=1")]
    Refused(Errno),
    /// It can do less than was asked for.
    #[error("userfaultfd of this kernel has no {missing}")]
    Features {
        /// What it lacks of what was asked for.
        missing: Features,
    },
    /// A request on a range failed.
    #[error("{call} on {range}: {errno}")]
    Request {
        /// Which.
        call: &'static str,
        /// Where.
        range: HvaRange,
        /// How.
        errno: Errno,
    },
    /// Its events cannot be read.
    #[error("reading from userfaultfd: {0}")]
    Read(Errno),
    /// An event that this program does not know.
    #[error("userfaultfd reports event {0:#x}, which nobody asked for")]
    UnknownEvent(u8),
    /// What shows where pages really are.
    #[error("/proc/self/pagemap: {0}")]
    Pagemap(Errno),
    /// The descriptor that tells a server to end.
    #[error("an eventfd to end a server of faults: {0}")]
    Stop(Errno),
}

/// A userfaultfd that serves faults of user mode and of the kernel. Closing it (dropping) resolves nothing but lets every waiting thread
/// go on, with whatever is mapped then: at once, unless a forked child still has its copy of the descriptor. Who unregisters first need
/// not ask.
#[derive(Debug)]
pub struct Userfault {
    fd: OwnedFd,
    offered: Features,
    pagemap: Pagemap,
    misreported: AtomicU64,
}

impl Userfault {
    /// Gets one that has all of `features`, from the system call or, where that is refused, from `/dev/userfaultfd`.
    ///
    /// # Errors
    /// When there is none for faults taken in the kernel, or it lacks a feature.
    pub fn open(features: Features) -> Result<Self, UserfaultError> {
        let fd = from_call(0).or_else(|errno| from_device().map_err(|_| errno)).map_err(UserfaultError::Refused)?;
        match handshake(&fd, features) {
            Ok(offered) => {
                let pagemap = Pagemap::open().map_err(errno::of).map_err(UserfaultError::Pagemap)?;
                Ok(Self { fd, offered, pagemap, misreported: AtomicU64::new(0) })
            }
            Err(Errno::EINVAL) => {
                // A descriptor takes part in one handshake only, so what is missing is learnt from another.
                let other = from_call(0).or_else(|_| from_device()).map_err(UserfaultError::Refused)?;
                let offered = handshake(&other, Features::NONE).map_err(UserfaultError::Refused)?;
                Err(UserfaultError::Features { missing: features.without(offered) })
            }
            Err(errno) => Err(UserfaultError::Refused(errno)),
        }
    }

    /// All that the kernel offers, asked for or not.
    #[must_use]
    pub const fn offered(&self) -> Features {
        self.offered
    }

    fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn owned(fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: a descriptor that a system call has just returned belongs to nobody else.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

const FLAGS: i32 = libc::O_CLOEXEC | libc::O_NONBLOCK;

/// One from the system call.
pub(crate) fn from_call(flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes flags only.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, FLAGS | flags) };
    owned(RawFd::try_from(fd).unwrap_or(-1))
}

/// One from the device, where the permissions of a file decide.
pub(crate) fn from_device() -> Result<OwnedFd, Errno> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/userfaultfd");
    let device = device.map_err(errno::of)?;
    // SAFETY: takes flags by value.
    owned(unsafe { libc::ioctl(device.as_raw_fd(), abi::USERFAULTFD_IOC_NEW, FLAGS) })
}

/// The first request on a descriptor, and the only one of its kind: asks for `features`, and tells all that the kernel offers.
pub(crate) fn handshake(fd: &OwnedFd, features: Features) -> Result<Features, Errno> {
    let mut api = abi::uffdio_api { api: abi::API, features: features.bits(), ioctls: 0 };
    // SAFETY: the kernel reads and writes `api`, which lives.
    unsafe { abi::api(fd.as_raw_fd(), &raw mut api) }?;
    Ok(Features::from_bits(api.features))
}

#[cfg(test)]
mod tests;
