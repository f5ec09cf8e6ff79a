//! A piece cut out of memslots: before it, behind it, and in its place something else for a while.

use crate::{
    machine::{Registered, Slot, SlotError, SlotFlags, SlotId, Vm},
    memory::Span,
};
use nostale_notifier::addr::PAGE_SIZE;

/// Memslots that are in pieces; they are whole again when this is dropped.
pub(super) struct Cut<'a> {
    vm: &'a Vm,
    whole: Vec<(Registered, Vec<SlotId>)>,
}

impl<'a> Cut<'a> {
    /// Cuts every memslot that shows any of the claimed pages, and puts `instead(part)` in the place of those.
    pub(super) fn out(vm: &'a Vm, claim: &Span, instead: impl Fn(Slot) -> Option<(Slot, SlotFlags)>) -> Result<Self, SlotError> {
        let over = vm.memslots().over(claim.range());
        let mut cut = Self { vm, whole: Vec::new() };
        let mut change = vm.memslots().change();
        for known in over {
            let Some(middle) = known.slot.showing(claim.range()) else { continue };
            let first = (middle.gpa().get() - known.slot.gpa().get()) / PAGE_SIZE;
            let behind = first + middle.pages();
            let outer = [known.slot.part(0, first), known.slot.part(behind, known.slot.pages() - behind)];
            let outer = outer.into_iter().flatten().filter(|part| part.pages() > 0).map(|part| (part, known.flags));
            change.remove(known.id)?;
            cut.whole.push((known, Vec::new()));
            for (part, flags) in outer.chain(instead(middle)) {
                let id = change.insert(part, flags)?;
                cut.whole.last_mut().map(|(_, pieces)| pieces.push(id)).unwrap_or_default();
            }
        }
        drop(change);
        Ok(cut)
    }

    /// Makes them whole again.
    pub(super) fn mend(mut self) -> Result<(), SlotError> {
        self.put_back()
    }

    fn put_back(&mut self) -> Result<(), SlotError> {
        let mut change = self.vm.memslots().change();
        let mut first = Ok(());
        // Whatever becomes of one, the others are put back.
        for (known, pieces) in self.whole.drain(..) {
            for piece in pieces {
                first = first.and(change.remove(piece).map(drop));
            }
            first = first.and(change.insert(known.slot, known.flags).map(drop));
        }
        first
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        // After `mend` nothing is left to do; on the way out of an error this is the best that can be done.
        let _ = self.put_back();
    }
}
