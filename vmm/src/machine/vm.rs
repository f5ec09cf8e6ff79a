//! One VM with its memslots and vCPUs, from creation to a join that cannot hang.

use super::{
    boot::{self, BootError, Privilege},
    state,
    stats::{Sample, Stats, StatsError},
    suspend::{SuspendError, Vcpus},
    vcpu::{self, Observer, VcpuState, VcpuView},
};
use crate::memory::{Arena, System};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use nix::errno::Errno;
use nostale_guest::abi::{Command, MAX_VCPUS};
use nostale_notifier::{Gpa, HvaRange};
use std::{
    mem::ManuallyDrop,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use thiserror::Error;
use vm_memory::{
    GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionCollectionError, GuestRegionMmap, MmapRegion,
};

/// Why there is no machine.
#[derive(Debug, Error)]
pub enum MachineError {
    /// No KVM.
    #[error("cannot open /dev/kvm: {0}; `nostale doctor` says what is missing")]
    NoKvm(Errno),
    /// A number of vCPUs that cannot be.
    #[error("{0} vCPUs: from 1 to {MAX_VCPUS} are possible")]
    Vcpus(usize),
    /// An ioctl failed.
    #[error("{what}: {errno}")]
    Ioctl {
        /// Which.
        what: &'static str,
        /// How.
        errno: Errno,
    },
    /// Memory that vm-memory does not accept.
    #[error("guest memory: {0}")]
    Memory(#[from] GuestRegionCollectionError),
    /// A mapping that vm-memory does not accept.
    #[error("guest memory at {0}: not a mapping that can become a memslot")]
    Mapping(Gpa),
    /// The image does not load.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// No statistics: without them nothing proves that a run was not vacuous.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// vCPUs that do not stop before their first instruction.
    #[error(transparent)]
    Suspend(#[from] SuspendError),
    /// No thread.
    #[error("cannot start a vCPU thread: {0}")]
    Thread(std::io::Error),
}

/// Host memory that appears in the guest: an arena's, so that no guest is ever given anything else of this process. The arena must
/// outlive the machine; that pages in it come and go is the point.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    gpa: Gpa,
    hva: HvaRange,
}

impl Slot {
    /// The arena's pages at home, as guest memory from `gpa`.
    #[must_use]
    pub fn home(gpa: Gpa, arena: &Arena) -> Self {
        Self { gpa, hva: arena.home() }
    }

    /// The arena's whole witness, as guest memory from `gpa`: for a guest that is made to use stale translations.
    #[must_use]
    pub fn witness(gpa: Gpa, arena: &Arena) -> Option<Self> {
        Some(Self { gpa, hva: arena.witness()? })
    }
}

/// A machine to be.
#[derive(Debug)]
pub struct MachineConfig<'a> {
    /// The system slot; it says how many vCPUs there are and what each does.
    pub system: &'a System,
    /// All other memory.
    pub slots: &'a [Slot],
    /// The ring of the guest.
    pub privilege: Privilege,
}

/// vCPUs whose threads did not end in time.
#[derive(Clone, Debug, Error)]
#[error("vCPU {}", .vcpus.iter().map(|(n, why)| format!("{n} ({why})")).collect::<Vec<_>>().join(", "))]
pub struct Stuck {
    /// Which, and what is known of each.
    pub vcpus: Vec<(usize, String)>,
}

struct Vcpu {
    view: VcpuView,
    stats: Stats,
    thread: Option<JoinHandle<()>>,
    // Until it is started.
    fd: Option<VcpuFd>,
}

/// A VM.
pub struct Machine {
    vcpus: Vec<Vcpu>,
    stats: Stats,
    system: System,
    // The order matters: the VM goes before its memory.
    _vm: Arc<VmFd>,
    _memory: GuestMemoryMmap,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("vcpus", &self.vcpus.len()).finish_non_exhaustive()
    }
}

fn ioctl<T>(what: &'static str, result: Result<T, kvm_ioctls::Error>) -> Result<T, MachineError> {
    result.map_err(|error| MachineError::Ioctl { what, errno: Errno::from_raw(error.errno()) })
}

