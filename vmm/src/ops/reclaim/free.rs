//! `free`: `MADV_FREE`. The kernel may drop the pages whenever it wants to, until somebody writes them again. A write after the
//! call has returned must stay: the page is dirty from then on, in the primary MMU, whoever wrote it.

use super::pageout::out;
use crate::{
    host::knobs::Setting,
    memory::{Backing, Snapshot, Span},
    ops::{Bed, Done, Effect, HostOperation, Operation, OperationError, Rng, syscall, wait::until_written},
    oracle::{Oracle, PageDump, Violation, dirty::Written},
};
use nostale_guest::page::{GENERATION, LINES, word_offset};
use nostale_notifier::{Hva, event::Stage};
use rand::RngExt;
use std::time::Duration;

/// The operation.
pub(in crate::ops) static OPERATION: Operation = Operation {
    name: "free",
    summary: "MADV_FREE: pages may be dropped until they are written again, and not from then on",
    usual: &[Backing::ANON],
    more: &[Backing::ANON_THP],
    effect: |backing| {
        if backing.has_file() || backing.is_shared() {
            Effect::Inapplicable("MADV_FREE takes private anonymous memory alone")
        } else {
            Effect::Discards
        }
    },
    // A child that was forked in between shares pages that may be dropped. If the guest writes them then, the child is left with those.
    rejects: |other, _| (other.name == "fork").then_some("a forked child may lose the pages, too"),
    // Dirty pages that reclaim meets go there; without it, they stay, and less is tried.
    settings: |facts, _| {
        let helpful =
            |Setting { knob, value, .. }| Setting::helpful(knob, value, "pages that are written again are not swapped out");
        facts.swap.setting().map(helpful).into_iter().collect()
    },
    make: |_, _| Ok(Box::new(Free)),
    ..Operation::USUAL
};

/// Most pages at once.
const MOST: u64 = 32;
/// How long to wait for the guest to write them again.
const PATIENCE: Duration = Duration::from_millis(2);
/// Writes to wait for, for each page: two visits by one vCPU tell that the second was a whole one.
const VISITS: u32 = 8;

struct Free;

impl HostOperation for Free {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let pages = if rng.random_bool(0.5) { 1 } else { rng.random_range(2..=MOST).min(bed.arena.pages()) };
        let huge = bed.arena.backing().is_thp() && rng.random_range(0..8) == 0;
        let claim = if huge { bed.pick_pmd(rng) } else { bed.pick(rng, pages, 1) };
        let Some(claim) = claim else { return Ok(Done::Busy) };
        // A page that was dropped is told from the one before by its generation, 0.
        let before = bed.arena.next_generation();
        if !bed.stamp_generation(claim.range(), before) {
            return Ok(Done::Busy);
        }
        let generation = bed.arena.next_generation();
        bed.announce(&claim, generation);
        bed.note(Stage::OperationStart, claim.range(), generation);
        syscall::advise_gently("madvise(FREE)", claim.range(), libc::MADV_FREE)?;
        let written = Written::since(bed.system, claim.pages());
        bed.note(Stage::Returned, claim.range(), generation);
        if rng.random_bool(0.75) {
            let hot: Vec<u64> = claim.pages().take(MOST as usize).collect();
            until_written(bed.system, &hot, VISITS * hot.len() as u32, PATIENCE);
        }
        let kept = Kept::look(bed, written.must_be_dirty(bed.system));
        // Now is the time to drop what was not written.
        out(claim.range())?;
        kept.judge(bed, &claim);
        let dropped = dropped(bed, &claim);
        bed.note(Stage::Witnessed, claim.range(), generation);
        bed.deliver(&claim, generation);
        Ok(if dropped == 0 { Done::Busy } else { Done::Pages(dropped) })
    }
}

/// Pages that were really dropped: they are blank, without the generation that all of them had.
fn dropped(bed: &Bed<'_>, claim: &Span) -> u64 {
    let blank = |at: Hva| bed.arena.primary().load(Hva::new(at.get() + word_offset(GENERATION))).is_ok_and(|word| word == 0);
    claim.range().iter().filter(|&at| blank(at)).count() as u64
}

/// Pages that were written after the call had returned, as they were then: their counters can only grow.
struct Kept(Vec<(u64, Snapshot)>);

impl Kept {
    fn look(bed: &Bed<'_>, pages: Vec<u64>) -> Self {
        Self(pages.into_iter().filter_map(|page| Some((page, bed.arena.snapshot(bed.arena.hva(page)).ok()?))).collect())
    }

    fn judge(&self, bed: &Bed<'_>, claim: &Span) {
        for (page, then) in &self.0 {
            let Ok(now) = bed.arena.snapshot(bed.arena.hva(*page)) else { continue };
            if let Some((line, expected, found)) = shrunk(then, &now) {
                let what = |when: &str| format!("page {page}, {when}");
                bed.watch.report(Violation {
                    page: Some(*page),
                    range: Some(claim.range()),
                    expected,
                    found,
                    pages: vec![
                        PageDump { what: what("written again after MADV_FREE"), snapshot: then.clone() },
                        PageDump { what: what("after MADV_PAGEOUT"), snapshot: now },
                    ],
                    ..Violation::new(
                        Oracle::Conservation,
                        bed.actor.1,
                        format!(
                            "page {page} was written after MADV_FREE had returned, and lost that: the counter on line {line} went \
                             from {expected} to {found}"
                        ),
                    )
                });
            }
        }
    }
}

/// The counter that shrank most, if any did: its line, before and after.
fn shrunk(then: &Snapshot, now: &Snapshot) -> Option<(usize, u64, u64)> {
    let (then, now) = (then.counters(), now.counters());
    let lost = |line: &usize| then[*line].wrapping_sub(now[*line]) as i64;
    (0..LINES).filter(|line| lost(line) > 0).max_by_key(lost).map(|line| (line, then[line], now[line]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_may_grow_and_not_shrink() {
        let mut then = Snapshot { lines: [[0; 8]; LINES] };
        then.lines[2][0] = 7;
        let mut now = then.clone();
        now.lines[5][0] = 1;
        assert_eq!(shrunk(&then, &now), None);
        now.lines[2][0] = 3;
        assert_eq!(shrunk(&then, &now), Some((2, 7, 3)));
    }
}
