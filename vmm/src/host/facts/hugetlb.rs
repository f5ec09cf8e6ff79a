//! The hugetlb pools: pages set aside, by size.

use serde::Serialize;

use super::fact::Fact;
use super::tree::Tree;

/// The pool of one page size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// The size of its pages.
    pub page_bytes: u64,
    /// Pages in it (`nr_hugepages`).
    pub pages: Fact<u64>,
    /// Pages nobody has mapped (`free_hugepages`), reserved ones included.
    pub free_pages: Fact<u64>,
    /// Free pages that are promised to mappings (`resv_hugepages`).
    pub reserved_pages: Fact<u64>,
}

impl Pool {
    /// Pages a new mapping can have.
    pub fn usable_pages(&self) -> u64 {
        let count = |fact: &Fact<u64>| fact.known().copied().unwrap_or(0);
        count(&self.free_pages).saturating_sub(count(&self.reserved_pages))
    }

    /// The file that sizes the pool.
    pub fn control(&self) -> String {
        format!("/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages", self.page_bytes / 1024)
    }
}

/// All pools, smallest pages first.
#[derive(Clone, Debug, Serialize)]
pub struct Hugetlb {
    /// One for each size the processor and the kernel have in common.
    pub pools: Fact<Vec<Pool>>,
}

impl Hugetlb {
    pub(crate) fn read(tree: &Tree) -> Self {
        let dir = "sys/kernel/mm/hugepages";
        let pools = tree.names(dir).map(|names| {
            let mut pools: Vec<Pool> = names
                .iter()
                .filter_map(|name| {
                    let number = |file: &str| tree.number(&format!("{dir}/{name}/{file}")).into();
                    Some(Pool {
                        page_bytes: size_of_directory(name)?,
                        pages: number("nr_hugepages"),
                        free_pages: number("free_hugepages"),
                        reserved_pages: number("resv_hugepages"),
                    })
                })
                .collect();
            pools.sort_by_key(|pool| pool.page_bytes);
            pools
        });
        Self { pools: pools.into() }
    }
}

/// The bytes in `hugepages-2048kB`, the name that hugetlb pools and multi-size THP share.
pub(crate) fn size_of_directory(name: &str) -> Option<u64> {
    name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn pools_by_size() {
        let fake = Fake::new()
            .dir("sys/kernel/mm/hugepages/hugepages-1048576kB")
            .file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n")
            .file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "5\n")
            .file("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "2\n")
            .dir("sys/kernel/mm/hugepages/hugepages-99999999999999999999kB")
            .dir("sys/kernel/mm/hugepages/junk");
        let hugetlb = Hugetlb::read(&fake.tree());
        let pools = hugetlb.pools.known().expect("the directory exists");
        assert_eq!(pools.iter().map(|pool| pool.page_bytes).collect::<Vec<_>>(), [2 << 20, 1 << 30]);
        assert_eq!((pools[0].usable_pages(), pools[1].usable_pages()), (3, 0));
        assert_eq!(pools[0].control(), "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    }
}
