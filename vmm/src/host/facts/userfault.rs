//! userfaultfd: the three ways to get one, and what it can do.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use serde::Serialize;

use super::attempt::Attempt;
use super::fact::Fact;
use super::tree::Tree;

/// `include/uapi/linux/userfaultfd.h`: faults of the kernel are not served.
const UFFD_USER_MODE_ONLY: i32 = 1;
const UFFD_API: u64 = 0xaa;
const USERFAULTFD_IOC_NEW: libc::c_ulong = 0xaa00;
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;

/// Where userfaultfd comes from. KVM takes guest faults *in the kernel*, so one that serves user mode alone does not serve
/// guests: their accesses end in `EFAULT`.
#[derive(Clone, Debug, Serialize)]
pub struct Userfault {
    /// `vm.unprivileged_userfaultfd`: everybody may have the full kind from the system call.
    pub unprivileged: Fact<bool>,
    /// The system call, for all faults.
    pub full: Attempt,
    /// The system call with `UFFD_USER_MODE_ONLY` (5.11).
    pub user_mode_only: Attempt,
    /// `/dev/userfaultfd` (6.1), where permissions of a file decide.
    pub device: Attempt,
    /// What the kernel says it can do.
    pub features: Fact<Features>,
}

/// Features that operations depend on, from the `UFFDIO_API` handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Features {
    /// Every bit, for what has no name here.
    pub mask: u64,
    /// Write protection of anonymous memory (5.7).
    pub write_protect: bool,
    /// Missing pages in shared memory (4.11).
    pub missing_shmem: bool,
    /// Minor faults in shared memory (5.14).
    pub minor_shmem: bool,
    /// Write protection of shared and hugetlb memory (5.19).
    pub write_protect_shmem: bool,
    /// `UFFDIO_POISON` (6.6).
    pub poison: bool,
    /// Write protection that the kernel resolves and remembers by itself (6.7).
    pub write_protect_async: bool,
    /// `UFFDIO_MOVE` (6.8).
    pub r#move: bool,
}

impl Features {
    fn from_mask(mask: u64) -> Self {
        let has = |bit: u32| mask & (1 << bit) != 0;
        Self {
            mask,
            write_protect: has(0),
            missing_shmem: has(5),
            minor_shmem: has(10),
            write_protect_shmem: has(12),
            poison: has(14),
            write_protect_async: has(15),
            r#move: has(16),
        }
    }
}

impl Userfault {
    pub(crate) fn read(tree: &Tree) -> Self {
        Self {
            unprivileged: tree.switch("proc/sys/vm/unprivileged_userfaultfd").into(),
            full: Attempt::NotTried,
            user_mode_only: Attempt::NotTried,
            device: Attempt::NotTried,
            features: Fact::unknown("not tried"),
        }
    }

    pub(crate) fn probe(&mut self) {
        let (full, user_mode_only, device) = (from_call(0), from_call(UFFD_USER_MODE_ONLY), from_device());
        self.features = match full.as_ref().or(device.as_ref()).or(user_mode_only.as_ref()) {
            Ok(fd) => features(fd),
            Err(errno) => Fact::unknown(format!("no userfaultfd: {errno:?}")),
        };
        self.full = Attempt::of("userfaultfd", full);
        self.user_mode_only = Attempt::of("userfaultfd(UFFD_USER_MODE_ONLY)", user_mode_only);
        self.device = Attempt::of("/dev/userfaultfd", device);
    }

    /// Whether this process gets one that serves the faults of guests.
    pub fn serves_guests(&self) -> bool {
        self.full.works() || self.device.works()
    }
}

fn owned(fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: a descriptor that a system call has just returned belongs to nobody else.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn from_call(flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes flags only.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK | flags) };
    owned(RawFd::try_from(fd).unwrap_or(-1))
}

fn from_device() -> Result<OwnedFd, Errno> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/userfaultfd");
    let device = device.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    // SAFETY: USERFAULTFD_IOC_NEW takes flags by value.
    owned(unsafe { libc::ioctl(device.as_raw_fd(), USERFAULTFD_IOC_NEW, libc::O_CLOEXEC | libc::O_NONBLOCK) })
}

/// The handshake; asked for no feature, the kernel answers with all it has.
fn features(fd: &OwnedFd) -> Fact<Features> {
    // struct uffdio_api: api, features, ioctls
    let mut api = [UFFD_API, 0, 0];
    // SAFETY: UFFDIO_API reads and writes the 24 bytes of struct uffdio_api, which is what `api` is.
    match Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_API, &raw mut api) }) {
        Ok(_) => Fact::Known(Features::from_mask(api[1])),
        Err(errno) => Fact::unknown(format!("UFFDIO_API: {errno:?}")),
    }
}
