//! The arena: the pages under test. A range of host virtual addresses, *home*, that a memslot maps; behind it a VMA of some
//! backing; and, where the backing allows it, a witness, a second mapping through which the same physical pages are seen.

use super::{
    Backing, BackingKind, Fault, Frame, FramePool, Pages, Primary, Zone,
    claim::{Claim, Claims, Span},
    devices::Devices,
    forced::Forced,
    mapping,
    snapshot::Snapshot,
};
use nix::{
    errno::Errno,
    sys::memfd::{MFdFlags, memfd_create},
};
use nostale_guest::page::{Line, word_offset};
use nostale_notifier::{
    Hva, HvaRange,
    addr::{PAGE_SIZE, PMD_SIZE},
};
use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};
use thiserror::Error;
use vm_memory::{FileOffset, MmapRegion};

/// Why there is no arena.
#[derive(Debug, Error)]
pub enum ArenaError {
    /// All zones of the address space are in use.
    #[error("this process has too many arenas at once")]
    NoZone,
    /// The file could not be made.
    #[error("cannot make a backing file of {bytes} bytes in {}: {source}", dir.display())]
    File {
        /// Where.
        dir: PathBuf,
        /// How large.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// The VMA could not be made.
    #[error("cannot map {bytes} bytes of {backing} memory at {at}: {source}")]
    Map {
        /// Of what.
        backing: Backing,
        /// Where.
        at: Hva,
        /// How much.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
}

/// The pages under test.
#[derive(Debug)]
pub struct Arena {
    home: HvaRange,
    backing: Backing,
    file: Option<File>,
    witness: Option<MmapRegion>,
    frames: Vec<AtomicU32>,
    pool: Mutex<FramePool>,
    claims: Claims,
    generation: AtomicU64,
    primary: Primary,
    forced: Forced,
    devices: OnceLock<Devices>,
    // Dropped last: it unmaps home.
    zone: Zone,
}

impl Arena {
    /// `pages` pages of `backing`, or as many more as fill its last huge page. A backing file, where one is wanted, is made in `dir`
    /// and has no name; a `dir` that is a block device is the file itself.
    ///
    /// # Errors
    /// When the host refuses the memory or the file.
    pub fn new(backing: Backing, pages: u64, dir: &Path) -> Result<Self, ArenaError> {
        let zone = Zone::take().ok_or(ArenaError::NoZone)?;
        let (pages, spare) = (pages.next_multiple_of(backing.unit()), spare(backing, pages));
        let file = backing_file(backing, dir, Self::file_bytes(backing, pages))?;
        let at = zone.home();
        let map_error = |source| ArenaError::Map { backing, at, bytes: pages * PAGE_SIZE, source };
        let home = HvaRange::new(at, pages)
            .filter(|_| zone.away(pages).is_some())
            .ok_or_else(|| map_error(io::Error::from(Errno::ENOMEM)))?;
        let witness = match &file {
            Some(file) if backing.is_shared() => {
                let file = file.try_clone().map_err(map_error)?;
                let size = (pages + spare) * PAGE_SIZE;
                let region = MmapRegion::from_file(FileOffset::new(file, 0), size as usize);
                Some(region.map_err(|e| map_error(io::Error::other(e)))?)
            }
            _ => None,
        };
        let arena = Self {
            home,
            backing,
            file,
            witness,
            frames: (0..if backing.is_shared() { pages as u32 } else { 0 }).map(AtomicU32::new).collect(),
            pool: Mutex::new(FramePool::new(
                (pages..pages + spare).step_by(backing.unit() as usize).map(|frame| Frame(frame as u32)),
            )),
            claims: Claims::default(),
            generation: AtomicU64::new(1),
            primary: Primary::new(),
            forced: Forced::open(),
            devices: OnceLock::new(),
            zone,
        };
        arena.map_home().map_err(map_error)?;
        Ok(arena)
    }

    /// The most huge pages of its hugetlb pool that an arena of `pages` pages of `backing` comes to need.
    #[must_use]
    pub fn units_at_most(backing: Backing, pages: u64) -> u64 {
        let units = pages.div_ceil(backing.unit());
        // Of private pages a forked child keeps the old ones, while the guest writes to copies; and one is on its way.
        if backing.is_shared() { units + spare(backing, pages) / backing.unit() + 1 } else { 2 * units + 1 }
    }

    /// Bytes of the file behind an arena of `pages` pages of `backing`, if it has one.
    #[must_use]
    pub fn file_bytes(backing: Backing, pages: u64) -> u64 {
        let pages = pages.next_multiple_of(backing.unit());
        (pages + spare(backing, pages)) * PAGE_SIZE
    }

    fn map_home(&self) -> io::Result<()> {
        mapping::map(self.home, self.backing, self.file_fd(), 0, libc::MAP_FIXED_NOREPLACE)?;
        // Pages of a hugetlb pool are taken now: an empty pool is an error here and not a SIGBUS in a guest. Not by reserving
        // them: Linux 6.18 loses reservations when private mappings are moved in parts, and the pool never gets small again.
        if self.backing.is_hugetlb() {
            mapping::populate(self.home)?;
        }
        if self.backing.is_thp() && !self.backing.is_anonymous() {
            self.collapse_all();
        }
        Ok(())
    }

    /// Maps claimed pages as they were at first, in place of what is there, if anything: private memory begins anew, pages of a
    /// shared file come back.
    ///
    /// # Errors
    /// When the host refuses it.
    pub fn map_again(&self, claim: &Span) -> io::Result<()> {
        let offset = |page| self.frame_of(page).map_or(page, |frame| u64::from(frame.0)) * PAGE_SIZE;
        let (pages, first) = (claim.range().pages(), claim.first());
        // As many pages in one go as are neighbours in the file.
        let mut from = 0;
        while from < pages {
            let joined = |n: &u64| offset(first + from + n) == offset(first + from) + n * PAGE_SIZE;
            let count = (1..pages - from).take_while(joined).count() as u64 + 1;
            if let Some(part) = claim.range().part(from, count) {
                mapping::map(part, self.backing, self.file_fd(), offset(first + from), libc::MAP_FIXED)?;
            }
            from += count;
        }
        Ok(())
    }

    /// Huge pages at once for file-like memory, where the advice alone only lets khugepaged come by some day.
    fn collapse_all(&self) {
        const MADV_COLLAPSE: i32 = 25;
        for first in (0..self.pages()).step_by((PMD_SIZE / PAGE_SIZE) as usize) {
            let Some(part) = self.home.part(first, PMD_SIZE / PAGE_SIZE) else { break };
            // SAFETY: changes no contents. Where it is refused the pages stay small, which is measured later.
            if unsafe { libc::madvise(part.start().get() as *mut libc::c_void, part.bytes() as usize, MADV_COLLAPSE) } != 0 {
                break;
            }
        }
    }

    /// What it is made of.
    #[must_use]
    pub const fn backing(&self) -> Backing {
        self.backing
    }

    /// Where the guest's memslot maps it.
    #[must_use]
    pub const fn home(&self) -> HvaRange {
        self.home
    }

    /// Pages.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.home.pages()
    }

    /// The least number of pages that the host can map, move or protect by themselves.
    #[must_use]
    pub const fn unit(&self) -> u64 {
        self.backing.unit()
    }

    /// Address of page `page` at home.
    #[must_use]
    pub fn hva(&self, page: u64) -> Hva {
        debug_assert!(page < self.pages());
        Hva::new(self.home.start().get() + page * PAGE_SIZE)
    }

    /// A place for `pages` pages while they are not at home: as far from the zone's away place as page `first` is from home,
    /// so that every page has a place of its own, aligned like itself.
    #[must_use]
    pub fn away(&self, first: u64, pages: u64) -> Option<HvaRange> {
        self.zone.away(self.pages())?.part(first, pages)
    }

    /// A second such place.
    #[must_use]
    pub fn aside(&self, first: u64, pages: u64) -> Option<HvaRange> {
        self.zone.aside(self.pages())?.part(first, pages)
    }

    /// From now on host threads that write here say what they write, and can be stopped: for a guest that is to be migrated.
    pub fn use_devices(&self) {
        let pages = self.pages();
        let places = (self.away(0, pages), self.aside(0, pages));
        let (away, aside) = (places.0.unwrap_or(self.home), places.1.unwrap_or(self.home));
        let _ = self.devices.set(Devices::new([self.home, away, aside]));
    }

    /// The host threads that write here, if anybody wants to know.
    #[must_use]
    pub fn devices(&self) -> Option<&Devices> {
        self.devices.get()
    }

    /// The primary MMU.
    #[must_use]
    pub const fn primary(&self) -> Primary {
        self.primary
    }

    /// The file's descriptor, -1 for anonymous memory: what `mmap` takes.
    #[must_use]
    pub fn file_fd(&self) -> RawFd {
        self.file.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Pages of the witness: all that the file has, mapped into the arena or not. 0 without a witness.
    #[must_use]
    pub fn witnessed(&self) -> u64 {
        self.witness.as_ref().map_or(0, |region| region.size() as u64 / PAGE_SIZE)
    }

    /// The whole witness, to become a memslot of a guest that is made to use a stale translation.
    #[must_use]
    pub fn witness(&self) -> Option<HvaRange> {
        let region = self.witness.as_ref()?;
        HvaRange::new(Hva::new(region.as_ptr() as u64), region.size() as u64 / PAGE_SIZE)
    }

    /// Where the witness shows a frame.
    fn frame_hva(&self, frame: Frame) -> Option<Hva> {
        Some(self.witness()?.part(u64::from(frame.0), 1)?.start())
    }

    /// The frame that is mapped at arena page `page`; `None` for private memory, which has none.
    #[must_use]
    pub fn frame_of(&self, page: u64) -> Option<Frame> {
        self.frames.get(page as usize).map(|frame| Frame(frame.load(Relaxed)))
    }

    /// Notes that `frame` is now mapped at arena page `page`.
    pub fn set_frame(&self, page: u64, frame: Frame) {
        if let Some(entry) = self.frames.get(page as usize) {
            entry.store(frame.0, Relaxed);
        }
    }

    /// The frames that are not mapped.
    pub fn pool(&self) -> MutexGuard<'_, FramePool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for what an operation is about to install, newer than all before.
    pub fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Relaxed) + 1
    }

