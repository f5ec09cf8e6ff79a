//! KVM as the device answers it: whether it opens, whether it makes a VM, and what that VM can do.

use kvm_bindings::{
    KVM_CAP_BINARY_STATS_FD, KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_GUEST_MEMFD,
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_MAX_VCPUS, KVM_CAP_MEMORY_FAULT_INFO, KVM_CAP_NR_MEMSLOTS, KVM_CAP_NR_VCPUS,
    KVM_CAP_PRE_FAULT_MEMORY, KVM_CAP_READONLY_MEM, KVM_CAP_SYNC_MMU,
};
use kvm_ioctls::Kvm as Handle;
use nix::errno::Errno;
use serde::Serialize;

/// `KVM_CAP_GUEST_MEMFD_FLAGS` of include/uapi/linux/kvm.h, since 6.18.
const CAP_GUEST_MEMFD_FLAGS: u32 = 244;

/// What happened when `/dev/kvm` was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KvmDevice {
    /// Nobody tried.
    NotTried,
    /// There is no device, or nothing behind it.
    Missing,
    /// This user may not open it.
    Denied,
    /// It is there and of no use.
    Unusable {
        /// Which call said what.
        reason: String,
    },
    /// It made a VM.
    Ready(Capabilities),
}

/// What a VM on this host can do. Asked on a VM and not on `/dev/kvm`: some answers depend on the kind of VM
/// (Documentation/virt/kvm/api.rst, 4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// 12 since 2007.
    pub api_version: i32,
    /// `KVM_CAP_SYNC_MMU`: host mappings may change under a running guest. Without it there is nothing to test.
    pub sync_mmu: bool,
    /// `KVM_CAP_BINARY_STATS_FD`: the statistics that prove a run was not vacuous.
    pub binary_stats: bool,
    /// `KVM_CAP_MEMORY_FAULT_INFO`: an `EFAULT` from `KVM_RUN` names the address.
    pub memory_fault_info: bool,
    /// `KVM_CAP_READONLY_MEM`: memslots the guest may not write.
    pub readonly_memslots: bool,
    /// `KVM_CAP_NR_MEMSLOTS`.
    pub memslots: u32,
    /// `KVM_CAP_NR_VCPUS`: as many as are recommended.
    pub recommended_vcpus: u32,
    /// `KVM_CAP_MAX_VCPUS`: as many as are allowed.
    pub max_vcpus: u32,
    /// The largest dirty ring of a vCPU, 0 if there is none.
    pub dirty_ring_bytes: u64,
    /// `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`: the log can be read without arming it again.
    pub manual_dirty_log: bool,
    /// `KVM_CAP_GUEST_MEMFD` for an ordinary VM.
    pub guest_memfd: bool,
    /// `KVM_CAP_GUEST_MEMFD_FLAGS`: kinds of guest_memfd that an ordinary VM may have.
    pub guest_memfd_flags: u32,
    /// `KVM_CAP_PRE_FAULT_MEMORY`: `KVM_PRE_FAULT_MEMORY` installs translations without a guest access.
    pub pre_fault_memory: bool,
}

impl KvmDevice {
    /// The capabilities, if a VM could be made.
    pub fn capabilities(&self) -> Option<&Capabilities> {
        match self {
            KvmDevice::Ready(capabilities) => Some(capabilities),
            _ => None,
        }
    }

    /// Opens `/dev/kvm` and makes a VM, which is the proof: with VMX taken by another hypervisor the device opens all the same.
    pub(crate) fn probe() -> Self {
        let kvm = match Handle::new() {
            Ok(kvm) => kvm,
            Err(error) => return Self::not_opened(Errno::from_raw(error.errno())),
        };
        let vm = loop {
            match kvm.create_vm() {
                // a signal during mmu_notifier_register
                Err(error) if Errno::from_raw(error.errno()) == Errno::EINTR => {}
                Err(error) => {
                    let errno = Errno::from_raw(error.errno());
                    return KvmDevice::Unusable { reason: format!("KVM_CREATE_VM: {errno:?} ({})", errno.desc()) };
                }
                Ok(vm) => break vm,
            }
        };
        let ask = |capability: u32| u32::try_from(vm.check_extension_raw(capability.into())).unwrap_or(0);
        KvmDevice::Ready(Capabilities {
            api_version: kvm.get_api_version(),
            sync_mmu: ask(KVM_CAP_SYNC_MMU) > 0,
            binary_stats: ask(KVM_CAP_BINARY_STATS_FD) > 0,
            memory_fault_info: ask(KVM_CAP_MEMORY_FAULT_INFO) > 0,
            readonly_memslots: ask(KVM_CAP_READONLY_MEM) > 0,
            memslots: ask(KVM_CAP_NR_MEMSLOTS),
            recommended_vcpus: ask(KVM_CAP_NR_VCPUS),
            max_vcpus: ask(KVM_CAP_MAX_VCPUS),
            // x86 offers both names for the ring, weakly ordered machines only the second
            dirty_ring_bytes: ask(KVM_CAP_DIRTY_LOG_RING).max(ask(KVM_CAP_DIRTY_LOG_RING_ACQ_REL)).into(),
            manual_dirty_log: ask(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) > 0,
            guest_memfd: ask(KVM_CAP_GUEST_MEMFD) > 0,
            guest_memfd_flags: ask(CAP_GUEST_MEMFD_FLAGS),
            pre_fault_memory: ask(KVM_CAP_PRE_FAULT_MEMORY) > 0,
        })
    }

    pub(crate) fn not_opened(errno: Errno) -> Self {
        match errno {
            // ENODEV: a node without a driver behind it, or KVM is just being unloaded
            Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => KvmDevice::Missing,
            Errno::EACCES | Errno::EPERM => KvmDevice::Denied,
            other => KvmDevice::Unusable { reason: format!("/dev/kvm: {other:?} ({})", other.desc()) },
        }
    }
}
