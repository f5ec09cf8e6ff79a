//! Post-copy: pages follow the guest. The source's half, and the destination's.

use super::{
    BATCH, HOME, MigrationError, SILENCE,
    home::contents,
    memory::{Memory, Set},
    precopy::{Giver, through},
    source::running,
    spawn::Destination,
    stream::{Area, Message, Outgoing, Pages, Sent},
};
use crate::{
    machine::Bitmap,
    memory::{
        Arena,
        userfault::{Event, Features, Filled, Modes, Next, Stop, Userfault},
    },
};
use nostale_notifier::{HvaRange, addr::PAGE_SIZE};
use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Pages sent in the background between two looks for requests, which go first.
const BACKGROUND: usize = 32;

/// Arena pages that have stayed behind. Each goes once.
#[derive(Debug)]
pub(super) struct Missing {
    pages: u64,
    left: Bitmap,
    order: VecDeque<u64>,
}

impl Missing {
    fn new(pages: u64, left: Bitmap) -> Self {
        Self { pages, order: left.pages().collect(), left }
    }

    /// As a bitmap.
    pub(super) fn words(&self) -> Vec<u64> {
        let mut words = vec![0; self.pages.div_ceil(64) as usize];
        self.left.pages().for_each(|page| words[(page / 64) as usize] |= 1 << (page % 64));
        words
    }

    /// Takes a page that is asked for, unless it has gone already.
    fn take(&mut self, page: u64) -> bool {
        let there = self.left.contains(page);
        self.left.remove(page);
        there
    }

    /// Takes the next few pages that nobody has asked for.
    fn next(&mut self, most: usize) -> Vec<u64> {
        let mut next = Vec::new();
        while next.len() < most {
            let Some(page) = self.order.pop_front() else { break };
            if self.take(page) {
                next.push(page);
            }
        }
        next
    }

    /// It could not be sent yet.
    fn put_back(&mut self, page: u64) {
        self.left.insert(page);
        self.order.push_back(page);
    }
}

/// Sends all of the system slot that is left to be sent; what is left of the arena stays behind.
pub(super) fn leave_behind(giver: &mut Giver<'_>, everything: bool) -> Result<Missing, MigrationError> {
    giver.round_of_system()?;
    let memory = giver.memory;
    let left = if everything { Set::all(&memory, &[Area::Arena]).arena } else { giver.todo().arena.clone() };
    Ok(Missing::new(memory.pages(Area::Arena), left))
}

/// Sends what has stayed behind: what is asked for first. The TSC of the guest's first visit.
pub(super) fn serve(
    destination: &Destination<'_>,
    memory: Memory<'_>,
    missing: &mut Missing,
    sent: &mut Sent,
    requested: &mut u64,
    forgets: bool,
) -> Result<u64, MigrationError> {
    let (mut first_visit, mut resident, mut last) = (None, false, Instant::now());
    let mut out = through(destination.out());
    let mut forgotten = if forgets { 64 } else { 0 };
    while !resident || first_visit.is_none() {
        let mut wanted = Vec::new();
        let idle = missing.left.count() == 0;
        let mut next = if idle { destination.next(Duration::from_millis(20))? } else { destination.poll()? };
        while let Some(message) = next {
            last = Instant::now();
            match message {
                Message::Request(page) if page < missing.pages => {
                    if missing.take(page) {
                        *requested += 1;
                        wanted.push(page);
                    }
                }
                Message::Resident => resident = true,
                other => {
                    let unexpected = || MigrationError::Unexpected { got: format!("{:?}", other.kind()), wanted: "a request" };
                    first_visit = Some(running(&other).ok_or_else(unexpected)?);
                }
            }
            next = if wanted.len() < BATCH { destination.poll()? } else { None };
        }
        let background = wanted.is_empty();
        if background {
            wanted = missing.next(BACKGROUND);
        }
        if wanted.is_empty() && last.elapsed() > SILENCE {
            return Err(match first_visit {
                None => MigrationError::NoFirstVisit(SILENCE),
                Some(_) => MigrationError::Silent { wanted: "word of the guest's pages", bound: SILENCE },
            });
        }
        let begin = Instant::now();
        let mut batch = Pages { arena: true, ..Pages::default() };
        for page in wanted {
            if forgotten > 0 {
                // The planted fault: zeros in place of the page.
                forgotten -= 1;
                batch.entries.push((page, true));
            } else if !add(&memory, page, &mut batch) {
                missing.put_back(page);
                if last.elapsed() > HOME + SILENCE {
                    return Err(MigrationError::NotHome { pages: 1, first: page, bound: HOME + SILENCE });
                }
            }
        }
        if !batch.entries.is_empty() {
            last = Instant::now();
            sent.pages += batch.entries.len() as u64;
            sent.bytes += out(&Message::Pages(batch))?;
            sent.sending_us += begin.elapsed().as_micros() as u64;
        }
    }
    first_visit.ok_or(MigrationError::NoFirstVisit(SILENCE))
}

