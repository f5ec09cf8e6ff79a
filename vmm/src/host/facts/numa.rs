//! NUMA: which nodes have memory that a page could move to.

use serde::Serialize;

use super::fact::Fact;
use super::tree::Tree;

/// The memory nodes.
#[derive(Clone, Debug, Serialize)]
pub struct Numa {
    /// Nodes with memory, by number; numbers may have gaps.
    pub memory_nodes: Fact<Vec<u32>>,
}

impl Numa {
    /// A node can be online without memory, and `move_pages` to it fails: `has_memory` is what counts. Without `CONFIG_NUMA`
    /// the directory is missing and all memory is node 0.
    pub(crate) fn read(tree: &Tree) -> Self {
        let memory_nodes = if tree.exists("sys/devices/system") && !tree.exists("sys/devices/system/node") {
            Fact::Known(vec![0])
        } else {
            tree.set("sys/devices/system/node/has_memory").into()
        };
        Self { memory_nodes }
    }

    /// The numbers of the nodes, as `move_pages(2)` takes them; none where they are not known.
    #[must_use]
    pub fn ids(&self) -> Vec<i32> {
        self.memory_nodes.known().into_iter().flatten().map(|&node| node as i32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    fn nodes(fake: &Fake) -> Fact<Vec<u32>> {
        Numa::read(&fake.tree()).memory_nodes
    }

    #[test]
    fn nodes_with_memory() {
        assert!(nodes(&Fake::new().file("sys/devices/system/node/has_memory", "0-1,3\n")).is(&vec![0, 1, 3]));
        assert!(nodes(&Fake::new().dir("sys/devices/system/cpu")).is(&vec![0]));
    }

    #[test]
    fn no_guess() {
        assert!(nodes(&Fake::new()).known().is_none());
        assert!(nodes(&Fake::new().file("sys/devices/system/node/has_memory", "0-x")).known().is_none());
    }
}
