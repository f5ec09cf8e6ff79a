//! userfaultfd: the three ways to get one, and what it can do.

use linux_raw_sys::general::UFFD_USER_MODE_ONLY;
use serde::Serialize;

use super::attempt::Attempt;
use super::fact::Fact;
use super::tree::Tree;
use crate::memory::userfault::{self, from_call, from_device, handshake};

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
    fn of(offered: userfault::Features) -> Self {
        use userfault::Features as Bits;
        Self {
            mask: offered.bits(),
            write_protect: offered.contains(Bits::WRITE_PROTECT),
            missing_shmem: offered.contains(Bits::MISSING_SHMEM),
            minor_shmem: offered.contains(Bits::MINOR_SHMEM),
            write_protect_shmem: offered.contains(Bits::WRITE_PROTECT_SHMEM),
            poison: offered.contains(Bits::POISON),
            write_protect_async: offered.contains(Bits::WRITE_PROTECT_ASYNC),
            r#move: offered.contains(Bits::MOVE),
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
        let (full, user_mode_only, device) = (from_call(0), from_call(UFFD_USER_MODE_ONLY as i32), from_device());
        self.features = match full.as_ref().or(device.as_ref()).or(user_mode_only.as_ref()) {
            // Asked for no feature, the kernel answers with all it has.
            Ok(fd) => match handshake(fd, userfault::Features::NONE) {
                Ok(offered) => Fact::Known(Features::of(offered)),
                Err(errno) => Fact::unknown(format!("UFFDIO_API: {errno:?}")),
            },
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
