//! The system slot: everything that host and guest share beside the pages under test. No host operation ever touches it.

use nix::sys::memfd::{MFdFlags, memfd_create};
use nostale_guest::abi::{ABI_MAGIC, Board, Command, Control, MAX_VCPUS, Program, VcpuBlock, layout};
use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
            fence,
        },
    },
};
use vm_memory::{FileOffset, MmapRegion};

/// What one vCPU is told to do.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// What it executes.
    pub program: Program,
    /// Seed of its walk.
    pub seed: u64,
    /// Guest-physical address at which it finds arena page 0.
    pub arena: u64,
}

/// The system slot. Shared memory (a memfd): a fork of this process must not make a private copy of it.
#[derive(Clone, Debug)]
pub struct System {
    region: Arc<MmapRegion>,
    pages: u64,
    vcpus: u64,
    /// Odd while the guest's own memory is written by somebody else, because it comes home.
    epoch: Arc<AtomicU64>,
}

/// A guest's own memory comes home from elsewhere, until this is dropped.
#[derive(Debug)]
pub struct Homecoming<'a>(&'a AtomicU64);

impl Drop for Homecoming<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, AcqRel);
    }
}

impl System {
    /// A system slot for an arena of `pages` pages and a vCPU for each role.
    ///
    /// # Errors
    /// When the host has no memory for it, or the layout no room.
    pub fn new(pages: u64, roles: &[Role]) -> io::Result<Self> {
        let vcpus = roles.len() as u64;
        if roles.len() > MAX_VCPUS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{vcpus} vCPUs: at most {MAX_VCPUS} are possible")));
        }
        let size = layout::system_size(pages, vcpus);
        if size > layout::ARENA {
            let what = format!("{pages} pages and {vcpus} vCPUs need more boards and tallies than fit below the arena");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let file = File::from(memfd_create(c"nostale-system", MFdFlags::MFD_CLOEXEC)?);
        file.set_len(size)?;
        let region = MmapRegion::from_file(FileOffset::new(file, 0), size as usize).map_err(io::Error::other)?;
        let system = Self { region: Arc::new(region), pages, vcpus, epoch: Arc::default() };
        let control = system.at::<Control>(layout::CONTROL);
        let blocks = system.at::<VcpuBlock>(layout::VCPUS);
        // SAFETY: nobody else has this memory yet, all-zero bytes are valid for both types, and both lie inside the region.
        unsafe {
            (*control).magic = ABI_MAGIC;
            (*control).pages = pages;
            (*control).hot_pages.store(pages, Relaxed);
            for (index, role) in roles.iter().enumerate() {
                let block = &mut *blocks.add(index);
                block.index = index as u64;
                block.program.store(role.program as u64, Relaxed);
                block.seed = role.seed;
                block.arena.store(role.arena, Relaxed);
                block.tally = layout::tally(pages, index as u64);
            }
        }
        Ok(system)
    }

    /// The region, to become a memslot.
    #[must_use]
    pub fn region(&self) -> &Arc<MmapRegion> {
        &self.region
    }

    /// Pages of the arena that this slot describes.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// vCPUs that have a block.
    #[must_use]
    pub const fn vcpus(&self) -> u64 {
        self.vcpus
    }

    #[allow(
        clippy::cast_ptr_alignment,
        reason = "the layout aligns each object at least as its type wants, the region to a page"
    )]
    fn at<T>(&self, gpa: u64) -> *mut T {
        debug_assert!(gpa as usize + size_of::<T>() <= self.region.size());
        // The system slot starts at guest-physical 0.
        self.region.as_ptr().wrapping_add(gpa as usize).cast()
    }

    /// The control block.
    #[must_use]
    pub fn control(&self) -> &Control {
        // SAFETY: initialised in `new`; from then on only its atomics change.
        unsafe { &*self.at(layout::CONTROL) }
    }

    /// Tells all vCPUs what to do.
    pub fn command(&self, command: Command) {
        self.control().command.store(command as u32, Release);
    }

    /// Makes all vCPUs execute `program` from their next batch on.
    pub fn set_program(&self, program: Program) {
        self.all_vcpus().for_each(|vcpu| vcpu.program.store(program as u64, Relaxed));
    }

    /// vCPU `vcpu`'s block, or `None` if there is no such vCPU.
    #[must_use]
    pub fn vcpu(&self, vcpu: usize) -> Option<&VcpuBlock> {
        // SAFETY: initialised in `new`; from then on only its atomics change.
        ((vcpu as u64) < self.vcpus).then(|| unsafe { &*self.at::<VcpuBlock>(layout::VCPUS).add(vcpu) })
    }

    /// All vCPUs' blocks.
    pub fn all_vcpus(&self) -> impl Iterator<Item = &VcpuBlock> {
        (0..self.vcpus as usize).filter_map(|vcpu| self.vcpu(vcpu))
    }

    /// The boards, one for each arena page.
    #[must_use]
    pub fn boards(&self) -> &[Board] {
        // SAFETY: inside the region (see `layout::system_size`), zeroed, and made of atomics only.
        unsafe { std::slice::from_raw_parts(self.at(layout::BOARDS), self.pages as usize) }
    }

    /// How often vCPU `vcpu` visited each arena page to write.
    #[must_use]
    pub fn tally(&self, vcpu: usize) -> &[AtomicU32] {
        assert!((vcpu as u64) < self.vcpus, "vCPU {vcpu} of {}", self.vcpus);
        // SAFETY: inside the region (see `layout::system_size`), zeroed, and made of atomics only.
        unsafe { std::slice::from_raw_parts(self.at(layout::tally(self.pages, vcpu as u64)), self.pages as usize) }
    }

    /// From here on tallies may jump: what vCPUs counted elsewhere is written here.
    #[must_use]
    pub fn come_home(&self) -> Homecoming<'_> {
        self.epoch.fetch_add(1, AcqRel);
        Homecoming(&self.epoch)
    }

    /// The times between two homecomings, for those who compare tallies. To be asked before the first reading, and after the last.
    /// `None` in the middle of one: tallies are then neither of this time nor of that.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        // Tallies that were read before this are older.
        fence(Acquire);
        Some(self.epoch.load(Acquire)).filter(|epoch| epoch.is_multiple_of(2))
    }

    /// Moves the hot set: where the hot-set walkers look for trouble.
    pub fn set_hot(&self, first: u64, pages: u64) {
        let control = self.control();
        control.hot_start.store(first.min(self.pages - 1), Relaxed);
        control.hot_pages.store(pages.clamp(1, self.pages), Relaxed);
    }

    /// Has vCPUs read these pages and not write them, as soon as they have heard of it; 0 pages end that.
    pub fn set_looked_at(&self, first: u64, pages: u64) {
        let control = self.control();
        control.looked_at_pages.store(0, Relaxed);
        control.looked_at_start.store(first, Relaxed);
        control.looked_at_pages.store(pages, Relaxed);
    }

    /// `len` bytes of text at guest address `gpa`, where an assertion left a file name; what is not text is replaced.
    #[must_use]
    pub fn text(&self, gpa: u64, len: u64) -> Option<String> {
        let end = gpa.checked_add(len).filter(|&end| len <= 4096 && end <= self.region.size() as u64)?;
        let bytes: Vec<u8> = (gpa..end)
            // SAFETY: inside the region, checked above; the image's text does not change.
            .map(|at| unsafe { self.at::<u8>(at).read_volatile() })
            .collect();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}
