//! What kind of host memory the arena is made of.

use std::{fmt, str::FromStr};
use thiserror::Error;

/// The kind of VMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackingKind {
    /// Private anonymous memory.
    Anon,
    /// The same in folios of 64 KiB (multi-size THP, 6.8).
    AnonMthp,
    /// A memfd, mapped shared: shmem.
    Memfd,
    /// A file on disk, mapped shared.
    FileShared,
    /// A file on disk, mapped private: every page written becomes an anonymous copy.
    FilePrivate,
}

/// A kind of VMA, with or without transparent huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Backing {
    /// The kind of VMA.
    pub kind: BackingKind,
    /// Advised to use huge pages (or else not to).
    pub huge: bool,
}

impl Backing {
    /// Every backing there is.
    pub const ALL: [Self; 9] = {
        [
            Self { kind: BackingKind::Anon, huge: false },
            Self { kind: BackingKind::Anon, huge: true },
            Self { kind: BackingKind::Memfd, huge: false },
            Self { kind: BackingKind::Memfd, huge: true },
            Self { kind: BackingKind::FileShared, huge: false },
            Self { kind: BackingKind::FileShared, huge: true },
            Self { kind: BackingKind::FilePrivate, huge: false },
            Self { kind: BackingKind::FilePrivate, huge: true },
            Self { kind: BackingKind::AnonMthp, huge: false },
        ]
    };

    /// Private anonymous memory in base pages.
    pub const ANON: Self = Self::ALL[0];
    /// Private anonymous memory in huge pages.
    pub const ANON_THP: Self = Self::ALL[1];
    /// Shared memory in base pages.
    pub const MEMFD: Self = Self::ALL[2];
    /// Shared memory in huge pages.
    pub const MEMFD_THP: Self = Self::ALL[3];
    /// A shared file in base pages.
    pub const FILE_SHARED: Self = Self::ALL[4];
    /// A private file in base pages.
    pub const FILE_PRIVATE: Self = Self::ALL[6];
    /// Private anonymous memory in folios of 64 KiB.
    pub const ANON_MTHP: Self = Self::ALL[8];

    /// Its name on the command line and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.kind, self.huge) {
            (BackingKind::Anon, false) => "anon",
            (BackingKind::Anon, true) => "anon-thp",
            (BackingKind::AnonMthp, _) => "anon-mthp",
            (BackingKind::Memfd, false) => "memfd",
            (BackingKind::Memfd, true) => "memfd-thp",
            (BackingKind::FileShared, false) => "file-shared",
            (BackingKind::FileShared, true) => "file-shared-thp",
            (BackingKind::FilePrivate, false) => "file-private",
            (BackingKind::FilePrivate, true) => "file-private-thp",
        }
    }

    /// Private memory without a file.
    #[must_use]
    pub const fn is_anonymous(self) -> bool {
        matches!(self.kind, BackingKind::Anon | BackingKind::AnonMthp)
    }

    /// In larger pieces than base pages, where the kernel has them to give.
    #[must_use]
    pub const fn is_large(self) -> bool {
        self.huge || matches!(self.kind, BackingKind::AnonMthp)
    }

    /// Made of a file on disk.
    #[must_use]
    pub const fn has_file(self) -> bool {
        matches!(self.kind, BackingKind::FileShared | BackingKind::FilePrivate)
    }

    /// Mapped `MAP_SHARED`: a second mapping of the same file sees the guest's pages, so they can be witnessed.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self.kind, BackingKind::Memfd | BackingKind::FileShared)
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No backing has this name.
#[derive(Debug, Error)]
#[error("unknown backing '{0}'")]
pub struct UnknownBacking(pub String);

impl FromStr for Backing {
    type Err = UnknownBacking;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|backing| backing.name() == name).ok_or_else(|| UnknownBacking(name.to_owned()))
    }
}
