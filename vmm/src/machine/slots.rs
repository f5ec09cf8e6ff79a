//! The memslots of a VM while it runs: what KVM was told, and what becomes of an access that meets none.
//!
//! KVM hands an access to memory without a memslot (or a write to a read-only one) to the VMM as MMIO, when it has already
//! interpreted the instruction. To drop it would lose a write. So it waits here until the memory is back, and is then carried out
//! in its place. A locked increment comes in two halves, a read and a write of the sum, between which others write: what the guest
//! writes to a counter is always one more than it read there, so it is carried out as an increment.

use super::slot::{Registered, Slot, SlotFlags, SlotId};
use crate::memory::Primary;
use kvm_bindings::{
    KVM_MEM_GUEST_MEMFD, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, kvm_userspace_memory_region, kvm_userspace_memory_region2,
};
use kvm_ioctls::VmFd;
use nix::errno::Errno;
use nostale_guest::{
    abi::PAGE_SIZE,
    page::{LINES, counter_offset},
};
use nostale_notifier::{Gpa, Hva, HvaRange};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire},
    },
};
use thiserror::Error;

/// KVM refused a change of memslots.
#[derive(Debug, Error)]
pub enum SlotError {
    /// An ioctl failed.
    #[error("{call} ({what} {id}, {slot}): {errno}")]
    Refused {
        /// Which ioctl.
        call: &'static str,
        /// To do what.
        what: &'static str,
        /// With which memslot.
        id: SlotId,
        /// What it maps.
        slot: Slot,
        /// How.
        errno: Errno,
    },
    /// There is none with this number.
    #[error("there is no {0}")]
    Unknown(SlotId),
}

#[derive(Debug, Default)]
struct Table {
    present: Vec<Registered>,
    /// Places where a memslot was, newest last; accesses there are carried out on its memory, once they may.
    vacant: Vec<Vacant>,
    /// Accesses that are being carried out at the moment. Each may wait for its page, for as long as an operation has it.
    accesses: u32,
    /// Changes that wait until there are none.
    waiting: u32,
}

#[derive(Clone, Copy, Debug)]
struct Vacant {
    slot: Slot,
    open: bool,
}

/// Where an access is to be carried out.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// There; in a memslot, or where one was.
    At { at: Hva, present: bool },
    /// Nowhere before something has changed.
    NotYet,
    /// Nothing was ever there.
    Nowhere,
}

impl Table {
    fn place(&self, gpa: Gpa, mmio: Mmio) -> Place {
        let present = self.present.iter().find_map(|known| Some((known, known.slot.translate(gpa)?)));
        let vacant = || self.vacant.iter().rev().find_map(|vacant| Some((vacant.open, vacant.slot.translate(gpa)?)));
        match present {
            // Whoever waits to change something would wait for ever if others could always begin.
            _ if self.waiting > 0 => Place::NotYet,
            Some((known, _)) if known.flags.readonly && mmio != Mmio::Read => Place::NotYet,
            Some((_, at)) => Place::At { at, present: true },
            None => match vacant() {
                Some((true, at)) => Place::At { at, present: false },
                Some((false, _)) => Place::NotYet,
                None => Place::Nowhere,
            },
        }
    }

    fn free_id(&self) -> SlotId {
        (0..).map(SlotId).find(|id| self.present.iter().all(|known| known.id != *id)).unwrap_or(SlotId(u32::MAX))
    }
}

/// Is told how guest memory lies in the host, at every change: nothing while it changes, and all of it afterwards.
#[derive(Clone)]
pub struct SlotsTold(Arc<Tell>);

type Tell = dyn Fn(&[Registered]) + Send + Sync;

impl SlotsTold {
    /// Calls `tell`.
    #[must_use]
    pub fn new(tell: impl Fn(&[Registered]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl std::fmt::Debug for SlotsTold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlotsTold").finish_non_exhaustive()
    }
}

/// The memslots of one VM.
#[derive(Debug)]
pub struct Memslots {
    vm: Arc<VmFd>,
    told: Option<SlotsTold>,
    table: Mutex<Table>,
    /// The last access is over.
    quiet: Condvar,
    /// Odd while a change is under way.
    version: AtomicU64,
    reserved: Mutex<()>,
}

/// The version of a VM as it is made, in one change.
const FIRST: u64 = 2;

/// What the guest wanted of memory that has no memslot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mmio {
    /// To read 8 bytes.
    Read,
    /// To write them.
    Write(u64),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It was carried out; a read gives this.
    Out(u64),
    /// It has to wait.
    Later,
    /// It was carried out, though KVM should have let it through: its memslot was there all the time.
    Missed(u64),
    /// Nothing was ever there.
    Nowhere,
}

