//! What it takes to get a usable `/dev/kvm`.

use super::{Facts, KvmDevice, Need, Virtualization, kvm_device::Capabilities};

impl Facts {
    /// A KVM that makes VMs, whose memory may change under them, and whose statistics can be read.
    pub fn need_kvm(&self) -> Result<(), Need> {
        match &self.kvm.device {
            KvmDevice::Ready(capabilities) if !capabilities.sync_mmu => {
                Err(Need::new("KVM_CAP_SYNC_MMU", "boot a kernel with CONFIG_MMU_NOTIFIER=y"))
            }
            KvmDevice::Ready(capabilities) if !capabilities.binary_stats => Err(Need::new(
                "KVM_CAP_BINARY_STATS_FD, without which no run can be proved not to be vacuous",
                "boot Linux 5.14 or later",
            )),
            KvmDevice::Ready(_) => Ok(()),
            KvmDevice::Denied => Err(Need::new("access to /dev/kvm", self.access_hint())),
            KvmDevice::Unusable { reason } => Err(Need::new(format!("usable KVM ({reason})"), "see dmesg | grep -i kvm")),
            KvmDevice::Missing => Err(Need::new("/dev/kvm", self.module_hint())),
            KvmDevice::NotTried if self.kvm.node.is_none() => Err(Need::new("/dev/kvm", self.module_hint())),
            KvmDevice::NotTried => Err(Need::new("/dev/kvm, which nobody tried", "nostale doctor")),
        }
    }

    /// A guest memory that only the guest maps.
    pub fn need_guest_memfd(&self) -> Result<(), Need> {
        self.need_kvm()?;
        // MMAP and INIT_SHARED: what an ordinary guest and its VMM use together.
        const SHARED: u32 = 3;
        let offers = |offered: &Capabilities| offered.guest_memfd && offered.guest_memfd_flags & SHARED == SHARED;
        if self.kvm.device.capabilities().is_some_and(offers) {
            return Ok(());
        }
        Err(Need::new("guest_memfd that can be mapped", "boot Linux 6.18 or later: before, ordinary VMs have none"))
    }

    /// Translations that are installed before the guest asks for them.
    pub fn need_pre_fault(&self) -> Result<(), Need> {
        self.need_kvm()?;
        if self.kvm.device.capabilities().is_some_and(|capabilities| capabilities.pre_fault_memory) {
            return Ok(());
        }
        let hint = "boot Linux 6.11 or later on a processor with EPT or NPT: there is none for shadow page tables";
        Err(Need::new("KVM_CAP_PRE_FAULT_MEMORY", hint))
    }

    /// A dirty ring.
    pub fn need_dirty_ring(&self) -> Result<(), Need> {
        self.need_kvm()?;
        if self.kvm.device.capabilities().is_some_and(|capabilities| capabilities.dirty_ring_bytes > 0) {
            return Ok(());
        }
        Err(Need::new("KVM_CAP_DIRTY_LOG_RING", "boot Linux 5.11 or later"))
    }

    /// The device is there and closed to this user: the group is the usual way in, if the mode lets it.
    fn access_hint(&self) -> String {
        match &self.kvm.node {
            _ if self.privilege.initial_user_namespace.is(&false) => self.need_root("").hint,
            Some(node) if node.mode & 0o060 == 0o060 && node.group != "root" => {
                format!("sudo usermod -aG {} \"$USER\" and log in again, or run as root", node.group)
            }
            _ if self.privilege.euid.is(&0) => "allow the device c 10:232 in the cgroup of this container".to_owned(),
            _ => "run as root, or sudo setfacl -m u:$USER:rw /dev/kvm".to_owned(),
        }
    }

    fn module_hint(&self) -> String {
        let module = match self.cpu.virtualization.known() {
            _ if self.kvm.registered => {
                return "mknod /dev/kvm c 10 232 (in a container: docker run --device /dev/kvm)".to_owned();
            }
            Some(Virtualization::Vmx) => "kvm_intel",
            Some(Virtualization::Svm) => "kvm_amd",
            Some(Virtualization::None) if self.cpu.in_vm.is(&true) => {
                return "turn on nested virtualization in the hypervisor that runs this machine (QEMU: -cpu host)".to_owned();
            }
            Some(Virtualization::None) => return "turn on VT-x or AMD-V in the firmware".to_owned(),
            None => return "modprobe kvm_intel (Intel) or modprobe kvm_amd (AMD)".to_owned(),
        };
        if self.kernel.modules {
            format!("modprobe {module}")
        } else {
            format!("boot a kernel with CONFIG_{}=y; this one loads no modules", module.to_uppercase())
        }
    }
}