/// Adds a page's contents to a batch. `false` while it is not at home.
fn add(memory: &Memory<'_>, page: u64, batch: &mut Pages) -> bool {
    let start = batch.data.len();
    batch.data.resize(start + PAGE_SIZE as usize, 0);
    let there = memory.read(Area::Arena, page, &mut batch.data[start..]);
    if there {
        batch.entries.push((page, false));
    } else {
        batch.data.truncate(start);
    }
    there
}

/// The destination's half: the arena's page faults, and the pages that resolve them.
#[derive(Debug)]
pub(super) struct Resident {
    userfault: Userfault,
    stop: Stop,
    left: Mutex<Bitmap>,
}

impl Resident {
    /// Makes the pages of the bitmap `words` missing: whoever touches one waits until it comes.
    pub(super) fn new(arena: &Arena, words: &[u64]) -> Result<Self, MigrationError> {
        let features = if arena.backing().is_shared() { Features::MISSING_SHMEM } else { Features::NONE };
        let userfault = Userfault::open(features)?;
        let mut left = Bitmap::new(arena.pages());
        for page in
            (0..arena.pages()).filter(|page| words.get((page / 64) as usize).is_some_and(|word| word >> (page % 64) & 1 == 1))
        {
            left.insert(page);
        }
        for range in runs(arena, &left.pages().collect::<Vec<_>>()) {
            let advice = if arena.backing().is_shared() { libc::MADV_REMOVE } else { libc::MADV_DONTNEED };
            // SAFETY: throws contents of our own arena away, which are out of date.
            if unsafe { libc::madvise(range.start().get() as *mut libc::c_void, range.bytes() as usize, advice) } != 0 {
                let source = std::io::Error::last_os_error();
                return Err(MigrationError::Memory { what: "throwing pages away that will come again", source });
            }
        }
        userfault.register(arena.home(), Modes::MISSING)?;
        Ok(Self { userfault, stop: Stop::new()?, left: Mutex::new(left) })
    }

    /// Asks for pages that vCPUs wait for, until it is told to stop.
    pub(super) fn serve(&self, arena: &Arena, out: &Mutex<Outgoing>) -> Result<(), MigrationError> {
        loop {
            match self.userfault.read_fault(&self.stop, SILENCE)? {
                Next::Stop => return Ok(()),
                Next::Event(Event::Fault(fault)) => {
                    let page = fault.page.offset_from(arena.home().start()).map_or(u64::MAX, |offset| offset / PAGE_SIZE);
                    if super::destination::lock(&self.left).contains(page) {
                        through(out)(&Message::Request(page))?;
                    }
                }
                Next::Event(_) | Next::Nothing => {}
            }
        }
    }

    /// Puts pages in their places. Whether all are there now.
    pub(super) fn put(&self, arena: &Arena, pages: &Pages) -> Result<bool, MigrationError> {
        let mut left = super::destination::lock(&self.left);
        let mut run: Option<(u64, Vec<u8>)> = None;
        for (_, page, content) in contents(pages) {
            if page >= arena.pages() {
                return Err(MigrationError::NoSuchPage { page, pages: arena.pages() });
            }
            if !left.contains(page) {
                return Err(MigrationError::Twice(page));
            }
            left.remove(page);
            match &mut run {
                Some((first, data)) if *first + data.len() as u64 / PAGE_SIZE == page => data.extend_from_slice(content),
                _ => {
                    self.fill(arena, run.replace((page, content.to_vec())))?;
                }
            }
        }
        self.fill(arena, run)?;
        Ok(left.count() == 0)
    }

    fn fill(&self, arena: &Arena, run: Option<(u64, Vec<u8>)>) -> Result<(), MigrationError> {
        let Some((first, data)) = run else { return Ok(()) };
        match self.userfault.copy(arena.hva(first), &data, false)? {
            Filled::All => Ok(()),
            Filled::Only { pages, .. } => Err(MigrationError::Twice(first + pages)),
        }
    }

    /// Every page is there: faults are the kernel's own business again.
    pub(super) fn finish(&self, arena: &Arena) -> Result<(), MigrationError> {
        self.stop.tell();
        Ok(self.userfault.unregister(arena.home())?)
    }
}

/// Neighbouring pages as ranges.
fn runs(arena: &Arena, pages: &[u64]) -> Vec<HvaRange> {
    let pieces = pages.chunk_by(|one, next| one + 1 == *next);
    pieces.filter_map(|piece| arena.home().part(*piece.first()?, piece.len() as u64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_goes_once_and_what_is_asked_for_goes_first() {
        let mut left = Bitmap::new(100);
        (10..20).for_each(|page| left.insert(page));
        let mut missing = Missing::new(100, left);
        assert_eq!(missing.words(), [0x3ff << 10, 0]);
        assert!(missing.take(15) && !missing.take(15) && !missing.take(5));
        assert_eq!(missing.next(4), [10, 11, 12, 13]);
        missing.put_back(12);
        assert_eq!(missing.next(100), [14, 16, 17, 18, 19, 12]);
        assert_eq!(missing.left.count(), 0);
    }
}