impl Memslots {
    pub(super) fn new(vm: Arc<VmFd>, told: Option<SlotsTold>) -> Self {
        Self { vm, told, table: Mutex::default(), quiet: Condvar::new(), version: AtomicU64::new(0), reserved: Mutex::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that KVM has now; the system slot is the first.
    #[must_use]
    pub fn all(&self) -> Vec<Registered> {
        self.lock().present.clone()
    }

    /// Those that show any of `hva`.
    #[must_use]
    pub fn over(&self, hva: HvaRange) -> Vec<Registered> {
        self.lock().present.iter().filter(|known| known.slot.hva().overlaps(hva)).copied().collect()
    }

    /// The memslot with this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, id: SlotId) -> Result<Registered, SlotError> {
        self.lock().present.iter().find(|known| known.id == id).copied().ok_or(SlotError::Unknown(id))
    }

    /// Reserves the memslots for an operation of several changes, or for a log that must not break off; `None` while another has them.
    #[must_use]
    pub fn reserve(&self) -> Option<MutexGuard<'_, ()>> {
        match self.reserved.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Begins a change, when all accesses that are being carried out are over. Until it ends, others wait.
    #[must_use]
    pub fn change(&self) -> Change<'_> {
        let mut table = self.lock();
        table.waiting += 1;
        // As in KVM, where a change of memslots waits for faults under way: what lands later would be a write to memory that is gone.
        let mut table = self.quiet.wait_while(table, |table| table.accesses > 0).unwrap_or_else(PoisonError::into_inner);
        table.waiting -= 1;
        self.version.fetch_add(1, AcqRel);
        self.tell(&[]);
        Change { slots: self, table }
    }

    /// A number that differs when anything was changed since, and is odd while something is.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// Whether anything was changed since the VM was made.
    pub(super) fn changed(&self) -> bool {
        self.version() > FIRST
    }

    fn tell(&self, slots: &[Registered]) {
        if let Some(SlotsTold(tell)) = &self.told {
            tell(slots);
        }
    }

    /// The VM itself, for the dirty log.
    pub(super) fn vm(&self) -> &VmFd {
        &self.vm
    }

    /// Carries out what a vCPU, entered at `version`, could not do by itself.
    pub(super) fn carry_out(&self, gpa: Gpa, mmio: Mmio, version: u64, primary: Primary) -> Carried {
        let place = {
            let mut table = self.lock();
            let place = table.place(gpa, mmio);
            table.accesses += u32::from(matches!(place, Place::At { .. }));
            place
        };
        let (at, present) = match place {
            Place::At { at, present } => (at, present),
            Place::NotYet => return Carried::Later,
            Place::Nowhere => return Carried::Nowhere,
        };
        let done = access(at, mmio, primary);
        // No change was made since the table was looked at, and none is before this access is over.
        let unchanged = version == self.version();
        let mut table = self.lock();
        table.accesses -= 1;
        if table.accesses == 0 {
            self.quiet.notify_all();
        }
        match done {
            None => Carried::Later,
            Some(value) if present && unchanged => Carried::Missed(value),
            Some(value) => Carried::Out(value),
        }
    }
}

/// One access, as the guest meant it. `None` while the page is away.
fn access(at: Hva, mmio: Mmio, primary: Primary) -> Option<u64> {
    let is_counter = (0..LINES).any(|line| counter_offset(line) == at.get() % PAGE_SIZE);
    match mmio {
        Mmio::Read => primary.load(at).ok(),
        // SAFETY: `at` lies in a slot, which is arena memory (see `Slot`), or nothing.
        Mmio::Write(_) if is_counter => unsafe { primary.increment(at) }.ok().map(|()| 0),
        // SAFETY: as above.
        Mmio::Write(value) => unsafe { primary.store(at, value) }.ok().map(|()| 0),
    }
}

/// A change of memslots under way.
#[derive(Debug)]
pub struct Change<'a> {
    slots: &'a Memslots,
    table: MutexGuard<'a, Table>,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.slots.tell(&self.table.present);
        self.slots.version.fetch_add(1, AcqRel);
    }
}

impl Drop for Memslots {
    fn drop(&mut self) {
        // The VM goes with them, and all that it had installed.
        self.tell(&[]);
    }
}

