//! *Progress*: every vCPU completes visits. One that spins in retry for ever is stuck, not slow.

use std::time::{Duration, Instant};

/// A vCPU's signs of life, as seen from outside.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    visits: u64,
    since: Instant,
}

/// Watches the visit counters of all vCPUs.
#[derive(Debug)]
pub struct Progress {
    bound: Duration,
    pulses: Vec<Pulse>,
}

impl Progress {
    /// vCPUs that may be without progress for `bound`, from `now`.
    #[must_use]
    pub fn new(vcpus: usize, bound: Duration, now: Instant) -> Self {
        Self { bound, pulses: vec![Pulse { visits: 0, since: now }; vcpus] }
    }

    /// Takes the counters' values at `now`, and whether each vCPU is made to stand still just then, when none is expected of it. The
    /// vCPUs that have made no progress for longer than the bound, and for how long.
    pub fn observe(&mut self, now: Instant, lives: impl IntoIterator<Item = (u64, bool)>) -> Vec<(usize, Duration)> {
        let mut stuck = Vec::new();
        for (vcpu, (pulse, (visits, suspended))) in self.pulses.iter_mut().zip(lives).enumerate() {
            if visits != pulse.visits || suspended {
                *pulse = Pulse { visits, since: now };
            } else if now.duration_since(pulse.since) > self.bound {
                stuck.push((vcpu, now.duration_since(pulse.since)));
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_not_stuck_but_still_is() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut progress = Progress::new(2, Duration::from_millis(100), start);
        assert!(progress.observe(at(90), [(1, false), (0, false)]).is_empty());
        assert_eq!(progress.observe(at(150), [(1, false), (0, false)]), [(1, Duration::from_millis(150))]);
        assert!(progress.observe(at(190), [(2, false), (1, false)]).is_empty(), "it moved again");
    }

    #[test]
    fn who_is_made_to_stand_still_is_not_stuck_and_begins_anew() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut progress = Progress::new(1, Duration::from_millis(100), start);
        assert!(progress.observe(at(300), [(0, true)]).is_empty());
        assert!(progress.observe(at(390), [(0, false)]).is_empty());
        assert_eq!(progress.observe(at(401), [(0, false)]), [(0, Duration::from_millis(101))]);
    }
}