    /// Claims `pages` pages from `first`, or `None` while another operation has any of them.
    #[must_use]
    pub fn claim(&self, first: u64, pages: u64) -> Option<Claim<'_>> {
        self.claims.claim(first, self.home.part(first, pages)?)
    }

    /// The page at `at` through the primary MMU, word by word.
    ///
    /// # Errors
    /// The first word that is not mapped for reading.
    pub fn snapshot(&self, at: Hva) -> Result<Snapshot, Fault> {
        Snapshot::read(|offset| self.primary.load(Hva::new(at.get() + offset)))
    }

    /// The page at `at`, whatever its protection.
    ///
    /// # Errors
    /// When nothing is mapped there, or the kernel does not let us.
    pub fn snapshot_protected(&self, at: Hva) -> Result<Snapshot, Fault> {
        self.forced.snapshot(at)
    }

    /// A frame through the witness, word by word.
    #[must_use]
    pub fn snapshot_frame(&self, frame: Frame) -> Option<Snapshot> {
        let base = self.frame_hva(frame)?.get();
        // A file on disk can fail to be read (SIGBUS); through `Primary` that is a value.
        Snapshot::read(|offset| self.primary.load(Hva::new(base + offset))).ok()
    }

    /// Stores the host's word on `line` of the page at `at`, through the primary MMU.
    ///
    /// # Errors
    /// When nothing is mapped there for writing.
    pub fn store_word(&self, at: Hva, line: usize, value: u64) -> Result<(), Fault> {
        self.store(Hva::new(at.get() + word_offset(line)), value)
    }

    /// Stores `returned` to vCPU 0's stamp on the page at `at`, through the primary MMU: what a stale write would leave.
    ///
    /// # Errors
    /// When nothing is mapped there for writing.
    pub fn store_stamp(&self, at: Hva, returned: u64) -> Result<(), Fault> {
        self.store(Hva::new(at.get() + std::mem::offset_of!(Line, stamps) as u64), returned)
    }

    /// Stores the host's word on `line` of a frame, through the witness.
    ///
    /// # Errors
    /// When there is no such frame, or the file behind it has no room.
    pub fn store_frame_word(&self, frame: Frame, line: usize, value: u64) -> Result<(), Fault> {
        let base = self.frame_hva(frame).ok_or(Fault(Hva::new(u64::from(frame.0) * PAGE_SIZE)))?;
        let at = Hva::new(base.get() + word_offset(line));
        // SAFETY: inside the witness, which is mapped as long as `self`.
        unsafe { self.primary.store(at, value) }?;
        // A write like any other to whoever copies the guest's memory, though it comes from beside it.
        if let Some(devices) = self.devices()
            && let Some(page) = self.frames.iter().position(|known| known.load(Relaxed) == frame.0)
        {
            devices.wrote(page as u64);
        }
        Ok(())
    }

    fn store(&self, at: Hva, value: u64) -> Result<(), Fault> {
        if !self.zone.contains(at) {
            return Err(Fault(at));
        }
        // SAFETY: in our own zone there are arena pages, or nothing.
        unsafe { self.primary.store(at, value) }?;
        if let Some(devices) = self.devices() {
            devices.wrote_at(at);
        }
        Ok(())
    }
}

