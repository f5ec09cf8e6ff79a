//! When a system call that takes memory away has returned, no translation from before it is left.

use super::{About, Broken, Findings, Rule};
use crate::{
    Hva, HvaRange,
    trace::{
        event::{KernelEvent, What},
        kind::Kind,
        world::{InCall, World, pages_between},
    },
};

static ABOUT: About = About {
    name: "returned",
    says: "when a call that takes memory away has returned, no entry from before it is left in its range",
    because: "its caller may count on it that nobody uses the old pages any more: the announcement, and with it the zapping, comes \
              before the change, and the change before the return (mm/memory.c unmap_vmas and zap_page_range_single, mm/mremap.c \
              move_page_tables, mm/mprotect.c change_protection)",
    kinds: &[Kind::Exit],
    asks: |sight| sight.needs("sys_exit_munmap"),
};

#[derive(Debug)]
pub(super) struct Returned;

/// What a call takes away.
struct Taken {
    range: HvaRange,
    /// Only the right to write.
    writes: bool,
}

/// `MAP_FIXED`, `MAP_FIXED_NOREPLACE` (`include/uapi/asm-generic/mman-common.h`).
const MAP_FIXED: u64 = 0x10;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
/// `PROT_WRITE`, and all that let a page be read.
const PROT_WRITE: u64 = 2;
const PROT_ANY: u64 = 7;
/// `MADV_DONTNEED`, `MADV_REMOVE`, `MADV_DONTNEED_LOCKED`, `MADV_GUARD_INSTALL`.
const TAKES: [u64; 4] = [4, 9, 24, 102];

/// What a call that has succeeded has taken away for certain.
fn taken(call: &InCall, ret: i64) -> Vec<Taken> {
    let [a, b, c, d, ..] = call.args;
    let range = |start: u64, bytes: u64| pages_between(Hva::new(start), Hva::new(start.saturating_add(bytes)));
    let whole = |range: Option<HvaRange>| range.map(|range| Taken { range, writes: false });
    // Addresses are results; errors are the last page of the address space.
    if (-4095..0).contains(&ret) {
        return Vec::new();
    }
    let taken = match call.call.name() {
        "munmap" => [whole(range(a, b)), None],
        "madvise" if TAKES.contains(&c) => [whole(range(a, b)), None],
        "mmap" if d & MAP_FIXED != 0 && d & MAP_FIXED_NOREPLACE == 0 => [whole(range(a, b)), None],
        "remap_file_pages" => [whole(range(a, b)), None],
        // A size of 0 makes a second mapping of shared memory, and leaves the first.
        "mremap" if ret as u64 != a && b > 0 => [whole(range(a, b)), whole(range(ret as u64, c))],
        "mremap" if c < b => [whole(range(a.saturating_add(c), b - c)), None],
        "mprotect" | "pkey_mprotect" if c & PROT_WRITE == 0 => {
            [range(a, b).map(|range| Taken { range, writes: c & PROT_ANY != 0 }), None]
        }
        _ => [None, None],
    };
    taken.into_iter().flatten().collect()
}

impl Rule for Returned {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn event(&mut self, event: &KernelEvent, world: &World, found: &mut Findings) {
        let What::Exit { call, ret } = event.what else { return };
        if !world.family.is_own(event.at.tid) {
            return;
        }
        let Some(entered) = world.thread(event.at.tid).and_then(|thread| thread.call).filter(|entered| entered.call == call)
        else {
            return;
        };
        for Taken { range, writes } in taken(&entered, ret) {
            if !world.slots.all().iter().any(|slot| HvaRange::new(slot.hva, slot.pages).is_some_and(|own| own.overlaps(range))) {
                continue;
            }
            let from_before = world
                .mirror
                .within(range)
                .map(|(_, entry)| entry)
                .find(|entry| entry.event.at.tsc < entered.event.at.tsc && !entry.doubtful && (entry.writable || !writes));
            let Some(entry) = from_before else {
                found.holds();
                continue;
            };
            found.breaks(event.at.tsc, || Broken {
                what: format!(
                    "{} of {range} has returned, and the secondary MMU still maps gfn {} {}frame {}: the entry is older than the call",
                    call.name(),
                    entry.gfn,
                    if writes { "writable to " } else { "to " },
                    entry.pfn,
                ),
                hva: entry.hva,
                tid: event.at.tid,
                events: vec![entry.event, entered.event, *event],
            });
        }
    }
}
