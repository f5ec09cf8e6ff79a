//! What a userfaultfd can be asked for: features of the descriptor, and kinds of faults on a range.

use linux_raw_sys::general as uapi;
use std::{fmt, ops::BitOr};

/// A set of features (`UFFD_FEATURE_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u64);

impl Features {
    /// None: missing pages of anonymous memory alone.
    pub const NONE: Self = Self(0);
    /// Write protection (5.7).
    pub const WRITE_PROTECT: Self = Self(uapi::UFFD_FEATURE_PAGEFAULT_FLAG_WP as u64);
    /// Children's memory stays registered, with a descriptor of its own that comes as an [`super::Event::Fork`] (4.11).
    pub const EVENT_FORK: Self = Self(uapi::UFFD_FEATURE_EVENT_FORK as u64);
    /// What mremap moves stays registered, and mremap waits until [`super::Event::Remap`] was read (4.11).
    pub const EVENT_REMAP: Self = Self(uapi::UFFD_FEATURE_EVENT_REMAP as u64);
    /// `MADV_DONTNEED` waits until [`super::Event::Remove`] was read (4.11).
    pub const EVENT_REMOVE: Self = Self(uapi::UFFD_FEATURE_EVENT_REMOVE as u64);
    /// munmap waits until [`super::Event::Unmap`] was read (4.11).
    pub const EVENT_UNMAP: Self = Self(uapi::UFFD_FEATURE_EVENT_UNMAP as u64);
    /// Missing pages in shared memory (4.11).
    pub const MISSING_SHMEM: Self = Self(uapi::UFFD_FEATURE_MISSING_SHMEM as u64);
    /// Missing pages on hugetlbfs (4.11).
    pub const MISSING_HUGETLBFS: Self = Self(uapi::UFFD_FEATURE_MISSING_HUGETLBFS as u64);
    /// Faults say which thread they are of (4.14).
    pub const THREAD_ID: Self = Self(uapi::UFFD_FEATURE_THREAD_ID as u64);
    /// Minor faults on hugetlbfs (5.13).
    pub const MINOR_HUGETLBFS: Self = Self(uapi::UFFD_FEATURE_MINOR_HUGETLBFS as u64);
    /// Minor faults in shared memory (5.14).
    pub const MINOR_SHMEM: Self = Self(uapi::UFFD_FEATURE_MINOR_SHMEM as u64);
    /// Write protection of shared memory and hugetlbfs (5.19).
    pub const WRITE_PROTECT_SHMEM: Self = Self(uapi::UFFD_FEATURE_WP_HUGETLBFS_SHMEM as u64);
    /// Places without a page can be write-protected, too (6.4).
    pub const WRITE_PROTECT_UNPOPULATED: Self = Self(uapi::UFFD_FEATURE_WP_UNPOPULATED as u64);
    /// `UFFDIO_POISON` (6.6).
    pub const POISON: Self = Self(uapi::UFFD_FEATURE_POISON as u64);
    /// The kernel lifts write protection by itself on a write, and remembers (6.7).
    pub const WRITE_PROTECT_ASYNC: Self = Self(uapi::UFFD_FEATURE_WP_ASYNC as u64);
    /// `UFFDIO_MOVE` (6.8).
    pub const MOVE: Self = Self(uapi::UFFD_FEATURE_MOVE as u64);

    const NAMES: [(Self, &'static str); 16] = [
        (Self::WRITE_PROTECT, "write protection"),
        (Self::EVENT_FORK, "fork events"),
        (Self::EVENT_REMAP, "remap events"),
        (Self::EVENT_REMOVE, "remove events"),
        (Self::MISSING_HUGETLBFS, "missing faults on hugetlbfs"),
        (Self::MISSING_SHMEM, "missing faults in shared memory"),
        (Self::EVENT_UNMAP, "unmap events"),
        (Self::THREAD_ID, "thread ids"),
        (Self::MINOR_HUGETLBFS, "minor faults on hugetlbfs"),
        (Self::MINOR_SHMEM, "minor faults in shared memory"),
        (Self::WRITE_PROTECT_SHMEM, "write protection of shared memory"),
        (Self::WRITE_PROTECT_UNPOPULATED, "write protection of places without a page"),
        (Self::POISON, "poisoning"),
        (Self::WRITE_PROTECT_ASYNC, "asynchronous write protection"),
        (Self::MOVE, "UFFDIO_MOVE"),
        (Self(1 << 7), "SIGBUS in place of faults"),
    ];

    /// As the kernel writes it.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As the kernel reads it.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `others` are in here.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Those that are not in `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

impl Features {
    /// The release of Linux since when all of these are there.
    #[must_use]
    pub fn since(self) -> &'static str {
        // The latest first.
        const SINCE: [(Features, &str); 7] = [
            (Features::MOVE, "6.8"),
            (Features::WRITE_PROTECT_ASYNC, "6.7"),
            (Features::POISON, "6.6"),
            (Features::WRITE_PROTECT_UNPOPULATED, "6.4"),
            (Features::WRITE_PROTECT_SHMEM, "5.19"),
            (Features::MINOR_SHMEM, "5.14"),
            (Features::MINOR_HUGETLBFS, "5.13"),
        ];
        SINCE.into_iter().find(|(feature, _)| self.contains(*feature)).map_or("5.7", |(_, since)| since)
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::NAMES.into_iter().fold(Self::NONE, |all, (feature, _)| all | feature);
        let named = Self::NAMES.into_iter().filter(|(feature, _)| self.contains(*feature)).map(|(_, name)| name.to_owned());
        let rest = Some(self.without(known)).filter(|rest| rest.0 != 0).map(|rest| format!("feature {:#x}", rest.0));
        f.write_str(&named.chain(rest).collect::<Vec<_>>().join(", "))
    }
}

/// Kinds of faults that a range is registered for (`UFFDIO_REGISTER_MODE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes(u64);

impl Modes {
    /// There is no page.
    pub const MISSING: Self = Self(uapi::UFFDIO_REGISTER_MODE_MISSING as u64);
    /// The page is write-protected, and somebody writes.
    pub const WRITE_PROTECT: Self = Self(uapi::UFFDIO_REGISTER_MODE_WP as u64);
    /// The file has the page, but it is not mapped.
    pub const MINOR: Self = Self(uapi::UFFDIO_REGISTER_MODE_MINOR as u64);

    pub(super) const fn bits(self) -> u64 {
        self.0
    }
}

impl BitOr for Modes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_a_name() {
        let wanted = Features::MOVE | Features::WRITE_PROTECT_ASYNC | Features::MISSING_SHMEM;
        let missing = wanted.without(Features::MISSING_SHMEM | Features::POISON);
        assert_eq!(missing.to_string(), "asynchronous write protection, UFFDIO_MOVE");
        assert_eq!((missing.since(), Features::WRITE_PROTECT.since()), ("6.8", "5.7"));
        assert_eq!(Features::from_bits(1 << 40).to_string(), "feature 0x10000000000");
        assert!(wanted.contains(Features::MOVE) && !wanted.contains(Features::MOVE | Features::POISON));
    }
}
