//! Transparent huge pages: when the kernel makes them, and in which sizes.

use serde::Serialize;

use super::attempt::Attempt;
use super::fact::Fact;
use super::hugetlb::size_of_directory;
use super::tree::Tree;

const DIR: &str = "sys/kernel/mm/transparent_hugepage";

/// The size of folios that memory smaller than huge pages is tried in: one of the sizes that processors can map with one TLB entry.
pub const FOLIO_BYTES: u64 = 64 << 10;

/// The settings of one size (multi-size THP, since 6.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ThpSize {
    /// The size.
    pub page_bytes: u64,
    /// For anonymous memory: `always`, `inherit`, `madvise` or `never`. The smallest size has none.
    pub enabled: Fact<String>,
    /// For shared memory: as `enabled`, with `within_size` and `advise`.
    pub shmem_enabled: Fact<String>,
}

/// Transparent huge pages on this host (`Documentation/admin-guide/mm/transhuge.rst`).
#[derive(Clone, Debug, Serialize)]
pub struct Thp {
    /// For anonymous memory: `always`, `madvise` or `never`.
    pub enabled: Fact<String>,
    /// How hard a fault tries for one.
    pub defrag: Fact<String>,
    /// For shared memory.
    pub shmem_enabled: Fact<String>,
    /// The size of a page that a PMD maps.
    pub hpage_pmd_size_bytes: Fact<u64>,
    /// Whether khugepaged may compact memory for its pages.
    pub khugepaged_defrag: Fact<bool>,
    /// Pages khugepaged looks at in one pass.
    pub khugepaged_pages_to_scan: Fact<u64>,
    /// Its pause between passes.
    pub khugepaged_scan_sleep_ms: Fact<u64>,
    /// Every size the kernel offers, smallest first; empty before 6.8.
    pub sizes: Vec<ThpSize>,
    /// `MADV_COLLAPSE` (6.1), tried on a mapping of our own.
    pub collapse: Attempt,
}

impl Thp {
    pub(crate) fn read(tree: &Tree) -> Self {
        let file = |name: &str| format!("{DIR}/{name}");
        let mut sizes: Vec<ThpSize> = tree
            .names(DIR)
            .unwrap_or_default()
            .iter()
            .filter_map(|name| {
                Some(ThpSize {
                    page_bytes: size_of_directory(name)?,
                    enabled: tree.choice(&file(&format!("{name}/enabled"))).into(),
                    shmem_enabled: tree.choice(&file(&format!("{name}/shmem_enabled"))).into(),
                })
            })
            .collect();
        sizes.sort_by_key(|size| size.page_bytes);
        Self {
            enabled: tree.choice(&file("enabled")).into(),
            defrag: tree.choice(&file("defrag")).into(),
            shmem_enabled: tree.choice(&file("shmem_enabled")).into(),
            hpage_pmd_size_bytes: tree.number(&file("hpage_pmd_size")).into(),
            khugepaged_defrag: tree.switch(&file("khugepaged/defrag")).into(),
            khugepaged_pages_to_scan: tree.number(&file("khugepaged/pages_to_scan")).into(),
            khugepaged_scan_sleep_ms: tree.number(&file("khugepaged/scan_sleep_millisecs")).into(),
            sizes,
            collapse: Attempt::NotTried,
        }
    }

    /// When anonymous memory gets PMD-mapped pages: the word for that size, or the global one where it inherits.
    pub fn pmd_enabled(&self) -> &Fact<String> {
        let own = self.sizes.iter().find(|size| self.hpage_pmd_size_bytes.is(&size.page_bytes)).map(|size| &size.enabled);
        match own {
            Some(Fact::Known(word)) if word == "inherit" => &self.enabled,
            Some(known @ Fact::Known(_)) => known,
            _ => &self.enabled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    fn host() -> Fake {
        Fake::new()
            .file(&format!("{DIR}/enabled"), "always [madvise] never\n")
            .file(&format!("{DIR}/hpage_pmd_size"), "2097152\n")
    }

    #[test]
    fn choices() {
        let fake = host()
            .file(&format!("{DIR}/defrag"), "always defer defer+madvise madvise [never]\n")
            .file(&format!("{DIR}/khugepaged/defrag"), "1\n");
        let thp = Thp::read(&fake.tree());
        assert!(thp.enabled.is("madvise") && thp.defrag.is("never") && thp.khugepaged_defrag.is(&true));
        assert!(thp.shmem_enabled.known().is_none() && thp.sizes.is_empty());
        assert!(thp.pmd_enabled().is("madvise"));
    }

    #[test]
    fn the_size_overrides_the_global_word() {
        let size = format!("{DIR}/hugepages-2048kB/enabled");
        let fake = host().file(&size, "always inherit madvise [never]");
        assert!(Thp::read(&fake.tree()).pmd_enabled().is("never"));
        let fake = fake.file(&size, "always [inherit] madvise never");
        assert!(Thp::read(&fake.tree()).pmd_enabled().is("madvise"));
        let fake = fake.file(&size, "]garbage[");
        assert!(Thp::read(&fake.tree()).pmd_enabled().is("madvise"));
    }
}
