//! What kind of host memory the arena is made of.

use nostale_notifier::addr::{PAGE_SIZE, PMD_SIZE, PUD_SIZE};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// The kind of VMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackingKind {
    /// Private anonymous memory.
    Anon,
    /// A memfd, mapped shared: shmem.
    Memfd,
    /// A file on disk, mapped shared.
    FileShared,
    /// A file on disk, mapped private: every page written becomes an anonymous copy.
    FilePrivate,
}

/// In what pages a VMA has its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pages {
    /// Advised against huge pages.
    Small,
    /// Advised to use transparent huge pages.
    Transparent,
    /// Advised to use folios of 64 KiB (multi-size THP, 6.8).
    Folios,
    /// From the hugetlb pool of 2 MiB.
    Hugetlb2M,
    /// From the hugetlb pool of 1 GiB.
    Hugetlb1G,
}

/// A kind of VMA, and in what pages it has its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Backing {
    /// The kind of VMA.
    pub kind: BackingKind,
    /// Its pages.
    pub pages: Pages,
}

impl Backing {
    /// Private anonymous memory in base pages.
    pub const ANON: Self = Self { kind: BackingKind::Anon, pages: Pages::Small };
    /// Private anonymous memory in huge pages.
    pub const ANON_THP: Self = Self { kind: BackingKind::Anon, pages: Pages::Transparent };
    /// Private anonymous memory in folios of 64 KiB.
    pub const ANON_MTHP: Self = Self { kind: BackingKind::Anon, pages: Pages::Folios };
    /// Shared memory in base pages.
    pub const MEMFD: Self = Self { kind: BackingKind::Memfd, pages: Pages::Small };
    /// Shared memory in huge pages.
    pub const MEMFD_THP: Self = Self { kind: BackingKind::Memfd, pages: Pages::Transparent };
    /// A shared file in base pages.
    pub const FILE_SHARED: Self = Self { kind: BackingKind::FileShared, pages: Pages::Small };
    /// A shared file, advised to use huge pages.
    pub const FILE_SHARED_THP: Self = Self { kind: BackingKind::FileShared, pages: Pages::Transparent };
    /// A private file in base pages.
    pub const FILE_PRIVATE: Self = Self { kind: BackingKind::FilePrivate, pages: Pages::Small };
    /// A private file, advised to use huge pages.
    pub const FILE_PRIVATE_THP: Self = Self { kind: BackingKind::FilePrivate, pages: Pages::Transparent };
    /// Private hugetlb memory.
    pub const HUGETLB_2M: Self = Self { kind: BackingKind::Anon, pages: Pages::Hugetlb2M };
    /// Shared hugetlb memory.
    pub const HUGETLB_2M_SHARED: Self = Self { kind: BackingKind::Memfd, pages: Pages::Hugetlb2M };
    /// Private hugetlb memory in the largest pages.
    pub const HUGETLB_1G: Self = Self { kind: BackingKind::Anon, pages: Pages::Hugetlb1G };
    /// Shared hugetlb memory in the largest pages.
    pub const HUGETLB_1G_SHARED: Self = Self { kind: BackingKind::Memfd, pages: Pages::Hugetlb1G };

    /// Every backing there is.
    pub const ALL: [Self; 13] = [
        Self::ANON,
        Self::ANON_THP,
        Self::ANON_MTHP,
        Self::MEMFD,
        Self::MEMFD_THP,
        Self::FILE_SHARED,
        Self::FILE_SHARED_THP,
        Self::FILE_PRIVATE,
        Self::FILE_PRIVATE_THP,
        Self::HUGETLB_2M,
        Self::HUGETLB_2M_SHARED,
        Self::HUGETLB_1G,
        Self::HUGETLB_1G_SHARED,
    ];

    /// Its name on the command line and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.kind, self.pages) {
            (BackingKind::Anon, Pages::Small) => "anon",
            (BackingKind::Anon, Pages::Transparent) => "anon-thp",
            (BackingKind::Anon, Pages::Folios) => "anon-mthp",
            (BackingKind::Anon, Pages::Hugetlb2M) => "hugetlb-2m",
            (BackingKind::Anon, Pages::Hugetlb1G) => "hugetlb-1g",
            (BackingKind::Memfd, Pages::Small) => "memfd",
            (BackingKind::Memfd, Pages::Transparent | Pages::Folios) => "memfd-thp",
            (BackingKind::Memfd, Pages::Hugetlb2M) => "hugetlb-2m-shared",
            (BackingKind::Memfd, Pages::Hugetlb1G) => "hugetlb-1g-shared",
            (BackingKind::FileShared, Pages::Small) => "file-shared",
            (BackingKind::FileShared, _) => "file-shared-thp",
            (BackingKind::FilePrivate, Pages::Small) => "file-private",
            (BackingKind::FilePrivate, _) => "file-private-thp",
        }
    }

    /// Private memory without a file.
    #[must_use]
    pub const fn is_anonymous(self) -> bool {
        matches!(self.kind, BackingKind::Anon)
    }

    /// In larger pieces than base pages, where the kernel has them to give.
    #[must_use]
    pub const fn is_large(self) -> bool {
        matches!(self.pages, Pages::Transparent | Pages::Folios)
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

    /// Advised to use transparent huge pages.
    #[must_use]
    pub const fn is_thp(self) -> bool {
        matches!(self.pages, Pages::Transparent)
    }

    /// From a hugetlb pool.
    #[must_use]
    pub const fn is_hugetlb(self) -> bool {
        matches!(self.pages, Pages::Hugetlb2M | Pages::Hugetlb1G)
    }

    /// The least number of base pages that the host can map, move or protect by themselves.
    #[must_use]
    pub const fn unit(self) -> u64 {
        match self.pages {
            Pages::Small | Pages::Transparent | Pages::Folios => 1,
            Pages::Hugetlb2M => PMD_SIZE / PAGE_SIZE,
            Pages::Hugetlb1G => PUD_SIZE / PAGE_SIZE,
        }
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
