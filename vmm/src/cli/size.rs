//! Numbers as people write them.

use crate::report::units;
use std::{fmt, str::FromStr, time::Duration};
use thiserror::Error;

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// Not a number that means anything here.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct BadNumber(String);

impl FromStr for Size {
    type Err = BadNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadNumber("a size is a number, with K, M or G behind it if you like".to_owned());
        let trimmed = text.trim().trim_end_matches("iB").trim_end_matches('B');
        let (digits, shift) = match trimmed.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&trimmed[..at], 10),
            Some((at, 'm' | 'M')) => (&trimmed[..at], 20),
            Some((at, 'g' | 'G')) => (&trimmed[..at], 30),
            Some((at, 't' | 'T')) => (&trimmed[..at], 40),
            _ => (trimmed, 0),
        };
        let number: u64 = digits.trim().parse().map_err(|_| bad())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(|| BadNumber("more bytes than can be counted".to_owned()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::bytes(self.0))
    }
}

/// A positive number of seconds.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, BadNumber> {
    let seconds: f64 = text.parse().map_err(|_| BadNumber("not a number of seconds".to_owned()))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if time >= Duration::from_millis(1) && time <= Duration::from_secs(86_400 * 30) => Ok(time),
        _ => Err(BadNumber("from 0.001 to 2592000 (30 days) seconds are possible".to_owned())),
    }
}

/// A probability that somebody could live with.
pub(super) fn parse_probability(text: &str) -> Result<f64, BadNumber> {
    let probability: Option<f64> = text.parse().ok();
    let sensible = probability.filter(|probability| *probability > 0.0 && *probability <= 0.5);
    sensible.ok_or_else(|| BadNumber("a probability above 0 and up to 0.5 is possible".to_owned()))
}

/// A seed, decimal or hexadecimal.
pub(super) fn parse_seed(text: &str) -> Result<u64, BadNumber> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| BadNumber("a seed is a number below 2^64, or 0x and hexadecimal digits".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, bytes) in [("4096", 4096), ("64M", 64 << 20), ("8G", 8 << 30), ("1k", 1024), ("2MiB", 2 << 20)] {
            assert_eq!(text.parse::<Size>().expect("a size"), Size(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "99999999999T", "64X", "é", "12é"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!(Size(64 << 20).to_string(), "64 MiB");
        assert_eq!(Size(5000).to_string(), "5000 bytes");
        assert_eq!(Size(23 << 29).to_string(), "11.5 GiB");
    }

    #[test]
    fn seconds_and_seeds_have_limits() {
        assert!(["0", "-1", "nan", "inf", "1e99", "x"].into_iter().all(|text| parse_seconds(text).is_err()));
        assert_eq!(parse_seconds("1.5").expect("fine"), Duration::from_millis(1500));
        assert_eq!(parse_seed("0xff").expect("fine"), 255);
        assert!(parse_seed("18446744073709551616").is_err());
    }
}