impl Change<'_> {
    /// Adds a memslot.
    ///
    /// # Errors
    /// What KVM says.
    pub fn insert(&mut self, slot: Slot, flags: SlotFlags) -> Result<SlotId, SlotError> {
        let id = self.table.free_id();
        self.set("add", id, slot, flags, slot.hva().bytes())?;
        self.table.present.push(Registered { id, slot, flags });
        self.table.vacant.retain(|vacant| !slot.covers(&vacant.slot));
        Ok(id)
    }

    /// Takes a memslot away. Accesses to its place wait until there is another, or until [`Change::open`].
    ///
    /// # Errors
    /// What KVM says.
    pub fn remove(&mut self, id: SlotId) -> Result<Registered, SlotError> {
        let index = self.index(id)?;
        let known = self.table.present[index];
        self.set("remove", id, known.slot, SlotFlags::default(), 0)?;
        self.table.present.remove(index);
        self.table.vacant.push(Vacant { slot: known.slot, open: false });
        Ok(known)
    }

    /// Moves a memslot to another guest-physical address, in one call. Accesses to its old place wait until [`Change::open`].
    ///
    /// # Errors
    /// What KVM says.
    pub fn move_to(&mut self, id: SlotId, gpa: Gpa) -> Result<(), SlotError> {
        let index = self.index(id)?;
        let Registered { slot: old, flags, .. } = self.table.present[index];
        let new = old.at(gpa);
        self.set("move", id, new, flags, new.hva().bytes())?;
        self.table.present[index].slot = new;
        self.table.vacant.push(Vacant { slot: old, open: false });
        self.table.vacant.retain(|vacant| !new.covers(&vacant.slot));
        Ok(())
    }

    /// Turns the dirty log of a memslot on or off; vCPUs go on meanwhile.
    ///
    /// # Errors
    /// What KVM says.
    pub fn set_log(&mut self, id: SlotId, log: bool) -> Result<(), SlotError> {
        let index = self.index(id)?;
        let Registered { slot, flags, .. } = self.table.present[index];
        let flags = SlotFlags { log, ..flags };
        self.set(if log { "log dirty pages of" } else { "log no more dirty pages of" }, id, slot, flags, slot.hva().bytes())?;
        self.table.present[index].flags = flags;
        Ok(())
    }

    /// Lets accesses to the places that memslots have left be carried out on the memory that was there, wherever it is now.
    pub fn open(&mut self) {
        self.table.vacant.iter_mut().for_each(|vacant| vacant.open = true);
    }

    fn index(&self, id: SlotId) -> Result<usize, SlotError> {
        self.table.present.iter().position(|known| known.id == id).ok_or(SlotError::Unknown(id))
    }

    fn set(&self, what: &'static str, id: SlotId, slot: Slot, flags: SlotFlags, bytes: u64) -> Result<(), SlotError> {
        let log = if flags.log { KVM_MEM_LOG_DIRTY_PAGES } else { 0 };
        let readonly = if flags.readonly { KVM_MEM_READONLY } else { 0 };
        let (gpa, hva) = (slot.gpa().get(), slot.hva().start().get());
        // The range belongs to the system slot or to an arena, both of which outlive this VM (see `Slot`). Other
        // mappings never appear in it (see `memory::Zone`).
        let (call, result) = match slot.guest_memfd().filter(|_| bytes > 0) {
            None => {
                let region = kvm_userspace_memory_region {
                    slot: id.0,
                    flags: log | readonly,
                    guest_phys_addr: gpa,
                    memory_size: bytes,
                    userspace_addr: hva,
                };
                // SAFETY: see above.
                ("KVM_SET_USER_MEMORY_REGION", unsafe { self.slots.vm.set_user_memory_region(region) })
            }
            Some((fd, offset)) => {
                let region = kvm_userspace_memory_region2 {
                    slot: id.0,
                    flags: log | readonly | KVM_MEM_GUEST_MEMFD,
                    guest_phys_addr: gpa,
                    memory_size: bytes,
                    userspace_addr: hva,
                    guest_memfd_offset: offset,
                    guest_memfd: fd as u32,
                    ..kvm_userspace_memory_region2::default()
                };
                // SAFETY: see above.
                ("KVM_SET_USER_MEMORY_REGION2", unsafe { self.slots.vm.set_user_memory_region2(region) })
            }
        };
        let refused =
            |error: kvm_ioctls::Error| SlotError::Refused { call, what, id, slot, errno: Errno::from_raw(error.errno()) };
        result.map_err(refused)
    }
}
