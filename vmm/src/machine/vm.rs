//! One VM with its memslots and vCPUs, from creation to a join that cannot hang.

use super::{
    boot::{self, BootError, Privilege},
    control::{Paused, Vm},
    ring::{self, Ring, Rings},
    slot::{Demands, Slot, SlotFlags, Tracking},
    slots::{Memslots, SlotError, SlotsTold},
    state,
    stats::{Sample, Stats, StatsError},
    suspend::{SuspendError, Vcpus},
    vcpu::{self, Observer},
    view::{VcpuState, VcpuView},
};
use crate::memory::System;
use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use kvm_ioctls::{Kvm, VcpuFd};
use nix::errno::Errno;
use nostale_guest::abi::{Command, MAX_VCPUS, PAGE_SIZE};
use std::{
    mem::ManuallyDrop,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use thiserror::Error;
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionCollectionError, GuestRegionMmap};

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
    /// A system slot that vm-memory does not accept.
    #[error("the system slot is no mapping that can become a memslot")]
    Mapping,
    /// A memslot that KVM does not accept.
    #[error(transparent)]
    Slot(#[from] SlotError),
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

/// A machine to be.
#[derive(Debug)]
pub struct MachineConfig<'a> {
    /// The system slot; it says how many vCPUs there are and what each does.
    pub system: &'a System,
    /// All other memory.
    pub slots: &'a [Slot],
    /// The ring of the guest.
    pub privilege: Privilege,
    /// What operations want of it.
    pub demands: Demands,
    /// Who is told how its memory lies in the host.
    pub told: Option<SlotsTold>,
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
    vm: Arc<Vm>,
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
        let fd = Arc::new(vm);
        let memslots = Memslots::new(Arc::clone(&fd), config.told.clone());
        let system = Slot::system(config.system).ok_or(MachineError::Mapping)?;
        let slots = || [system].into_iter().chain(config.slots.iter().copied());
        {
            let mut change = memslots.change();
            slots().try_for_each(|slot| change.insert(slot, SlotFlags::default()).map(|_| ()))?;
        }
        // Room for memslots that are moved behind the last one.
        let end = slots().map(|slot| slot.end().get()).max().unwrap_or(0);
        let moved = config.slots.iter().map(|slot| slot.pages() * PAGE_SIZE).sum::<u64>();
        let reach = (end.next_multiple_of(1 << 30) + moved).next_multiple_of(1 << 30);
        let memory = system_memory(config.system)?;
        let cr3 = boot::write_page_tables(&memory, reach)?;
        let entry = boot::load_image(&memory)?;
        let cpuid = ioctl("KVM_GET_SUPPORTED_CPUID", kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES))?;
        let ring_entries = match config.demands.tracking {
            Some(Tracking::Ring { entries }) => Some(entries),
            _ => None,
        };
        let ring_error = |errno| MachineError::Ioctl { what: "KVM_ENABLE_CAP(KVM_CAP_DIRTY_LOG_RING)", errno };
        ring_entries.map_or(Ok(()), |entries| ring::enable(&fd, entries).map_err(ring_error))?;
        let stats = Stats::of(&*fd)?;
        vcpu::install_kick();
        let make_vcpu = |index: u64| {
            let vcpu = ioctl("KVM_CREATE_VCPU", fd.create_vcpu(index))?;
            ioctl("KVM_SET_CPUID2", vcpu.set_cpuid2(&cpuid))?;
            // One clock, the host's, where KVM lets it (since 5.16); older kernels' guests have one that is good for intervals only.
            state::set_tsc_offset(&vcpu, 0);
            let reset = ioctl("KVM_GET_SREGS", vcpu.get_sregs())?;
            ioctl("KVM_SET_SREGS", vcpu.set_sregs(&boot::special_registers(reset, cr3, config.privilege)))?;
            ioctl("KVM_SET_REGS", vcpu.set_regs(&boot::registers(entry, index, config.privilege)))?;
            Ok::<_, MachineError>(vcpu)
        };
        let mut rings = Vec::new();
        let vcpus = (0..count as u64)
            .map(|index| {
                let vcpu = make_vcpu(index)?;
                if let Some(entries) = ring_entries {
                    let map_error = |errno| MachineError::Ioctl { what: "mmap of a vCPU's dirty ring", errno };
                    rings.push(Ring::map(&vcpu, entries).map_err(map_error)?);
                }
                Ok(Vcpu { view: VcpuView::new(), stats: Stats::of(&vcpu)?, thread: None, fd: Some(vcpu) })
            })
            .collect::<Result<Vec<_>, MachineError>>()?;
        let spare = config.demands.pre_fault.then(|| make_vcpu(count as u64)).transpose()?;
        let views = vcpus.iter().map(|vcpu| vcpu.view.clone()).collect();
        let mut vm = Vm::new(fd, memslots, config.system.clone(), views, reach);
        vm.set_spare(spare);
        vm.track(config.demands.tracking, ring_entries.map(|_| Rings::new(rings)));
        Ok(Self { vcpus, stats, vm: Arc::new(vm) })
    }

    /// The VM, for those who change it while it runs. Its memory must outlive it.
    #[must_use]
    pub fn vm(&self) -> &Arc<Vm> {
        &self.vm
    }

    /// Starts every vCPU that does not run yet, each on a thread of its own.
    ///
    /// # Errors
    /// When the host gives no thread.
    pub fn start(&mut self, observer: &Arc<dyn Observer>) -> Result<(), MachineError> {
        for (index, vcpu) in self.vcpus.iter_mut().enumerate() {
            let Some(fd) = vcpu.fd.take() else { continue };
            let (vm, view, observer) = (Arc::clone(&self.vm), vcpu.view.clone(), Arc::clone(observer));
            let body = move || vcpu::run(fd, index, &vm, &view, observer.as_ref());
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
        self.vm.vcpus()
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

    /// Pauses all vCPUs at the end of a batch of visits, until the result is dropped.
    ///
    /// # Errors
    /// Those that did not pause within `bound`.
    pub fn pause(&self, bound: Duration) -> Result<Paused<'_>, Stuck> {
        self.vm.pause(bound)
    }

    /// Stops all vCPUs at the end of a batch of visits. Their tallies are final then.
    ///
    /// # Errors
    /// Those that did not stop within `bound`; they go on until [`Machine::join`].
    pub fn stop(&self, bound: Duration) -> Result<(), Stuck> {
        self.vm.command(Command::Stop, bound, VcpuState::is_final)
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
            if vcpu::join_while(thread, || Instant::now() < deadline).is_err() {
                stuck.push((index, self.vm.describe(index)));
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

/// The system slot, to write page tables and the image to.
fn system_memory(system: &System) -> Result<GuestMemoryMmap, MachineError> {
    let region = GuestRegionMmap::with_arc(Arc::clone(system.region()), GuestAddress(0)).ok_or(MachineError::Mapping)?;
    Ok(GuestMemoryMmap::from_regions(vec![region])?)
}
