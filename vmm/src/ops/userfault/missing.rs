//! `uffd-missing`: pages are taken away, and a fault brings each of them (UFFDIO_COPY, UFFDIO_ZEROPAGE), whole and at once: what
//! post-copy migration does to a guest.
//!
//! Private pages are moved away with `MREMAP_DONTUNMAP` and stay visible there. What comes in their place is a copy of them, after
//! which they have served, or a fresh page, whose counts are gathered afterwards. A shared page is exchanged for another one of
//! the file, which is a hole until a fault fills it with what it held before.

use super::{
    served,
    server::{Answer, Job, Server},
};
use crate::live::Plant;
use crate::memory::{
    Backing, Retired,
    userfault::{Features, Modes},
};
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, moving::mremap_dontunmap, syscall};
use nostale_notifier::{Hva, addr::PAGE_SIZE, event::Stage};
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "uffd-missing",
    summary: "take pages away and deliver them on the guest's fault: UFFDIO_COPY and UFFDIO_ZEROPAGE",
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP, Backing::MEMFD],
    effect: |backing| served(backing, if backing.is_shared() { Effect::Exchanges } else { Effect::Gathers }),
    needs: |facts, backing| {
        facts.need_uffd()?;
        if backing.is_shared() { facts.need_uffd_feature(wanted(backing)) } else { facts.need_mremap_dontunmap() }
    },
    rejects: |other, backing| match other.name {
        // A hole in a file is everybody's, and faults come here from our own mapping alone: who reads elsewhere fills it with zeroes.
        "gather" if backing.is_shared() => Some("its children would read the holes that are left for faults to fill"),
        _ => None,
    },
    make: |bed, _| Ok(Box::new(Missing { server: Server::start(wanted(bed.arena.backing()))? })),
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

const fn wanted(backing: Backing) -> Features {
    if backing.is_shared() { Features::MISSING_SHMEM } else { Features::NONE }
}

struct Missing {
    server: Server,
}

/// What comes in the place of private pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// What they held.
    Contents,
    /// A fresh page, with its generation in it.
    Fresh,
    /// The zero page, or a page of zeros.
    Zero,
}

impl HostOperation for Missing {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let done = if bed.arena.backing().is_shared() { self.shared(bed, rng) } else { self.private(bed, rng) };
        done.map_err(|error| self.server.cause(error))
    }
}

