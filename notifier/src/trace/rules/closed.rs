//! Every announcement is ended, and every end was announced.

use super::{About, Broken, Findings, Rule};
use crate::trace::{
    event::{KernelEvent, What},
    kind::Kind,
    world::{World, pages_between},
};

static ABOUT: About = About {
    name: "closed",
    says: "every announced range is ended by its thread, and only what was announced is ended",
    because: "a range that is never ended lets no fault in for ever, and an end too many lets one in too early \
              (virt/kvm/kvm_main.c, mmu_invalidate_in_progress counts them)",
    kinds: &[Kind::RangeEnd, Kind::Exit],
    asks: |sight| {
        sight
            .needs("range_start")
            .and_then(|()| sight.needs("range_end"))
            .map_err(|_| "the end of an invalidation is seen by probes only".to_owned())
    },
};

#[derive(Debug)]
pub(super) struct Closed;

impl Rule for Closed {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        let thread = world.thread(event.at.tid);
        match event.what {
            What::RangeEnd { start, end, .. } => {
                let Some(range) = pages_between(start, end) else { return };
                if thread.is_some_and(|thread| thread.ranges.iter().any(|(open, _)| *open == range)) {
                    return found.holds();
                }
                // The beginning of a recording may lie between the two; a thread that has done something before is no such case.
                let Some(thread) = thread.filter(|thread| thread.call.is_some()) else { return };
                let entered = thread.call.map(|call| call.event);
                found.breaks(event.at.tsc, || Broken {
                    what: format!("{range} was ended, and nobody had announced it"),
                    hva: Some(range.start()),
                    tid: event.at.tid,
                    events: entered.into_iter().chain([*event]).collect(),
                });
            }
            What::Exit { .. } => {
                let Some((range, announced)) = thread.and_then(|thread| thread.ranges.first()) else { return };
                found.breaks(event.at.tsc, || Broken {
                    what: format!("{range} was announced, and its thread returned from the kernel without ending it"),
                    hva: Some(range.start()),
                    tid: event.at.tid,
                    events: vec![*announced, *event],
                });
            }
            _ => {}
        }
    }
}
