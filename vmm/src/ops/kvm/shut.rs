//! The judgement on memory to which the guest has no way, or no way to write: its memslot is gone, elsewhere, or read-only.
//!
//! Once that is so, the pages get a generation and its publication. A vCPU that still comes by with what it translated before
//! stamps them with that generation, which none could know before the way was shut; one that only reads finds a page that is
//! older than what was published wherever the page was exchanged. Host writers go on meanwhile, and stamp nothing.

use crate::{
    memory::{Snapshot, Span},
    ops::{
        Bed, Rng,
        wait::{until_all_visited, until_written},
    },
    oracle::{Access, Oracle, PageDump, Violation},
};
use nostale_guest::page::stamp_place;
use nostale_notifier::HvaRange;
use rand::RngExt;
use std::time::Duration;

/// How long to wait for somebody to come by.
const PATIENCE: Duration = Duration::from_millis(5);
/// How long vCPUs that had to wait may take for a visit or two.
const SETTLE: Duration = Duration::from_millis(20);

/// Waits for somebody to come by whose way is shut, or does not.
pub(super) fn linger(bed: &Bed<'_>, claim: &Span, rng: &mut Rng) {
    if rng.random_range(0..4) > 0 {
        let pages: Vec<u64> = claim.pages().collect();
        until_written(bed.system, &pages, 4 * bed.system.vcpus() as u32, PATIENCE);
    }
}

/// Lets every vCPU get on once. Were the way shut again at once, one that is slow to wake up might wait for ever.
pub(super) fn settle(bed: &Bed<'_>) {
    until_all_visited(bed.system, SETTLE);
}

/// Reports each page at `range` that a vCPU has stamped with `generation` or later, of those that `shut_out` names.
pub(super) fn inspect(
    bed: &Bed<'_>,
    claim: &Span,
    range: HvaRange,
    generation: u64,
    what: &str,
    shut_out: impl Fn(usize) -> bool,
) {
    for (page, at) in claim.pages().zip(range.iter()) {
        let Ok(now) = bed.arena.snapshot(at) else { continue };
        bed.watch.witnessed();
        let breach = (0..bed.system.vcpus() as usize).filter(|&vcpu| shut_out(vcpu)).find_map(|vcpu| {
            let stamp = stamp(&now, vcpu);
            (stamp >= generation).then_some((vcpu, stamp))
        });
        if let Some((vcpu, stamp)) = breach {
            let detail = format!(
                "vcpu {vcpu} wrote page {page} ({at}) after it had read of generation {generation}, which was published when {what}"
            );
            bed.watch.report(Violation {
                page: Some(page),
                range: bed.arena.home().part(page, 1),
                writer: Some(format!("vcpu {vcpu}")),
                access: Some(Access::Write),
                expected: generation,
                found: stamp,
                pages: vec![PageDump { what: format!("page {page} at {at}, when it was found"), snapshot: now }],
                ..Violation::new(Oracle::Permission, bed.actor.1, detail)
            });
        }
    }
}

/// The promise with which `vcpu` wrote this page last.
fn stamp(page: &Snapshot, vcpu: usize) -> u64 {
    let (line, slot) = stamp_place(vcpu);
    page.lines[line][2 + 2 * slot]
}

#[cfg(test)]
mod tests {
    use super::*;
    use nostale_guest::{abi::MAX_VCPUS, page::LINES};

    #[test]
    fn each_vcpu_has_a_stamp_of_its_own() {
        let mut page = Snapshot { lines: [[0; 8]; LINES] };
        for vcpu in 0..MAX_VCPUS {
            let (line, slot) = stamp_place(vcpu);
            page.lines[line][2 + 2 * slot] = 100 + vcpu as u64;
        }
        assert!((0..MAX_VCPUS).all(|vcpu| stamp(&page, vcpu) == 100 + vcpu as u64));
    }
}
