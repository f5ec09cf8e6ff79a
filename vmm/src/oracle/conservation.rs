//! *Conservation*: counters hold exactly what was added to them.
//!
//! Every visit adds one to each of a page's counters and is noted in the visitor's own tally, which no host operation touches.
//! Where every operation preserves contents this is checked page by page and counter by counter; where operations exchange pages
//! of one file, over all pages of the file together.

use nostale_guest::page::LINES;

/// A page whose counters do not hold what was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Line of the counter that is off most.
    pub line: usize,
    /// What was added.
    pub expected: u64,
    /// What it holds.
    pub found: u64,
    /// Increments missing, over all lines.
    pub lost: u64,
    /// Increments too many, over all lines.
    pub extra: u64,
}

/// Judges one page: `added` visits against its counters, both modulo 2^32 (tallies are 32 bits wide).
#[must_use]
pub fn page(added: u32, counters: [u64; LINES]) -> Option<Difference> {
    let mut worst: Option<(usize, i32)> = None;
    let (mut lost, mut extra) = (0u64, 0u64);
    for (line, counter) in counters.into_iter().enumerate() {
        // How far the counter is behind; a wrap-around of either side cancels out.
        let behind = added.wrapping_sub(counter as u32) as i32;
        if behind > 0 {
            lost += u64::from(behind.unsigned_abs());
        } else {
            extra += u64::from(behind.unsigned_abs());
        }
        if behind != 0 && worst.is_none_or(|(_, most)| behind.unsigned_abs() > most.unsigned_abs()) {
            worst = Some((line, behind));
        }
    }
    let (line, _) = worst?;
    Some(Difference { line, expected: u64::from(added), found: counters[line], lost, extra })
}

/// Judges all pages together: `added` visits against the sums of each line's counters.
#[must_use]
pub fn total(added: u64, sums: [u64; LINES]) -> Option<Difference> {
    let lost = sums.iter().map(|&sum| added.saturating_sub(sum)).sum();
    let extra = sums.iter().map(|&sum| sum.saturating_sub(added)).sum();
    let line = (0..LINES).max_by_key(|&line| added.abs_diff(sums[line]))?;
    (sums[line] != added).then(|| Difference { line, expected: added, found: sums[line], lost, extra })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lost_increment_in_one_counter_is_found() {
        let mut counters = [1000; LINES];
        assert_eq!(page(1000, counters), None);
        counters[7] = 999;
        assert_eq!(page(1000, counters), Some(Difference { line: 7, expected: 1000, found: 999, lost: 1, extra: 0 }));
        counters[2] = 1003;
        let difference = page(1000, counters).expect("two are off");
        assert_eq!((difference.line, difference.lost, difference.extra), (2, 1, 3));
    }

    #[test]
    fn a_tally_that_wrapped_is_no_difference() {
        assert_eq!(page(5, [(1 << 32) + 5; LINES]), None);
        assert_eq!(page(0, [(1 << 32) - 1; LINES]).map(|d| d.lost), Some(LINES as u64));
    }

    #[test]
    fn totals_are_exact() {
        let mut sums = [1 << 40; LINES];
        assert_eq!(total(1 << 40, sums), None);
        sums[1] -= 2;
        assert_eq!(total(1 << 40, sums).map(|d| (d.line, d.lost, d.extra)), Some((1, 2, 0)));
    }
}