impl Missing {
    fn private(&self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let way = [Way::Contents, Way::Contents, Way::Fresh, Way::Zero][rng.random_range(0..4)];
        let whole = bed.arena.backing().is_thp() && way != Way::Contents && rng.random_bool(0.5);
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=16) };
        // One page more than is moved: a VMA that mremap empties loses its anon_vma, gets another with the next fault, and can never be
        // merged with its neighbours again (unlink_anon_vmas in move_vma, mm/mremap.c).
        let picked = if whole { bed.pick_pmd(rng) } else { bed.pick(rng, pages + 1, 1) };
        let Some(picked) = picked else { return Ok(Done::Busy) };
        let claim = if whole { Some(*picked) } else { picked.part(rng.random_range(0..2), pages) };
        let Some(claim) = claim else { return Ok(Done::Busy) };
        let Some(away) = bed.arena.away(claim.first(), claim.range().pages()) else { return Ok(Done::Busy) };
        // The page more, too: if it were missing, nobody here could bring it.
        mremap_dontunmap::date(bed, &picked)?;
        let generation = bed.arena.next_generation();
        let before = self.server.served();

        self.server.register(picked.range(), Modes::MISSING)?;
        let mut desk = self.server.desk();
        if way != Way::Contents {
            bed.announce(&claim, generation);
        }
        bed.note(Stage::OperationStart, claim.range(), generation);
        syscall::move_pages_to(claim.range(), away.start(), libc::MREMAP_DONTUNMAP)?;
        let retired = bed.retire(&claim, away, generation);
        bed.note(Stage::Returned, claim.range(), generation);
        let answer = match way {
            Way::Contents => Answer::Copy(contents(&retired, generation)?),
            Way::Fresh => Answer::Copy(fresh(claim.range().pages(), generation)),
            Way::Zero => Answer::Zero,
        };
        *desk = Some(Job { range: claim.range(), answer });
        if way != Way::Zero {
            // Every page that comes has its generation in it, so it can be promised before any has come.
            bed.publish(&claim, generation);
        }
        bed.dwell(rng);
        drop(desk);
        self.server.await_demand(bed, before);
        // What was not asked for comes all the same. Nothing of private memory that is missing can be in use elsewhere.
        self.server.resolve_rest(|_| Ok(()))?;
        self.server.finish()?;
        match way {
            Way::Contents => {}
            Way::Fresh => bed.end_announcement(&claim),
            Way::Zero => bed.deliver(&claim, generation),
        }
        bed.dwell(rng);
        bed.go_astray(away.start());
        bed.inspect(&retired);
        bed.note(Stage::Witnessed, away, generation);
        if way == Way::Contents {
            bed.note(Stage::Restored, claim.range(), generation);
            syscall::unmap(away)?;
        } else {
            mremap_dontunmap::bring_back(bed, &claim, away, rng)?;
        }
        Ok(if self.server.served() == before { Done::Busy } else { Done::Pages(claim.range().pages()) })
    }

    fn shared(&self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let Some(claim) = bed.pick(rng, 1, 1) else { return Ok(Done::Busy) };
        let page = claim.first();
        let Some(old) = bed.arena.frame_of(page) else { return Ok(Done::Exhausted) };
        let Some((new, parked)) = bed.arena.pool().take() else { return Ok(Done::Busy) };
        // It has lain still for as long as any: was it written? From here on it has no other place than this process's memory.
        if let Some(retired) = parked {
            bed.judge_frame(new, &retired);
        }
        let (fd, offset) = (bed.arena.file_fd(), u64::from(new.0) * PAGE_SIZE);
        let Some(held) = bed.arena.snapshot_frame(new) else {
            bed.arena.pool().park(new, None);
            return Ok(Done::Busy);
        };
        let generation = bed.arena.next_generation();
        let bytes = held.page(generation);
        syscall::punch_hole(claim.range(), fd, offset)?;
        if !syscall::is_hole(claim.range(), fd, offset)? {
            // A part of a large folio that could not be split is zeroed in its place (truncate_inode_partial_folio).
            syscall::write_page(claim.range(), fd, offset, &bytes)?;
            bed.arena.pool().park(new, None);
            return Ok(Done::Busy);
        }
        let before = self.server.served();
        bed.note(Stage::OperationStart, claim.range(), generation);
        // Nobody can fill the hole until its faults come here.
        syscall::map_file(claim.range(), fd, offset, libc::PROT_NONE)?;
        let snapshot = bed.arena.snapshot_frame(old).filter(|_| !bed.is_silent());
        bed.note(Stage::Returned, claim.range(), generation);
        bed.arena.set_frame(page, new);
        *self.server.desk() = Some(Job { range: claim.range(), answer: Answer::Copy(bytes.to_vec()) });
        self.server.register(claim.range(), Modes::MISSING)?;
        // A fault on a neighbour, through the witness, may have brought a huge page that reaches over the hole.
        if !syscall::is_hole(claim.range(), fd, offset)? {
            syscall::write_page(claim.range(), fd, offset, &bytes)?;
        }
        bed.publish(&claim, generation);
        syscall::protect(claim.range(), libc::PROT_READ | libc::PROT_WRITE)?;
        self.server.await_demand(bed, before);
        self.server.resolve_rest(|_| Ok(()))?;
        self.server.finish()?;
        bed.arena.pool().park(old, Some(Retired { page, generation, snapshot }));
        Ok(if self.server.served() == before { Done::Busy } else { Done::Pages(1) })
    }
}

/// What the retired pages hold, as pages of `generation`.
fn contents(retired: &[(Hva, Retired)], generation: u64) -> Result<Vec<u8>, OperationError> {
    let mut bytes = Vec::with_capacity(retired.len() * PAGE_SIZE as usize);
    for (at, retired) in retired {
        let snapshot = retired.snapshot.as_ref().ok_or(OperationError::Lost { what: "uffd-missing", at: *at })?;
        bytes.extend_from_slice(&snapshot.page(generation));
    }
    Ok(bytes)
}

/// Pages that nobody has counted on.
fn fresh(pages: u64, generation: u64) -> Vec<u8> {
    crate::memory::Snapshot::empty().page(generation).repeat(pages as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Snapshot;

    #[test]
    fn contents_come_in_the_order_of_the_pages_and_with_the_new_generation() {
        let page = |number, counter| {
            let mut snapshot = Snapshot::empty();
            snapshot.lines[7][0] = counter;
            (Hva::new(number << 12), Retired { page: number, generation: 1, snapshot: Some(snapshot) })
        };
        let bytes = contents(&[page(3, 70), page(4, 80)], 9).expect("all were seen");
        let read = |page: usize| {
            let word = |at: u64| bytes[page * 4096 + at as usize..][..8].try_into().map(u64::from_ne_bytes);
            Snapshot::read(word).expect("in the page")
        };
        for (number, counter) in [(0, 70), (1, 80)] {
            assert_eq!((read(number).counters()[7], read(number).generation()), (counter, 9));
        }
        let lost = (Hva::new(0), Retired { page: 0, generation: 1, snapshot: None });
        assert!(matches!(contents(&[lost], 9), Err(OperationError::Lost { .. })));
        assert_eq!(fresh(3, 2).len(), 3 * 4096);
    }
}
