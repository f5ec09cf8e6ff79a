//! Waiting for guests to get somewhere, each time for so long and no longer: all of them may be waiting for the very operation that
//! waits.

use crate::{machine::AWAY, memory::System};
use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

/// Visits that make a moment: enough to come by a good part of the hot set.
const MOMENT: u64 = 64;
/// How long such a moment may be.
const MOMENT_AT_MOST: Duration = Duration::from_millis(2);

/// Waits until `done`, for at most `patience`, and looks again after each `pause`. Calls only what a forked child may call, if `done` does.
pub(super) fn until(patience: Duration, pause: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !done() && Instant::now() < deadline {
        std::thread::sleep(pause);
    }
}

/// Visits of all vCPUs together.
pub(super) fn visits(system: &System) -> u64 {
    system.all_vcpus().map(|vcpu| vcpu.counts.visits.load(Relaxed)).fold(0, u64::wrapping_add)
}

/// Waits until vCPUs have got something done, however slow they are here, so that nothing goes unseen for lack of an attempt.
pub(super) fn until_visits(system: &System) {
    let then = visits(system);
    until(MOMENT_AT_MOST, AWAY, || visits(system).wrapping_sub(then) >= MOMENT);
}

/// Waits until vCPUs have written to `pages` so many `times`, for at most `patience`. Calls only what a forked child may call.
pub(super) fn until_written(system: &System, pages: &[u64], times: u32, patience: Duration) {
    let count = |vcpu| pages.iter().map(move |&page| system.tally(vcpu)[page as usize].load(Relaxed)).fold(0, u32::wrapping_add);
    let writes = || (0..system.vcpus() as usize).map(count).fold(0, u32::wrapping_add);
    let then = writes();
    until(patience, AWAY, || writes().wrapping_sub(then) >= times);
}

/// Waits until every vCPU has completed a visit, for at most `patience`.
pub(super) fn until_all_visited(system: &System, patience: Duration) {
    let visits = || system.all_vcpus().map(|vcpu| vcpu.counts.visits.load(Relaxed));
    let then: Vec<u64> = visits().collect();
    until(patience, AWAY, || visits().zip(&then).all(|(now, then)| now != *then));
}

#[cfg(test)]
mod tests {
    use super::until;
    use std::time::{Duration, Instant};

    #[test]
    fn it_ends_when_it_is_done_or_when_patience_is() {
        let mut looks = 0;
        until(Duration::from_secs(60), Duration::ZERO, || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
        let from = Instant::now();
        until(Duration::from_millis(5), Duration::from_millis(1), || false);
        assert!(from.elapsed() >= Duration::from_millis(5));
    }
}
