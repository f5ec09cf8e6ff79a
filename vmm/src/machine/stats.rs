//! KVM's own counters of one VM (`KVM_GET_STATS_FD`, Documentation/virt/kvm/api.rst 4.133): the proof that a run was not vacuous.

use nix::errno::Errno;
use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::fs::FileExt,
    },
};
use thiserror::Error;

/// Why the counters cannot be read.
#[derive(Debug, Error)]
pub enum StatsError {
    /// The kernel has none (before 5.14).
    #[error("KVM_GET_STATS_FD: {0} (needs Linux 5.14)")]
    Unavailable(Errno),
    /// The file cannot be read.
    #[error("reading KVM's statistics: {0}")]
    Read(#[from] io::Error),
    /// The file is not what the API describes.
    #[error("KVM's statistics make no sense: {0}")]
    Format(&'static str),
}

nix::ioctl_none!(get_stats_fd, kvm_bindings::KVMIO, 0xce);

/// What one statistics file holds, and where.
#[derive(Debug)]
pub(super) struct Stats {
    file: File,
    data: u64,
    /// Name, offset of the value behind `data`.
    offsets: Vec<(String, u64)>,
}

impl Stats {
    /// The counters of a VM or a vCPU.
    pub(super) fn of(fd: &impl AsRawFd) -> Result<Self, StatsError> {
        // SAFETY: the ioctl takes no argument, and what it returns is a new descriptor that nobody else owns.
        let file = unsafe { File::from_raw_fd(get_stats_fd(fd.as_raw_fd()).map_err(StatsError::Unavailable)?) };
        // struct kvm_stats_header: flags, name_size, num_desc, id_offset, desc_offset, data_offset.
        let mut header = [0; 24];
        file.read_exact_at(&mut header, 0)?;
        let [_, name_size, count, _, descriptors, data] = words(&header);
        // struct kvm_stats_desc: flags, exponent and size (16 bits each), offset, bucket_size, then the name.
        let each = 16 + name_size as usize;
        if name_size > 4096 || count > 65536 {
            return Err(StatsError::Format("absurd sizes in the header"));
        }
        let mut table = vec![0; each * count as usize];
        file.read_exact_at(&mut table, u64::from(descriptors))?;
        let offsets = table
            .chunks_exact(each)
            .map(|descriptor| {
                let [_, _, offset, _, ..] = words::<4>(&descriptor[..16]);
                let name = descriptor[16..].split(|&byte| byte == 0).next().unwrap_or_default();
                (String::from_utf8_lossy(name).into_owned(), u64::from(offset))
            })
            .collect();
        Ok(Self { file, data: u64::from(data), offsets })
    }

    /// The first value of counter `name`, or 0 where this kernel does not count it.
    fn read(&self, name: &str) -> Result<u64, StatsError> {
        let Some((_, offset)) = self.offsets.iter().find(|(known, _)| known == name) else { return Ok(0) };
        let mut value = [0; 8];
        self.file.read_exact_at(&mut value, self.data + offset)?;
        Ok(u64::from_ne_bytes(value))
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    std::array::from_fn(|n| u32::from_ne_bytes([bytes[n * 4], bytes[n * 4 + 1], bytes[n * 4 + 2], bytes[n * 4 + 3]]))
}

macro_rules! sample {
    ($($(#[$doc:meta])* $field:ident: $scope:ident;)*) => {
        /// KVM's counters of one VM at one time, summed over its vCPUs where each has its own.
        ///
        /// A counter that an older document does not have reads as 0.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct Sample { $($(#[$doc])* pub $field: u64,)* }

        impl Sample {
            pub(super) fn take(vm: &Stats, vcpus: &[&Stats]) -> Result<Self, StatsError> {
                Ok(Self { $($field: sample!(@$scope vm, vcpus, stringify!($field)),)* })
            }

            /// What was added since `before`; gauges such as `pages_4k` stay as they are now.
            #[must_use]
            pub fn since(&self, before: &Self) -> Self {
                Self { $($field: sample!(@since $scope self.$field, before.$field),)* }
            }
        }
    };
    (@gauge $vm:ident, $vcpus:ident, $name:expr) => { $vm.read($name)? };
    (@vm $vm:ident, $vcpus:ident, $name:expr) => { $vm.read($name)? };
    (@vcpu $vm:ident, $vcpus:ident, $name:expr) => {{
        let mut sum = 0;
        for vcpu in $vcpus {
            sum += vcpu.read($name)?;
        }
        sum
    }};
    (@since gauge $now:expr, $before:expr) => { $now };
    (@since $scope:ident $now:expr, $before:expr) => { $now.saturating_sub($before) };
}

sample! {
    /// SPTEs that map 4 KiB, at this moment.
    pages_4k: gauge;
    /// SPTEs that map 2 MiB, at this moment.
    pages_2m: gauge;
    /// SPTEs that map 1 GiB, at this moment.
    pages_1g: gauge;
    /// Times KVM wanted this VM's TLBs flushed: each invalidation that zapped an SPTE ends in one.
    remote_tlb_flush_requests: vm;
    /// Times it sent the flush to vCPUs.
    remote_tlb_flush: vm;
    /// Shadow pages zapped.
    mmu_shadow_zapped: vm;
    /// Faults that installed or changed an SPTE.
    pf_fixed: vcpu;
    /// Faults taken.
    pf_taken: vcpu;
    /// Faults found already fixed.
    pf_spurious: vcpu;
    /// Faults fixed without mmu_lock.
    pf_fast: vcpu;
    /// Exits from the guest.
    exits: vcpu;
    /// Instructions interpreted instead of executed.
    insn_emulation: vcpu;
}

impl Sample {
    /// SPTEs in place, of any size.
    #[must_use]
    pub const fn sptes(&self) -> u64 {
        self.pages_4k + self.pages_2m + self.pages_1g
    }

    /// Invalidations that hit the secondary MMU.
    #[must_use]
    pub fn invalidations(&self) -> u64 {
        // Before 5.17 only the flushes sent were counted.
        self.remote_tlb_flush_requests.max(self.remote_tlb_flush)
    }

    /// Translations installed in the secondary MMU.
    #[must_use]
    pub const fn installs(&self) -> u64 {
        self.pf_fixed
    }
}
