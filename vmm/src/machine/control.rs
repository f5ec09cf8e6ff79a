//! A VM under control: what host operations may do to it while its vCPUs run.

use super::{
    dirty,
    ring::{DirtyPage, Rings},
    slot::Tracking,
    slots::Memslots,
    suspend::Vcpus,
    view::{VcpuState, VcpuView},
    vm::Stuck,
};
use crate::memory::System;
use kvm_bindings::{KVM_CAP_EXIT_ON_EMULATION_FAILURE, kvm_create_guest_memfd, kvm_enable_cap, kvm_pre_fault_memory};
use kvm_ioctls::{VcpuFd, VmFd};
use nix::errno::Errno;
use nostale_guest::abi::{Command, PAGE_SIZE};
use nostale_notifier::Gpa;
use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

nix::ioctl_readwrite!(pre_fault_memory, kvm_bindings::KVMIO, 0xd5, kvm_pre_fault_memory);

/// `GUEST_MEMFD_FLAG_MMAP`, `GUEST_MEMFD_FLAG_INIT_SHARED` (6.18).
const MMAP: u64 = 1;
const INIT_SHARED: u64 = 2;

/// The VM, for those who change it while it runs.
#[derive(Debug)]
pub struct Vm {
    // The rings are mappings of vCPUs, which go before the VM.
    rings: Option<Rings>,
    memslots: Memslots,
    views: Vec<VcpuView>,
    system: System,
    tracking: Option<Tracking>,
    exits_on_emulation_failure: bool,
    reach: u64,
    /// A vCPU that never runs.
    spare: Option<Mutex<VcpuFd>>,
    pausing: Mutex<()>,
    fd: Arc<VmFd>,
}

/// All vCPUs stand still, each at the end of a batch of visits. They go on when this is dropped.
#[derive(Debug)]
pub struct Paused<'a> {
    vm: &'a Vm,
    _only: MutexGuard<'a, ()>,
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.vm.resume();
    }
}

impl Vm {
    pub(super) fn new(fd: Arc<VmFd>, memslots: Memslots, system: System, views: Vec<VcpuView>, reach: u64) -> Self {
        let mut enable = kvm_enable_cap { cap: KVM_CAP_EXIT_ON_EMULATION_FAILURE, ..kvm_enable_cap::default() };
        enable.args[0] = 1;
        // Without it (before 5.14) an instruction that cannot be interpreted is an exception in the guest, which ends it.
        let exits_on_emulation_failure = fd.enable_cap(&enable).is_ok();
        let pausing = Mutex::new(());
        Self { rings: None, memslots, views, system, tracking: None, exits_on_emulation_failure, reach, spare: None, pausing, fd }
    }

    pub(super) fn track(&mut self, tracking: Option<Tracking>, rings: Option<Rings>) {
        (self.tracking, self.rings) = (tracking, rings);
    }

    /// First guest-physical byte that the guest's own page tables do not reach.
    #[must_use]
    pub const fn reach(&self) -> u64 {
        self.reach
    }

    pub(super) fn set_spare(&mut self, spare: Option<VcpuFd>) {
        self.spare = spare.map(Mutex::new);
    }

    /// Installs translations for the `pages` pages from `gpa` before any vCPU asks for them (`KVM_PRE_FAULT_MEMORY`); gives the pages
    /// for which that was done.
    ///
    /// # Errors
    /// What KVM says of the first page: EFAULT while its host mapping is away, EAGAIN where an invalidation was faster.
    pub fn pre_fault(&self, gpa: Gpa, pages: u64) -> Result<u64, Errno> {
        let spare = self.spare.as_ref().ok_or(Errno::ENODEV)?.lock().unwrap_or_else(PoisonError::into_inner);
        let size = pages * PAGE_SIZE;
        let mut range = kvm_pre_fault_memory { gpa: gpa.get(), size, ..kvm_pre_fault_memory::default() };
        // SAFETY: KVM reads and writes `range`, which lives through the call, and touches no memory of this process but the page
        // tables of the range.
        let result = unsafe { pre_fault_memory(spare.as_raw_fd(), &raw mut range) };
        // What is left of the range is in it, whatever ended the call.
        match (result, (size - range.size.min(size)) / PAGE_SIZE) {
            (Err(errno), 0) => Err(errno),
            (_, done) => Ok(done),
        }
    }

