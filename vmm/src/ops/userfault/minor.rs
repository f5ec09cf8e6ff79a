//! `uffd-minor`: the page tables of shared pages are emptied and the file keeps the pages (MADV_DONTNEED on a shared mapping); faults come
//! here, and UFFDIO_CONTINUE maps the pages again.
//!
//! Between the two no page may change, for whoever writes must come here first: looking twice through the witness finds a writer
//! with a translation from before. Then the page gets a new generation, again through the witness, and nobody may ever find an
//! older one.

use super::{
    served,
    server::{Answer, Job, Server},
};
use crate::memory::{
    Backing, Span,
    userfault::{Features, Modes},
};
use crate::ops::{
    Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, own_vma::OwnVma, protecting::look_twice::LookTwice, syscall,
};
use nostale_guest::page::GENERATION;
use nostale_notifier::event::Stage;
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "uffd-minor",
    summary: "empty the page tables of shared pages, and map each page again on the guest's fault: UFFDIO_CONTINUE",
    usual: &[Backing::MEMFD],
    more: &[Backing::MEMFD_THP],
    effect: |backing| {
        let private = Effect::Inapplicable("private memory has no page behind its page table, so no minor fault");
        served(backing, if backing.is_shared() { Effect::Preserves } else { private })
    },
    needs: |facts, _| facts.need_uffd().and_then(|()| facts.need_uffd_feature(Features::MINOR_SHMEM)),
    make: |_, _| Ok(Box::new(Minor { server: Server::start(Features::MINOR_SHMEM)? })),
    ..Operation::USUAL
};

struct Minor {
    server: Server,
}

impl HostOperation for Minor {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=16).min(bed.arena.pages()) };
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        self.serve(bed, &claim, rng).map_err(|error| self.server.cause(error))
    }
}

impl Minor {
    fn serve(&self, bed: &Bed<'_>, claim: &Span, rng: &mut Rng) -> Result<Done, OperationError> {
        // A hole in the file is no minor fault: whatever is there gets a page first.
        if !stamp(bed, claim, bed.arena.next_generation()) {
            return Ok(Done::Busy);
        }
        let _own = if rng.random_bool(0.5) { Some(OwnVma::cut(bed, claim)?) } else { None };
        let before = self.server.served();
        self.server.register(claim.range(), Modes::MINOR)?;
        let mut desk = self.server.desk();
        bed.note(Stage::OperationStart, claim.range(), 0);
        syscall::advise("madvise(DONTNEED)", claim.range(), libc::MADV_DONTNEED)?;
        bed.note(Stage::Returned, claim.range(), 0);
        // Through the witness: it is another mapping, and has its own page tables.
        let look = LookTwice::first(bed, claim, true);
        bed.dwell(rng);
        look.second(bed);
        let generation = bed.arena.next_generation();
        if stamp(bed, claim, generation) {
            bed.publish(claim, generation);
        }
        bed.note(Stage::Witnessed, claim.range(), generation);
        *desk = Some(Job { range: claim.range(), answer: Answer::Continue });
        drop(desk);
        self.server.await_demand(bed, before);
        // What nobody has asked for is left to ordinary faults, most of the time.
        if rng.random_range(0..4) == 0 {
            self.server.resolve_rest(|_| Ok(()))?;
        }
        self.server.finish()?;
        bed.note(Stage::Restored, claim.range(), generation);
        Ok(if self.server.served() == before { Done::Busy } else { Done::Pages(claim.range().pages()) })
    }
}

/// Gives the pages a generation without touching the mapping that guests use.
fn stamp(bed: &Bed<'_>, claim: &Span, generation: u64) -> bool {
    let mut frames = claim.pages().map(|page| bed.arena.frame_of(page));
    frames.all(|frame| frame.is_some_and(|frame| bed.arena.store_frame_word(frame, GENERATION, generation).is_ok()))
}
