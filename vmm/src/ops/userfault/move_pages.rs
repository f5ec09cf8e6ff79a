//! `uffd-move`: UFFDIO_MOVE takes private pages away from the guest, as they are, and brings them home on its fault or unprompted.

use super::{
    served,
    server::{Answer, Job, Server},
};
use crate::live::Plant;
use crate::memory::{
    Backing, Span,
    userfault::{Features, Filled, Modes},
};
use crate::ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, huge, syscall};
use crate::oracle::{Access, Oracle, PageDump, Violation};
use nostale_notifier::{Hva, HvaRange, event::Stage};
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "uffd-move",
    summary: "UFFDIO_MOVE takes pages away and brings them home on the guest's fault: single pages and whole PMDs",
    usual: &[Backing::ANON, Backing::ANON_THP],
    more: &[Backing::ANON_MTHP],
    effect: |backing| {
        let shared = Effect::Inapplicable("UFFDIO_MOVE is for private anonymous memory");
        served(backing, if backing.is_shared() { shared } else { Effect::Preserves })
    },
    needs: |facts, _| facts.need_uffd().and_then(|()| facts.need_uffd_feature(Features::MOVE)),
    make: |_, _| Ok(Box::new(Move { server: Server::start(Features::MOVE)? })),
    faults: &[Plant::StrayWrite],
    ..Operation::USUAL
};

struct Move {
    server: Server,
}

const MISREPORTED: &str = "UFFDIO_MOVE said EEXIST of pages that it had moved: a bug of this kernel (move_pages in mm/userfaultfd.c forgets, when \
                           it has to try again, that it succeeded), which loses pages of whoever believes it; looked for where they are";

impl HostOperation for Move {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let whole = if bed.arena.backing().is_thp() && rng.random_bool(0.5) { bed.pick_pmd(rng) } else { None };
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=16).min(bed.arena.pages()) };
        let huge = match &whole {
            Some(whole) => huge::collapse(whole.range())?,
            None => false,
        };
        let Some(claim) = whole.or_else(|| bed.pick(rng, pages, 1)) else { return Ok(Done::Busy) };
        let done = self.there_and_back(bed, &claim, huge, rng).map_err(|error| self.server.cause(error));
        if self.server.uffd().misreported() > 0 {
            bed.watch.remark(MISREPORTED);
        }
        done
    }
}

impl Move {
    fn there_and_back(&self, bed: &Bed<'_>, claim: &Span, huge: bool, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = claim.range().pages();
        let Some(away) = bed.arena.away(claim.first(), pages) else { return Ok(Done::Busy) };
        // A place without a page cannot be moved, nor can a page that a forked child shares: a write makes it ours alone.
        if !bed.stamp_generation(claim.range(), bed.arena.next_generation()) {
            return Ok(Done::Busy);
        }
        syscall::map_anonymous(away)?;
        let before = self.server.served();
        self.server.register(claim.range(), Modes::MISSING)?;
        self.server.register(away, Modes::MISSING)?;
        let mut desk = self.server.desk();
        let generation = bed.arena.next_generation();
        bed.note(Stage::OperationStart, claim.range(), generation);
        let moved = match self.server.uffd().move_pages(claim.range(), away.start())? {
            Filled::All => pages,
            // From the first page on that others use at the moment, none has left.
            Filled::Only { pages, .. } => pages,
        };
        let (Some(gone), Some(there)) = (claim.part(0, moved).filter(|_| moved > 0), away.part(0, moved)) else {
            drop(desk);
            self.server.finish()?;
            syscall::unmap(away)?;
            return Ok(Done::Busy);
        };
        let retired = bed.retire(&gone, there, generation);
        bed.note(Stage::Returned, gone.range(), generation);
        bed.publish(&gone, generation);
        bed.dwell(rng);
        bed.go_astray(there.start());
        // Looked at now and judged later: a finding shows the page at home, too, and whoever touches that waits for this desk.
        let found: Vec<_> = retired.iter().map(|(at, _)| bed.arena.snapshot(*at).ok()).collect();
        bed.note(Stage::Witnessed, there, generation);
        // Back home they must be as new as was promised.
        if !bed.stamp_generation(there, generation) {
            bed.take_back(&gone);
        }
        *desk = Some(Job { range: gone.range(), answer: Answer::Move(there) });
        drop(desk);
        // One page that goes alone splits a huge one: half of those come home whole, before anybody has asked for them.
        let prompted = !huge || rng.random_bool(0.5);
        let mut copied = Vec::new();
        if prompted {
            self.server.await_demand(bed, before);
        }
        self.server.resolve_rest(|at| {
            // A forked child has it, say. Moved home by mremap it could never be merged with its neighbours again.
            let from = Hva::new(there.start().get() + (at.get() - gone.range().start().get()));
            let snapshot = bed.arena.snapshot(from).map_err(|_| OperationError::Lost { what: "uffd-move", at: from })?;
            match self.server.uffd().copy(at, &snapshot.page(generation), false)? {
                Filled::All => copied.push(from),
                Filled::Only { .. } => return Err(OperationError::Lost { what: "uffd-move", at }),
            }
            Ok(())
        })?;
        self.server.finish()?;
        bed.note(Stage::Restored, gone.range(), generation);
        for ((at, retired), now) in retired.iter().zip(found) {
            now.into_iter().for_each(|now| bed.judge(retired, now, &format!("the old page, then at {at}")));
        }
        must_be_empty(bed, &gone, there, &copied);
        syscall::unmap(away)?;
        Ok(if prompted && self.server.served() == before { Done::Busy } else { Done::Pages(moved) })
    }
}

/// Nothing may be left where the pages were for a while.
fn must_be_empty(bed: &Bed<'_>, span: &Span, away: HvaRange, copied: &[Hva]) {
    for (page, at) in span.pages().zip(away.iter()).filter(|(_, at)| !copied.contains(at)) {
        let Ok(snapshot) = bed.arena.snapshot(at) else { continue };
        let Some(&found) = snapshot.lines.iter().flatten().find(|word| **word != 0) else { continue };
        bed.watch.report(Violation {
            page: Some(page),
            range: bed.arena.home().part(page, 1),
            access: Some(Access::Write),
            found,
            pages: vec![PageDump { what: format!("the place at {at} that page {page} has left"), snapshot }],
            ..Violation::new(
                Oracle::Finality,
                bed.actor.1,
                format!("page {page} went home by UFFDIO_MOVE, but the place at {at} that it left is not empty"),
            )
        });
    }
}