    pub(super) const fn exits_on_emulation_failure(&self) -> bool {
        self.exits_on_emulation_failure
    }

    /// Its memslots.
    #[must_use]
    pub const fn memslots(&self) -> &Memslots {
        &self.memslots
    }

    /// How it tracks dirty pages, where somebody said so.
    #[must_use]
    pub const fn tracking(&self) -> Option<Tracking> {
        self.tracking
    }

    /// Whether the dirty log of its memslots can be read.
    #[must_use]
    pub const fn has_dirty_log(&self) -> bool {
        dirty::has_log(self.tracking)
    }

    /// A view of each vCPU.
    #[must_use]
    pub fn views(&self) -> &[VcpuView] {
        &self.views
    }

    /// All vCPUs, to be stopped where they are.
    #[must_use]
    pub fn vcpus(&self) -> Vcpus {
        Vcpus::new(self.views.clone())
    }

    /// What is shared with the guest.
    #[must_use]
    pub const fn system(&self) -> &System {
        &self.system
    }

    /// Takes the dirty pages out of all rings, and lets KVM track those pages again. Without rings there are none.
    ///
    /// A hardware log (Intel's PML) reaches the ring when its vCPU leaves the guest: [`Vm::kick`] first for all that was written
    /// until now.
    ///
    /// # Errors
    /// What KVM says to `KVM_RESET_DIRTY_RINGS`.
    pub fn harvest(&self) -> Result<Vec<DirtyPage>, Errno> {
        self.rings.as_ref().map_or(Ok(Vec::new()), |rings| rings.harvest(&self.fd))
    }

    /// Makes every vCPU leave the guest once. `false` if one did not within `bound`.
    #[must_use]
    pub fn kick(&self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        let entered: Vec<_> = self.views.iter().map(VcpuView::entered).collect();
        self.views.iter().zip(entered).all(|(view, then)| view.leave(then, deadline))
    }

    /// Pauses all vCPUs, each at the end of a batch of visits; one caller at a time.
    ///
    /// # Errors
    /// Those that did not pause within `bound`; all go on then.
    pub fn pause(&self, bound: Duration) -> Result<Paused<'_>, Stuck> {
        let paused = Paused { vm: self, _only: self.pausing.lock().unwrap_or_else(PoisonError::into_inner) };
        self.views.iter().for_each(VcpuView::forget_resume);
        self.command(Command::Pause, bound, |state| *state == VcpuState::Paused || state.is_final()).map(|()| paused)
    }

    /// Makes a guest_memfd that this process can map, too, and from which the guest may take shared pages.
    ///
    /// # Errors
    /// What KVM says.
    pub fn guest_memfd(&self, pages: u64) -> Result<OwnedFd, Errno> {
        let size = pages * PAGE_SIZE;
        let create = kvm_create_guest_memfd { size, flags: MMAP | INIT_SHARED, ..kvm_create_guest_memfd::default() };
        let fd = self.fd.create_guest_memfd(create).map_err(|error| Errno::from_raw(error.errno()))?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn resume(&self) {
        self.system.command(Command::Run);
        self.views.iter().for_each(VcpuView::resume);
    }

    /// Gives a command and waits until every vCPU is as it says.
    pub(super) fn command(
        &self,
        command: Command,
        bound: Duration,
        mut done: impl FnMut(&VcpuState) -> bool,
    ) -> Result<(), Stuck> {
        self.system.command(command);
        let deadline = Instant::now() + bound;
        let stuck: Vec<_> = (self.views.iter().enumerate())
            .filter(|(_, view)| view.wait(deadline.saturating_duration_since(Instant::now()), &mut done).is_none())
            .map(|(index, _)| (index, self.describe(index)))
            .collect();
        if stuck.is_empty() { Ok(()) } else { Err(Stuck { vcpus: stuck }) }
    }

    /// One line on what a vCPU is doing.
    pub(crate) fn describe(&self, index: usize) -> String {
        use std::sync::atomic::Ordering::Relaxed;
        let Some(view) = self.views.get(index) else { return "no such vCPU".to_owned() };
        let visits = self.system.vcpu(index).map_or(0, |block| block.counts.visits.load(Relaxed));
        let at = view.last_fault().map_or(String::new(), |gpa| format!(", last at gpa {gpa}"));
        format!("{:?}, {visits} visits, {} EFAULT retries{at}", view.state(), view.efaults())
    }
}
