//! `protect`: write access is taken away (read-only, or none at all) and given back.

use super::look_twice::LookTwice;
use crate::memory::{Backing, Span};
use crate::ops::{
    Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, huge, own_vma::OwnVma, syscall, wait::until_written,
};
use nostale_notifier::event::Stage;
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "protect",
    summary: "mprotect read-only or none, look twice whether anybody still writes, and give access back",
    usual: &[Backing::ANON, Backing::MEMFD, Backing::MEMFD_THP, Backing::HUGETLB_2M_SHARED],
    more: &[Backing::ANON_MTHP, Backing::HUGETLB_1G_SHARED],
    effect: |_| Effect::Preserves,
    make: |_, _| Ok(Box::new(Protect)),
    not_hugetlb: None,
    ..Operation::USUAL
};

/// How long to wait for a write that must not be. Natively one comes by within microseconds.
const PATIENCE: Duration = Duration::from_millis(5);

struct Protect;

const ALL: i32 = libc::PROT_READ | libc::PROT_WRITE;

impl HostOperation for Protect {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=32).min(bed.arena.pages()) };
        // Where pages are huge, sometimes a part of one that has just been made whole again: only the first cut of it splits anything.
        let whole = if bed.arena.backing().is_thp() && rng.random_range(0..16) == 0 { bed.pick_pmd(rng) } else { None };
        let (claim, part);
        let span: &Span = match &whole {
            Some(whole) => {
                huge::collapse(whole.range())?;
                let first = rng.random_range(0..whole.range().pages() - pages);
                let Some(middle) = whole.part(first, pages) else { return Ok(Done::Busy) };
                part = middle;
                &part
            }
            None => {
                let Some(picked) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
                claim = picked;
                &claim
            }
        };
        let none = rng.random_bool(0.25);
        let _own = if rng.random_bool(0.5) { Some(OwnVma::cut(bed, span)?) } else { None };

        bed.note(Stage::OperationStart, span.range(), 0);
        syscall::protect(span.range(), if none { libc::PROT_NONE } else { libc::PROT_READ })?;
        bed.note(Stage::Returned, span.range(), 0);
        let look = LookTwice::first(bed, span, none);
        if rng.random_range(0..4) == 0 {
            // As long as a slow guest takes to come by: on a right kernel nobody gets through.
            until_written(bed.system, &span.pages().collect::<Vec<_>>(), 1, PATIENCE);
        } else {
            bed.dwell(rng);
        }
        look.second(bed);
        bed.note(Stage::Witnessed, span.range(), 0);
        syscall::protect(span.range(), ALL)?;
        bed.note(Stage::Restored, span.range(), 0);
        Ok(Done::Pages(span.range().pages()))
    }
}
