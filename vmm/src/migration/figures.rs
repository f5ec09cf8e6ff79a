//! What migrations came to, in numbers.

use super::stream::Sent;
use crate::report::units;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One migration there and back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Journey {
    /// The way there.
    pub there: Sent,
    /// Pages that were sent because a vCPU waited for them.
    pub requested: u64,
    /// The way back.
    pub back: Sent,
    /// From the last vCPU's stop here to the first visit there, in microseconds.
    pub downtime_us: f64,
    /// The same on the way back.
    pub back_downtime_us: f64,
    /// Visits made at the destination.
    pub visits: u64,
}

/// All migrations of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Guests that went and came back.
    pub migrations: u64,
    /// Destinations that were killed before the hand-over.
    pub killed: u64,
    /// Guests that went on at the source after that.
    pub survived: u64,
    /// Rounds of pre-copy, the last one with the guest stopped among them.
    pub rounds: u64,
    /// Pages sent there.
    pub pages: u64,
    /// Those of them that were zeros.
    pub zero_pages: u64,
    /// Pages of post-copy that were sent because a vCPU waited for them.
    pub requested_pages: u64,
    /// Bytes sent there, a second of sending.
    pub bytes_per_second: f64,
    /// Migrations whose last round fitted into the downtime that was aimed at.
    pub converged: u64,
    /// Migrations for which vCPUs were held back.
    pub throttled: u64,
    /// Half of the downtimes were shorter.
    pub downtime_median_us: f64,
    /// The longest one.
    pub downtime_longest_us: f64,
    /// The same on the way back.
    pub back_downtime_median_us: f64,
    /// Pages that came back.
    pub pages_back: u64,
    /// Visits that guests made at destinations.
    pub visits_away: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { migrations, killed, survived, converged, throttled, .. } = self;
        write!(
            f,
            "{migrations} there and back, {} pages at {:.0} MiB/s in {:.1} rounds each, {converged} converged, {throttled} with vCPUs held back; \
             down for {} ({} at most), {} on the way back; {} visits away",
            units::count(self.pages),
            self.bytes_per_second / f64::from(1 << 20),
            self.rounds as f64 / (*migrations).max(1) as f64,
            units::microseconds(self.downtime_median_us),
            units::microseconds(self.downtime_longest_us),
            units::microseconds(self.back_downtime_median_us),
            units::count(self.visits_away),
        )?;
        if self.requested_pages > 0 {
            write!(f, "; {} pages on demand", units::count(self.requested_pages))?;
        }
        if *killed > 0 { write!(f, "; {survived} of {killed} killed destinations survived") } else { Ok(()) }
    }
}

/// Adds journeys up.
#[derive(Debug, Default)]
pub struct Log {
    figures: Figures,
    bytes: u64,
    sending_us: u64,
    downtimes: Vec<f64>,
    back: Vec<f64>,
}

impl Log {
    /// A destination was killed, and the guest went on.
    pub fn survived(&mut self) {
        self.figures.killed += 1;
        self.figures.survived += 1;
    }

    /// A guest went and came back.
    pub fn add(&mut self, journey: &Journey) {
        let figures = &mut self.figures;
        figures.migrations += 1;
        figures.rounds += journey.there.rounds;
        figures.pages += journey.there.pages;
        figures.zero_pages += journey.there.zeros;
        figures.requested_pages += journey.requested;
        figures.converged += u64::from(journey.there.converged);
        figures.throttled += u64::from(journey.there.throttled > 0);
        figures.pages_back += journey.back.pages;
        figures.visits_away += journey.visits;
        self.bytes += journey.there.bytes;
        self.sending_us += journey.there.sending_us;
        self.downtimes.push(journey.downtime_us);
        self.back.push(journey.back_downtime_us);
    }

    /// The sums; nothing where no guest went anywhere.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        if self.figures == Figures::default() {
            return None;
        }
        let mut figures = self.figures.clone();
        figures.bytes_per_second = self.bytes as f64 / (self.sending_us.max(1) as f64 / 1e6);
        figures.downtime_median_us = median(&self.downtimes);
        figures.downtime_longest_us = self.downtimes.iter().copied().fold(0.0, f64::max);
        figures.back_downtime_median_us = median(&self.back);
        Some(figures)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journeys_add_up() {
        let mut log = Log::default();
        for downtime_us in [3.0, 1.0, 8.0] {
            let there = Sent { rounds: 2, pages: 10, bytes: 1_000_000, sending_us: 500_000, ..Sent::default() };
            log.add(&Journey { there, downtime_us, visits: 5, ..Journey::default() });
        }
        log.survived();
        let figures = log.figures().expect("there were some");
        assert_eq!((figures.migrations, figures.killed, figures.survived, figures.visits_away), (3, 1, 1, 15));
        assert_eq!((figures.downtime_median_us, figures.downtime_longest_us), (3.0, 8.0));
        assert!((figures.bytes_per_second - 2e6).abs() < 1.0);
        assert_eq!(Log::default().figures(), None);
    }
}