/// Spare pages that take turns with those that are mapped; private memory has none.
fn spare(backing: Backing, pages: u64) -> u64 {
    match (backing.is_shared(), backing.pages) {
        (false, _) => 0,
        (true, Pages::Small | Pages::Transparent | Pages::Folios) => (pages / 8).clamp(64, 4096),
        (true, Pages::Hugetlb2M) => 4 * backing.unit(),
        (true, Pages::Hugetlb1G) => backing.unit(),
    }
}

fn backing_file(backing: Backing, dir: &Path, bytes: u64) -> Result<Option<File>, ArenaError> {
    let made = match backing.kind {
        BackingKind::Anon => return Ok(None),
        BackingKind::Memfd => {
            let pool = match backing.pages {
                Pages::Small | Pages::Transparent | Pages::Folios => MFdFlags::empty(),
                Pages::Hugetlb2M => MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_2MB,
                Pages::Hugetlb1G => MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_1GB,
            };
            memfd_create(c"nostale-arena", MFdFlags::MFD_CLOEXEC | pool).map(File::from).map_err(io::Error::from).and_then(
                |file| {
                    file.set_len(bytes)?;
                    Ok(file)
                },
            )
        }
        BackingKind::FileShared | BackingKind::FilePrivate if is_block_device(dir) => {
            // Exclusively: a device that is mounted, or that somebody swaps to, is no memory of ours.
            let device = File::options().read(true).write(true).custom_flags(libc::O_EXCL).open(dir);
            device.and_then(|mut disk| match disk.seek(SeekFrom::End(0))? {
                size if size < bytes => Err(Errno::ENOSPC.into()),
                _ => Ok(disk),
            })
        }
        BackingKind::FileShared | BackingKind::FilePrivate => tempfile::tempfile_in(dir).and_then(|file| {
            // The blocks are reserved now: a full disk is an error here and not a SIGBUS in a guest.
            nix::fcntl::posix_fallocate(&file, 0, bytes as i64)?;
            Ok(file)
        }),
    };
    made.map(Some).map_err(|source| ArenaError::File { dir: dir.to_owned(), bytes, source })
}

