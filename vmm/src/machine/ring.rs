//! Dirty rings: each vCPU notes the pages that it writes in a ring of its own (Documentation/virt/kvm/api.rst, 8.29).

use super::slot::SlotId;
use kvm_bindings::{
    KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_DIRTY_LOG_PAGE_OFFSET, kvm_dirty_gfn, kvm_enable_cap,
};
use kvm_ioctls::{VcpuFd, VmFd};
use nix::errno::Errno;
use std::{
    os::fd::AsRawFd,
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Release},
        },
    },
};

nix::ioctl_none!(reset_dirty_rings, kvm_bindings::KVMIO, 0xc7);

/// The entry holds a dirty page (`KVM_DIRTY_GFN_F_DIRTY`).
const DIRTY: u32 = 1;
/// It was taken, and KVM may track that page again (`KVM_DIRTY_GFN_F_RESET`).
const RESET: u32 = 2;

/// Turns rings on, before there is any vCPU.
pub(super) fn enable(vm: &VmFd, entries: u32) -> Result<(), Errno> {
    let cap = [KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING].into_iter();
    let cap = { cap }.find(|&cap| vm.check_extension_raw(cap.into()) > 0).ok_or(Errno::ENOSYS)?;
    let mut enable = kvm_enable_cap { cap, ..kvm_enable_cap::default() };
    enable.args[0] = u64::from(entries) * size_of::<kvm_dirty_gfn>() as u64;
    vm.enable_cap(&enable).map_err(|error| Errno::from_raw(error.errno()))
}

/// A page that a vCPU wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirtyPage {
    /// In which memslot.
    pub slot: SlotId,
    /// Which page of it.
    pub page: u64,
}

/// One vCPU's ring, mapped.
#[derive(Debug)]
pub(super) struct Ring {
    base: *mut kvm_dirty_gfn,
    entries: u32,
    next: u32,
}

// SAFETY: the mapping belongs to this object alone, and its words are only reached as the protocol says.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of a vCPU.
    pub(super) fn map(vcpu: &VcpuFd, entries: u32) -> Result<Self, Errno> {
        let bytes = entries as usize * size_of::<kvm_dirty_gfn>();
        let offset = i64::from(KVM_DIRTY_LOG_PAGE_OFFSET) * nostale_notifier::addr::PAGE_SIZE as i64;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, vcpu.as_raw_fd(), offset) };
        if base == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(Self { base: base.cast(), entries, next: 0 }) }
    }

    /// Takes what is in the ring, for `found`.
    fn harvest(&mut self, found: &mut Vec<DirtyPage>) {
        for _ in 0..self.entries {
            // SAFETY: the index stays below `entries`, so the entry lies in the mapping. KVM fills slot and offset in before it sets
            // the flag, and leaves them alone until it sees RESET.
            let (flags, entry) = unsafe {
                let entry = self.base.add((self.next % self.entries) as usize);
                (AtomicU32::from_ptr(&raw mut (*entry).flags), entry)
            };
            if flags.load(Acquire) & DIRTY == 0 {
                return;
            }
            // SAFETY: as above.
            let (slot, page) =
                unsafe { ((&raw const (*entry).slot).read_volatile(), (&raw const (*entry).offset).read_volatile()) };
            found.push(DirtyPage { slot: SlotId(slot & 0xffff), page });
            flags.store(RESET, Release);
            self.next = self.next.wrapping_add(1) % self.entries;
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: our own mapping, of this size.
        unsafe { libc::munmap(self.base.cast(), self.entries as usize * size_of::<kvm_dirty_gfn>()) };
    }
}

/// The rings of all vCPUs.
#[derive(Debug)]
pub(super) struct Rings(Mutex<Vec<Ring>>);

impl Rings {
    pub(super) fn new(rings: Vec<Ring>) -> Self {
        Self(Mutex::new(rings))
    }

    /// Takes what is in all rings and lets KVM track those pages again; they are write-protected when this returns.
    pub(super) fn harvest(&self, vm: &VmFd) -> Result<Vec<DirtyPage>, Errno> {
        let mut found = Vec::new();
        // KVM wants one at a time to take entries and to reset them.
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rings.iter_mut().for_each(|ring| ring.harvest(&mut found));
        // SAFETY: the ioctl takes no argument.
        unsafe { reset_dirty_rings(vm.as_raw_fd()) }?;
        Ok(found)
    }
}
