//! Facts about the host: what a test can rely on here, and what it would take to rely on more.
//!
//! What stands in files is read from a root directory that a test can replace by a made-up one. What only the running kernel
//! can answer (does `/dev/kvm` open, does `MADV_COLLAPSE` work) is tried, on memory of this process, without changing anything
//! on the host. (One thing is there for a moment: an empty control group, where there is none to look at.)

mod attempt;
mod calls;
mod config;
mod cpu;
mod fact;
#[cfg(test)]
mod fake;
mod groups;
mod hugetlb;
mod kernel;
mod kernel_log;
mod ksm;
mod kvm;
mod kvm_device;
mod mapping;
mod memory;
mod need;
mod need_kvm;
mod need_reclaim;
mod numa;
mod pagemap;
mod privilege;
mod rows;
mod rows_memory;
mod swap;
mod thp;
mod tracing;
mod tree;
mod userfault;

use std::path::Path;

use serde::Serialize;

pub use attempt::Attempt;
pub use calls::Calls;
pub use cpu::{Cpu, Virtualization};
pub use fact::Fact;
pub use groups::MemoryGroups;
pub use hugetlb::{Hugetlb, Pool};
pub use kernel::Kernel;
pub use ksm::{Ksm, KsmRun};
pub use kvm::{Kvm, MmuKind, Node, Vendor};
pub use kvm_device::{Capabilities as KvmCapabilities, KvmDevice};
pub use memory::Memory;
pub(crate) use memory::available_bytes;
pub use need::Need;
pub use numa::Numa;
pub use pagemap::Pagemap;
pub use privilege::{Capabilities, Privilege};
pub use rows::{Row, State};
pub use swap::{Swap, SwapArea};
pub(crate) use swap::{free_swap_bytes, writes_back};
pub use thp::{FOLIO_BYTES, Thp, ThpSize};
pub use tracing::{EVENTS, Tracefs, Tracing};
pub use tree::ReadError;
pub use userfault::{Features, Userfault};

use tree::Tree;

/// Everything that is known about the host, by subject. Serialized, it goes into every report.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// The running kernel.
    pub kernel: Kernel,
    /// The processors.
    pub cpu: Cpu,
    /// Who we are.
    pub privilege: Privilege,
    /// KVM.
    pub kvm: Kvm,
    /// Memory and its limits.
    pub memory: Memory,
    /// Memory nodes.
    pub numa: Numa,
    /// Transparent huge pages.
    pub thp: Thp,
    /// Page merging.
    pub ksm: Ksm,
    /// Swap.
    pub swap: Swap,
    /// Control groups for memory.
    pub memory_groups: Option<MemoryGroups>,
    /// Huge pages set aside.
    pub hugetlb: Hugetlb,
    /// userfaultfd.
    pub userfault: Userfault,
    /// Other system calls.
    pub calls: Calls,
    /// Physical page numbers.
    pub pagemap: Pagemap,
    /// Kernel events.
    pub tracing: Tracing,
    /// Whether `/dev/kmsg` can be read.
    pub kernel_log: Attempt,
}

impl Facts {
    /// All facts about this host. Takes some milliseconds and never fails: what cannot be learnt is unknown, with a reason.
    pub fn gather() -> Self {
        let mut facts = Self::gather_at(Path::new("/"));
        facts.kvm.device = KvmDevice::probe();
        if let Some(&huge_bytes) = facts.thp.hpage_pmd_size_bytes.known() {
            facts.thp.collapse = calls::collapse(huge_bytes);
        }
        facts.userfault.probe();
        facts.calls = Calls::probe();
        facts.pagemap = Pagemap::probe();
        facts.swap.probe();
        facts.memory_groups.iter_mut().for_each(MemoryGroups::probe);
        facts.tracing.probe();
        facts.kernel_log = kernel_log::probe();
        facts
    }

    /// The facts that stand in files, from a tree below `root` that looks like a host. Nothing is tried.
    pub fn gather_at(root: &Path) -> Self {
        let tree = Tree::new(root);
        let cpu = Cpu::read(&tree);
        Self {
            kernel: Kernel::read(&tree),
            privilege: Privilege::read(&tree),
            kvm: Kvm::read(&tree, &cpu),
            cpu,
            memory: Memory::read(&tree),
            numa: Numa::read(&tree),
            thp: Thp::read(&tree),
            ksm: Ksm::read(&tree),
            swap: Swap::read(&tree),
            memory_groups: MemoryGroups::read(&tree),
            hugetlb: Hugetlb::read(&tree),
            userfault: Userfault::read(&tree),
            calls: Calls::not_tried(),
            pagemap: Pagemap::not_tried(),
            tracing: Tracing::read(&tree),
            kernel_log: Attempt::NotTried,
        }
    }
}

#[cfg(test)]
mod tests;