impl Machine {
    /// Creates the VM and its vCPUs; none runs yet.
    ///
    /// # Errors
    /// Whatever KVM refuses, by the name of the ioctl.
    pub fn new(config: &MachineConfig<'_>) -> Result<Self, MachineError> {
        let count = config.system.vcpus() as usize;
        if !(1..=MAX_VCPUS).contains(&count) {
            return Err(MachineError::Vcpus(count));
        }
        let kvm = Kvm::new().map_err(|error| MachineError::NoKvm(Errno::from_raw(error.errno())))?;
        // EINTR: a signal while the VM's threads are made (Firecracker meets it in the field, so do test runs full of kicks).
        let vm = loop {
            match kvm.create_vm() {
                Err(error) if error.errno() == libc::EINTR => {}
                result => break ioctl("KVM_CREATE_VM", result)?,
            }
        };
        let memory = guest_memory(config)?;
        for (slot, region) in memory.iter().enumerate() {
            let region = kvm_userspace_memory_region {
                slot: slot as u32,
                flags: 0,
                guest_phys_addr: region.start_addr().0,
                memory_size: region.len(),
                userspace_addr: region.as_ptr() as u64,
            };
            // SAFETY: the range belongs to the system slot or to an arena, both of which outlive this VM. Other mappings never
            // appear in it (see `memory::Zone`).
            ioctl("KVM_SET_USER_MEMORY_REGION", unsafe { vm.set_user_memory_region(region) })?;
        }
        let end = memory.iter().map(|region| region.start_addr().0 + region.len()).max().unwrap_or(0);
        let cr3 = boot::write_page_tables(&memory, end)?;
        let entry = boot::load_image(&memory)?;
        let cpuid = ioctl("KVM_GET_SUPPORTED_CPUID", kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES))?;
        let stats = Stats::of(&vm)?;
        vcpu::install_kick();
        let vcpus = (0..count as u64)
            .map(|index| {
                let fd = ioctl("KVM_CREATE_VCPU", vm.create_vcpu(index))?;
                ioctl("KVM_SET_CPUID2", fd.set_cpuid2(&cpuid))?;
                // One clock, the host's, where KVM lets it (since 5.16); older kernels' guests have one that is good for intervals only.
                state::set_tsc_offset(&fd, 0);
                let reset = ioctl("KVM_GET_SREGS", fd.get_sregs())?;
                ioctl("KVM_SET_SREGS", fd.set_sregs(&boot::special_registers(reset, cr3, config.privilege)))?;
                ioctl("KVM_SET_REGS", fd.set_regs(&boot::registers(entry, index, config.privilege)))?;
                Ok(Vcpu { view: VcpuView::new(), stats: Stats::of(&fd)?, thread: None, fd: Some(fd) })
            })
            .collect::<Result<Vec<_>, MachineError>>()?;
        Ok(Self { vcpus, stats, system: config.system.clone(), _vm: Arc::new(vm), _memory: memory })
    }

    /// Starts every vCPU that does not run yet, each on a thread of its own.
    ///
    /// # Errors
    /// When the host gives no thread.
    pub fn start(&mut self, observer: &Arc<dyn Observer>) -> Result<(), MachineError> {
        for (index, vcpu) in self.vcpus.iter_mut().enumerate() {
            let Some(fd) = vcpu.fd.take() else { continue };
            let (system, view, observer) = (self.system.clone(), vcpu.view.clone(), Arc::clone(observer));
            let body = move || vcpu::run(fd, index, &system, &view, observer.as_ref());
            let thread = std::thread::Builder::new().name(format!("vcpu{index}")).spawn(body);
            vcpu.thread = Some(thread.map_err(MachineError::Thread)?);
        }
        Ok(())
    }

    /// Starts them as [`Machine::start`] does, but stopped before their first instruction: they are to become others
    /// ([`Vcpus::put`]), and go on when they are told to.
    ///
    /// # Errors
    /// When the host gives no thread, or a vCPU cannot be stopped within `bound`.
    pub fn start_suspended(&mut self, observer: &Arc<dyn Observer>, bound: Duration) -> Result<Vcpus, MachineError> {
        let vcpus = self.vcpus();
        vcpus.close_gates();
        self.start(observer)?;
        vcpus.hold(bound)?;
        Ok(vcpus)
    }

    /// All vCPUs, to be stopped where they are.
    #[must_use]
    pub fn vcpus(&self) -> Vcpus {
        Vcpus::new(self.views().cloned().collect())
    }

    /// A view of each vCPU.
    pub fn views(&self) -> impl ExactSizeIterator<Item = &VcpuView> {
        self.vcpus.iter().map(|vcpu| &vcpu.view)
    }

    /// KVM's counters now.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn sample(&self) -> Result<Sample, StatsError> {
        let vcpus: Vec<_> = self.vcpus.iter().map(|vcpu| &vcpu.stats).collect();
        Sample::take(&self.stats, &vcpus)
    }

    /// Pauses all vCPUs at the end of a batch of visits.
    ///
    /// # Errors
    /// Those that did not pause within `bound`.
    pub fn pause(&self, bound: Duration) -> Result<(), Stuck> {
        self.system.command(Command::Pause);
        self.wait_all(bound, |state| *state == VcpuState::Paused || state.is_final())
    }

    /// Lets all vCPUs go on.
    pub fn resume(&self) {
        self.system.command(Command::Run);
        self.views().for_each(VcpuView::resume);
    }

    /// Stops all vCPUs at the end of a batch of visits. Their tallies are final then.
    ///
    /// # Errors
    /// Those that did not stop within `bound`; they go on until [`Machine::join`].
    pub fn stop(&self, bound: Duration) -> Result<(), Stuck> {
        self.system.command(Command::Stop);
        self.wait_all(bound, VcpuState::is_final)
    }

    fn wait_all(&self, bound: Duration, mut done: impl FnMut(&VcpuState) -> bool) -> Result<(), Stuck> {
        let deadline = Instant::now() + bound;
        let stuck: Vec<_> = self
            .views()
            .enumerate()
            .filter(|(_, view)| view.wait(deadline.saturating_duration_since(Instant::now()), &mut done).is_none())
            .map(|(index, view)| (index, self.describe(index, view)))
            .collect();
        if stuck.is_empty() { Ok(()) } else { Err(Stuck { vcpus: stuck }) }
    }

    /// One line on what a vCPU is doing.
    fn describe(&self, index: usize, view: &VcpuView) -> String {
        use std::sync::atomic::Ordering::Relaxed;
        let visits = self.system.vcpu(index).map_or(0, |block| block.counts.visits.load(Relaxed));
        let at = view.last_fault().map_or(String::new(), |gpa| format!(", last at gpa {gpa}"));
        format!("{:?}, {visits} visits, {} EFAULT retries{at}", view.state(), view.efaults())
    }

    /// Ends every vCPU thread, whatever its state, within `bound`.
    ///
    /// # Errors
    /// The threads that did not end: they are stuck in the kernel. The VM and its memory are leaked with them.
    pub fn join(mut self, bound: Duration) -> Result<(), Stuck> {
        let stuck = self.end_threads(bound);
        if stuck.is_empty() {
            return Ok(());
        }
        let _leaked = ManuallyDrop::new(self);
        Err(Stuck { vcpus: stuck })
    }

    fn end_threads(&mut self, bound: Duration) -> Vec<(usize, String)> {
        self.views().for_each(VcpuView::abandon);
        let deadline = Instant::now() + bound;
        let mut stuck = Vec::new();
        for index in 0..self.vcpus.len() {
            let Some(thread) = self.vcpus[index].thread.take() else { continue };
            if vcpu::join_within(thread, deadline.saturating_duration_since(Instant::now())).is_err() {
                stuck.push((index, self.describe(index, &self.vcpus[index].view)));
            }
        }
        stuck
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // `join` is the way to end a machine; this is for early returns and panics.
        let stuck = self.end_threads(Duration::from_secs(5));
        if !stuck.is_empty() {
            eprintln!("nostale: {} does not end", Stuck { vcpus: stuck });
        }
    }
}

fn guest_memory(config: &MachineConfig<'_>) -> Result<GuestMemoryMmap, MachineError> {
    let mapping_error = |gpa| move || MachineError::Mapping(gpa);
    let system = GuestRegionMmap::with_arc(Arc::clone(config.system.region()), GuestAddress(0));
    let mut regions = vec![system.ok_or_else(mapping_error(Gpa::new(0)))?];
    for slot in config.slots {
        let (start, bytes) = (slot.hva.start().get() as *mut u8, slot.hva.bytes() as usize);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range stays reserved as long as the machine (see `Slot`). Nothing reads or writes it through this
        // region: it exists to be registered; the pages themselves are reached by `memory::Arena`.
        let region = unsafe { MmapRegion::build_raw(start, bytes, protection, libc::MAP_SHARED | libc::MAP_NORESERVE) };
        let region = region.map_err(|_| MachineError::Mapping(slot.gpa))?;
        regions.push(GuestRegionMmap::new(region, GuestAddress(slot.gpa.get())).ok_or_else(mapping_error(slot.gpa))?);
    }
    Ok(GuestMemoryMmap::from_regions(regions)?)
}
