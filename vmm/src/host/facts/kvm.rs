//! KVM as the file system shows it: the device node, the vendor module, and which MMU guests run on.

use std::os::unix::fs::MetadataExt;

use serde::Serialize;

use super::cpu::{Cpu, Virtualization};
use super::fact::Fact;
use super::kvm_device::KvmDevice;
use super::tree::Tree;

/// The module that implements KVM for the processor. KVM accepts one at a time (`kvm_x86_vendor_init`, `arch/x86/kvm/x86.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// VT-x.
    KvmIntel,
    /// AMD-V.
    KvmAmd,
    /// PVM: no hardware virtualization, page tables are always shadowed.
    KvmPvm,
}

impl Vendor {
    /// The name of the module.
    pub fn name(self) -> &'static str {
        match self {
            Vendor::KvmIntel => "kvm_intel",
            Vendor::KvmAmd => "kvm_amd",
            Vendor::KvmPvm => "kvm_pvm",
        }
    }

    /// The module parameter that says whether two-dimensional paging is on.
    pub fn paging_parameter(self) -> Option<&'static str> {
        match self {
            Vendor::KvmIntel => Some("ept"),
            Vendor::KvmAmd => Some("npt"),
            Vendor::KvmPvm => None,
        }
    }

    /// Whether the processor, as far as it is known, can carry this module.
    fn fits(self, cpu: &Fact<Virtualization>) -> bool {
        match (self, cpu.known()) {
            (Vendor::KvmPvm, _) | (_, None) => true,
            (Vendor::KvmIntel, Some(offered)) => *offered == Virtualization::Vmx,
            (Vendor::KvmAmd, Some(offered)) => *offered == Virtualization::Svm,
        }
    }
}

/// The second MMU that guests of this host use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MmuKind {
    /// Guest page tables are shadowed.
    Shadow,
    /// AMD nested page tables.
    Npt,
    /// Intel extended page tables.
    Ept,
}

impl MmuKind {
    /// As in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            MmuKind::Shadow => "shadow",
            MmuKind::Npt => "npt",
            MmuKind::Ept => "ept",
        }
    }
}

/// The device node, for the hint to somebody who may not open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Permission bits.
    pub mode: u32,
    /// The group that owns it, by name if `/etc/group` has one.
    pub group: String,
}

/// KVM on this host.
#[derive(Clone, Debug, Serialize)]
pub struct Kvm {
    /// `/dev/kvm`, if it is there.
    pub node: Option<Node>,
    /// KVM has registered its device: the kernel part works, whatever `/dev` of this container shows.
    pub registered: bool,
    /// The vendor module.
    pub vendor: Fact<Vendor>,
    /// The MMU guests use.
    pub mmu: Fact<MmuKind>,
    /// `tdp_mmu`: EPT and NPT go through the TDP MMU and not through the older code shared with shadow paging.
    pub tdp_mmu: Fact<bool>,
    /// What the device says when it is opened.
    pub device: KvmDevice,
}

impl Kvm {
    pub(crate) fn read(tree: &Tree, cpu: &Cpu) -> Self {
        // vendor modules call kvm_init, which registers the misc device as its last step (virt/kvm/kvm_main.c)
        let registered = tree.exists("sys/class/misc/kvm");
        let vendor = vendor(tree, registered, cpu);
        Self {
            node: node(tree),
            registered,
            mmu: mmu(tree, &vendor),
            vendor,
            tdp_mmu: tree.switch("sys/module/kvm/parameters/tdp_mmu").into(),
            device: KvmDevice::NotTried,
        }
    }
}

fn node(tree: &Tree) -> Option<Node> {
    let metadata = tree.path("dev/kvm").metadata().ok()?;
    let gid = metadata.gid().to_string();
    let groups = tree.text("etc/group").unwrap_or_default();
    let group = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == gid).then(|| name.to_owned())
    });
    Some(Node { mode: metadata.mode() & 0o7777, group: group.unwrap_or(gid) })
}

/// A module that is *loaded* has `initstate`, and is live only if its init succeeded. One that is *built in* has a directory
/// whether or not its init succeeded (`kernel/params.c`, `param_sysfs_builtin`), so a kernel with Intel, AMD and PVM built in
/// shows all three: there the processor decides, and if it cannot, nobody does.
fn vendor(tree: &Tree, registered: bool, cpu: &Cpu) -> Fact<Vendor> {
    let present = |vendor: &Vendor| tree.exists(&format!("sys/module/{}", vendor.name()));
    let state = |vendor: &Vendor| tree.line(&format!("sys/module/{}/initstate", vendor.name())).ok();
    let all: Vec<Vendor> = [Vendor::KvmIntel, Vendor::KvmAmd, Vendor::KvmPvm].into_iter().filter(present).collect();

    let mut candidates: Vec<Vendor> = all.iter().copied().filter(|vendor| state(vendor).as_deref() == Some("live")).collect();
    if candidates.is_empty() && registered {
        let built_in = all.iter().copied().filter(|vendor| state(vendor).is_none());
        candidates = built_in.filter(|vendor| vendor.fits(&cpu.virtualization)).collect();
    }
    match candidates.as_slice() {
        [only] => Fact::Known(*only),
        [] if registered => Fact::unknown("KVM runs without kvm_intel, kvm_amd or kvm_pvm in /sys/module"),
        [] => Fact::unknown("no vendor module of KVM is active"),
        several => {
            let names: Vec<&str> = several.iter().map(|vendor| vendor.name()).collect();
            Fact::unknown(format!("{} are all present", names.join(" and ")))
        }
    }
}

/// The vendor module clears its parameter at load time if the processor lacks the feature, so the value is what is in use.
/// `tdp_mmu` decides nothing: `N` is also said by old kernels that use EPT, and before 6.3 `Y` by ones that shadow.
fn mmu(tree: &Tree, vendor: &Fact<Vendor>) -> Fact<MmuKind> {
    let (vendor, two_dimensional) = match vendor {
        Fact::Known(Vendor::KvmPvm) => return Fact::Known(MmuKind::Shadow),
        Fact::Known(Vendor::KvmIntel) => (Vendor::KvmIntel, MmuKind::Ept),
        Fact::Known(Vendor::KvmAmd) => (Vendor::KvmAmd, MmuKind::Npt),
        Fact::Unknown { reason } => return Fact::unknown(reason),
    };
    let parameter = vendor.paging_parameter().unwrap_or_default();
    match tree.switch(&format!("sys/module/{}/parameters/{parameter}", vendor.name())) {
        Ok(true) => Fact::Known(two_dimensional),
        Ok(false) => Fact::Known(MmuKind::Shadow),
        Err(error) => Fact::unknown(error.to_string()),
    }
}

#[cfg(test)]
#[path = "kvm_tests.rs"]
mod tests;
