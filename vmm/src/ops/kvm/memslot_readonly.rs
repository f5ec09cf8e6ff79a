//! `memslot-readonly`: a part of the memory becomes `KVM_MEM_READONLY`, as firmware's is, and writable again. What the guest writes
//! there meanwhile reaches the VMM as MMIO, waits (`machine::Memslots`), and is carried out when it may be.

use super::{cut::Cut, shut};
use crate::{
    host::facts::{Facts, Need},
    machine::{Demands, SlotFlags},
    memory::Backing,
    ops::{Bed, Done, HostOperation, Operation, OperationError, Rng},
};
use nostale_notifier::event::Stage;
use rand::RngExt;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "memslot-readonly",
    summary: "make a part of guest memory a read-only memslot, see that no write lands, and give access back",
    usual: &[Backing::ANON],
    more: &[Backing::MEMFD],
    needs: |facts: &Facts, _| {
        let readonly = facts.kvm.device.capabilities().is_some_and(|capabilities| capabilities.readonly_memslots);
        if readonly { Ok(()) } else { Err(Need::new("KVM_CAP_READONLY_MEM", "boot Linux 3.7 or later")) }
    },
    machine: Demands { unplugs: true, ..Demands::VM },
    make: |_, _| Ok(Box::new(Readonly)),
    ..Operation::USUAL
};

struct Readonly;

impl HostOperation for Readonly {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let vm = bed.vm()?;
        let Some(_only) = vm.memslots().reserve() else { return Ok(Done::Busy) };
        let pages = rng.random_range(1..=32).min(bed.arena.pages());
        let Some(claim) = bed.pick(rng, pages, 1) else { return Ok(Done::Busy) };
        let generation = bed.arena.next_generation();
        // Readers go on, and shall find what is going to be published.
        if !bed.stamp_generation(claim.range(), generation) {
            return Ok(Done::Busy);
        }
        bed.note(Stage::OperationStart, claim.range(), generation);
        let cut = Cut::out(vm, &claim, |part| Some((part, SlotFlags { readonly: true, ..SlotFlags::default() })))?;
        bed.note(Stage::Returned, claim.range(), generation);
        bed.publish(&claim, generation);
        shut::linger(bed, &claim, rng);
        shut::inspect(bed, &claim, claim.range(), generation, "its memslot had become read-only", |_| true);
        bed.note(Stage::Witnessed, claim.range(), generation);
        cut.mend()?;
        bed.note(Stage::Restored, claim.range(), generation);
        drop(claim);
        shut::settle(bed);
        Ok(Done::Pages(pages))
    }
}
