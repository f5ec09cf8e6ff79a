//! *Permission*, where writes are logged instead of refused: a page that was written after a log was read is in the next one.
//!
//! A log (soft-dirty bits, KVM's dirty log and ring, PAGEMAP_SCAN, the dirty pages that write-back takes) begins anew at a time:
//! when the call that cleared it has returned. What a guest wrote before that may be in the old log or in the new one; what it
//! wrote later must be in the new one. Each vCPU's own tally tells them apart: it counts a visit to a page *behind* all of its
//! writes. If it grows by two between a reading after the log began and a reading before the log is read, then the second visit
//! began after the first reading and had ended by the second: all of its writes belong to this log.
//!
//! A guest that was elsewhere brings tallies home that it grew there, on pages of which the logs here know nothing. Readings from
//! before a homecoming and after it say nothing about each other.

use super::{Access, Oracle, PageDump, Violation};
use crate::memory::{Arena, System};
use std::sync::atomic::Ordering::Acquire;

/// What every vCPU had written to some pages when a log of them began.
#[derive(Clone, Debug)]
pub struct Written {
    /// Between which homecomings of the guest.
    epoch: Option<u64>,
    pages: Vec<u64>,
    /// For each page, the tally of each vCPU.
    then: Vec<Vec<u32>>,
}

impl Written {
    /// Takes the tallies of `pages`. To be called when the call has returned with which a new log of them begins.
    #[must_use]
    pub fn since(system: &System, pages: impl IntoIterator<Item = u64>) -> Self {
        let pages: Vec<u64> = pages.into_iter().collect();
        let epoch = system.epoch();
        let then = pages.iter().map(|&page| tallies(system, page).collect()).collect();
        Self { epoch, pages, then }
    }

    /// The pages that were written since, beyond doubt: those that must be in the log, or must not be where nobody may write. To be
    /// called before the log is read. None if the guest came home from elsewhere meanwhile.
    #[must_use]
    pub fn must_be_dirty(&self, system: &System) -> Vec<u64> {
        let written = |(page, then): (&u64, &Vec<u32>)| whole_visit(then, tallies(system, *page)).then_some(*page);
        let pages = self.pages.iter().zip(&self.then).filter_map(written).collect();
        // Last: what was read while a homecoming began is not to be believed either.
        if self.epoch.is_some() && self.epoch == system.epoch() { pages } else { Vec::new() }
    }
}

fn tallies(system: &System, page: u64) -> impl Iterator<Item = u32> {
    (0..system.vcpus() as usize).map(move |vcpu| system.tally(vcpu)[page as usize].load(Acquire))
}

/// Whether any vCPU has made a whole visit between two readings of the tallies, which wrap around.
fn whole_visit(then: &[u32], now: impl Iterator<Item = u32>) -> bool {
    then.iter().zip(now).any(|(then, now)| now.wrapping_sub(*then) >= 2)
}

/// The finding that a page was written and is not in `log`, under the name of an operation.
#[must_use]
pub fn missed(operation: &str, page: u64, log: &str, arena: &Arena) -> Violation {
    let detail = format!("a vCPU wrote page {page} from beginning to end after {log} began anew, but the page is not in it");
    violation(operation, page, detail, (1, 0), arena)
}

/// The finding that a page was written while `closed`, under the name of an operation.
#[must_use]
pub fn trespassed(operation: &str, page: u64, closed: &str, arena: &Arena) -> Violation {
    let detail = format!("a vCPU wrote page {page} from beginning to end while {closed}");
    violation(operation, page, detail, (0, 1), arena)
}

fn violation(operation: &str, page: u64, detail: String, (expected, found): (u64, u64), arena: &Arena) -> Violation {
    let primary = arena.snapshot(arena.hva(page)).ok();
    let seen = primary.or_else(|| arena.snapshot_frame(arena.frame_of(page)?));
    let dump = seen.map(|snapshot| PageDump { what: format!("page {page}, when that was found"), snapshot });
    Violation {
        page: Some(page),
        range: arena.home().part(page, 1),
        access: Some(Access::Write),
        expected,
        found,
        pages: dump.into_iter().collect(),
        ..Violation::new(Oracle::Permission, operation, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Role;
    use nostale_guest::abi::{Program, layout};
    use std::sync::atomic::Ordering::Relaxed;

    fn system() -> System {
        let role = |seed| Role { program: Program::Storm, seed, arena: layout::ARENA };
        System::new(8, &[role(1), role(2)]).expect("memory")
    }

    #[test]
    fn one_visit_may_have_begun_before_the_log_but_the_second_cannot() {
        let system = system();
        let written = Written::since(&system, [3, 5]);
        for (page, vcpu, must) in [(3, 0, &[][..]), (3, 1, &[]), (5, 0, &[]), (3, 1, &[3]), (5, 0, &[3, 5])] {
            system.tally(vcpu)[page].fetch_add(1, Relaxed);
            assert_eq!(written.must_be_dirty(&system), must, "page {page}, vCPU {vcpu}");
        }
        assert_eq!(Written::since(&system, [3, 5]).must_be_dirty(&system), [0u64; 0], "a new log begins with nothing");
    }

    #[test]
    fn what_was_counted_elsewhere_was_not_written_here() {
        let system = system();
        let visit = || system.tally(1)[4].fetch_add(2, Relaxed);
        let before = Written::since(&system, [4]);
        let homecoming = system.come_home();
        visit();
        assert!(before.must_be_dirty(&system).is_empty(), "tallies are coming home");
        let amid = Written::since(&system, [4]);
        visit();
        drop(homecoming);
        let after = Written::since(&system, [4]);
        visit();
        assert!(before.must_be_dirty(&system).is_empty() && amid.must_be_dirty(&system).is_empty());
        assert_eq!(after.must_be_dirty(&system), [4], "it visits pages here again");
    }

    #[test]
    fn a_tally_that_wraps_around_has_grown() {
        let system = system();
        system.tally(0)[1].store(u32::MAX, Relaxed);
        let written = Written::since(&system, [1]);
        system.tally(0)[1].store(0, Relaxed);
        assert!(written.must_be_dirty(&system).is_empty());
        system.tally(0)[1].store(1, Relaxed);
        assert_eq!(written.must_be_dirty(&system), [1]);
    }
}