fn is_block_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_witness_sees_what_is_written_at_home() {
        for backing in [Backing::MEMFD, Backing::FILE_SHARED] {
            let arena = Arena::new(backing, 64, &std::env::temp_dir()).expect("memory");
            arena.store_word(arena.hva(5), 0, 77).expect("mapped");
            let frame = arena.frame_of(5).expect("shared memory has frames");
            assert_eq!(arena.snapshot_frame(frame).expect("witness").generation(), 77, "{backing}");
        }
    }

    #[test]
    fn claims_exclude_each_other_until_they_end() {
        let arena = Arena::new(Backing::ANON, 64, Path::new("/")).expect("memory");
        let claim = arena.claim(8, 8).expect("free");
        assert!(arena.claim(15, 1).is_none());
        assert!(arena.claim(16, 1).is_some());
        assert!(arena.claim(60, 8).is_none(), "reaches over the end");
        drop(claim);
        assert!(arena.claim(15, 1).is_some());
    }

    #[test]
    fn a_full_disk_is_an_error_with_the_place() {
        let error = Arena::new(Backing::FILE_SHARED, 1 << 40, &std::env::temp_dir()).expect_err("no disk is that large");
        assert!(error.to_string().contains("cannot make a backing file"), "{error}");
    }

    #[test]
    fn a_word_stored_beside_the_guests_mapping_is_in_the_devices_log() {
        let arena = Arena::new(Backing::MEMFD, 64, Path::new("/")).expect("memory");
        arena.use_devices();
        let devices = arena.devices().expect("just asked for");
        arena.store_frame_word(arena.frame_of(5).expect("shared"), 0, 1).expect("mapped");
        assert_eq!(devices.harvest(), [1 << 5]);
    }
}
