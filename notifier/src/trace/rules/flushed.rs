//! What was zapped is flushed before the announcement returns.

use super::{About, Broken, Findings, Rule};
use crate::trace::{
    event::{KernelEvent, What},
    head::Mmu,
    kind::Kind,
    world::{Opening, World},
};

static ABOUT: About = About {
    name: "flushed",
    says: "the secondary MMU is flushed between the last zap of an announced range and the return of the announcement",
    because: "a vCPU may use a zapped translation until its TLB is flushed, and the page is replaced or freed next \
              (virt/kvm/kvm_main.c, __kvm_handle_hva_range: kvm_flush_remote_tlbs if anything was zapped)",
    kinds: &[Kind::Flush],
    asks: |sight| match sight.mmu {
        Mmu::Tdp if sight.events.iter().any(|event| event.starts_with("nostale_trace/flush")) => Ok(()),
        Mmu::Tdp => Err("flushes of the secondary MMU are seen by probes only".to_owned()),
        Mmu::Shadow => Err("shadow page tables are zapped without an event".to_owned()),
    },
};

/// Not to be asked before a flush was seen at all: a compiler may have put the function into its callers, where no probe meets it.
#[derive(Debug, Default)]
pub(super) struct Flushed;

impl Rule for Flushed {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        // Asked for the first time where it holds: from then on it is known that flushes can be seen.
        if let What::Flush { .. } = event.what
            && world.opening(event.at.tid).is_some_and(|opening| opening.zapped > 0)
        {
            found.holds();
        }
    }

    fn closes(&mut self, opening: &Opening, event: &KernelEvent, _: &World, found: &mut Findings) {
        if opening.zapped > 0 && !opening.flushed && found.checks > 0 {
            found.breaks(event.at.tsc, || Broken {
                what: format!(
                    "{} entries of {} were zapped, and its thread went on without a flush of the secondary MMU",
                    opening.zapped, opening.range
                ),
                hva: Some(opening.range.start()),
                tid: event.at.tid,
                events: vec![opening.event, *event],
            });
        }
    }
}
