//! `uffd-wp`: write access is taken away by userfaultfd (`change_protection`), and a write of the guest waits until it is given back.

use super::{
    served,
    server::{Answer, Job, Server},
};
use crate::memory::{
    Backing, Span,
    userfault::{Features, Modes},
};
use crate::ops::{
    Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, huge, own_vma::OwnVma, protecting::look_twice::LookTwice,
};
use nostale_notifier::event::Stage;
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "uffd-wp",
    summary: "UFFDIO_WRITEPROTECT, look twice whether anybody still writes, and give access back on the guest's fault",
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP, Backing::MEMFD, Backing::MEMFD_THP],
    effect: |backing| served(backing, Effect::Preserves),
    needs: |facts, backing| facts.need_uffd().and_then(|()| facts.need_uffd_feature(wanted(backing))),
    make: |bed, _| Ok(Box::new(WriteProtect { server: Server::start(wanted(bed.arena.backing()))? })),
    ..Operation::USUAL
};

fn wanted(backing: Backing) -> Features {
    if backing.is_shared() { Features::WRITE_PROTECT | Features::WRITE_PROTECT_SHMEM } else { Features::WRITE_PROTECT }
}

struct WriteProtect {
    server: Server,
}

impl HostOperation for WriteProtect {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=32).min(bed.arena.pages()) };
        // Where pages are huge, sometimes a whole one, sometimes a part of one: protecting a part splits it.
        let whole = if bed.arena.backing().is_thp() && rng.random_range(0..8) == 0 { bed.pick_pmd(rng) } else { None };
        if let Some(whole) = &whole {
            huge::collapse(whole.range())?;
            let all = whole.range().pages();
            let part =
                if rng.random_bool(0.5) { whole.part(0, all) } else { whole.part(rng.random_range(0..all - pages), pages) };
            return part.map_or(Ok(Done::Busy), |part| self.serve(bed, &part, rng)).map_err(|error| self.server.cause(error));
        }
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        self.serve(bed, &claim, rng).map_err(|error| self.server.cause(error))
    }
}

impl WriteProtect {
    fn serve(&self, bed: &Bed<'_>, span: &Span, rng: &mut Rng) -> Result<Done, OperationError> {
        // On a place without a page there is nothing to protect, and a write would make one.
        if !bed.stamp_generation(span.range(), bed.arena.next_generation()) {
            return Ok(Done::Busy);
        }
        let _own = if rng.random_bool(0.5) { Some(OwnVma::cut(bed, span)?) } else { None };
        let before = self.server.served();
        self.server.register(span.range(), Modes::WRITE_PROTECT)?;
        let mut desk = self.server.desk();
        bed.note(Stage::OperationStart, span.range(), 0);
        self.server.uffd().write_protect(span.range(), true)?;
        bed.note(Stage::Returned, span.range(), 0);
        let look = LookTwice::first(bed, span, false);
        bed.dwell(rng);
        look.second(bed);
        bed.note(Stage::Witnessed, span.range(), 0);
        *desk = Some(Job { range: span.range(), answer: Answer::Unprotect });
        drop(desk);
        self.server.await_demand(bed, before);
        self.server.resolve_rest(|_| Ok(()))?;
        self.server.finish()?;
        bed.note(Stage::Restored, span.range(), 0);
        Ok(if self.server.served() == before { Done::Busy } else { Done::Pages(span.range().pages()) })
    }
}
