//! What the run itself takes of the host: after hours of rounds it must be what it was after the first few.

use crate::report::Held;
use std::fs;

/// Rounds before things have settled: caches of the allocator, threads' stacks.
const WARM: usize = 3;
/// Memory that may come and go with the size of rounds and the mood of the allocator.
const SLACK: u64 = 32 << 20;

/// What this process holds now; 0 for what cannot be read.
pub(super) fn held() -> Held {
    let count = |dir: &str| fs::read_dir(dir).map_or(0, |entries| entries.count() as u64);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Held {
        resident_bytes: resident.unwrap_or(0) << 10,
        descriptors: count("/proc/self/fd"),
        threads: count("/proc/self/task"),
        mappings: fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count() as u64),
    }
}

/// What was held after each round.
#[derive(Debug, Default)]
pub(super) struct Flat(Vec<Held>);

impl Flat {
    pub(super) fn push(&mut self, held: Held) {
        self.0.push(held);
    }

    /// After the first rounds, and after the last.
    pub(super) fn ends(&self) -> (Held, Held) {
        let first = self.0.get(WARM).or(self.0.last()).copied().unwrap_or_default();
        (first, self.0.last().copied().unwrap_or_default())
    }

    /// What has grown, in words. A single high value is none: what counts is that even the lowest values of the end are above
    /// the highest of the beginning.
    pub(super) fn growth(&self) -> Option<String> {
        let settled = self.0.get(WARM..)?;
        let third = settled.len() / 3;
        if third < 3 {
            return None;
        }
        let (begin, end) = (&settled[..third], &settled[settled.len() - third..]);
        let grown = |name: &str, of: fn(&Held) -> u64, slack: u64| {
            let most = begin.iter().map(of).max()?;
            let least = end.iter().map(of).min()?;
            (least > most + slack).then(|| format!("{name} grew from {most} to {least}"))
        };
        let all = [
            grown("resident bytes", |held| held.resident_bytes, SLACK),
            grown("open files", |held| held.descriptors, 0),
            grown("threads", |held| held.threads, 0),
            grown("mappings", |held| held.mappings, 64),
        ];
        let all: Vec<_> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(of: impl Fn(u64) -> Held) -> Option<String> {
        let mut flat = Flat::default();
        (0..60).for_each(|round| flat.push(of(round)));
        flat.growth()
    }

    #[test]
    fn what_grows_is_named_and_what_comes_and_goes_is_not() {
        let base = Held { resident_bytes: 100 << 20, descriptors: 20, threads: 9, mappings: 200 };
        assert_eq!(growth(|_| base), None);
        assert_eq!(growth(|round| Held { resident_bytes: base.resident_bytes + ((round % 7) << 26), ..base }), None);
        let leak = growth(|round| Held { descriptors: 20 + round / 10, ..base }).expect("grows");
        assert!(leak.contains("open files"), "{leak}");
        let leak = growth(|round| Held { resident_bytes: base.resident_bytes + (round << 21), ..base }).expect("grows");
        assert!(leak.contains("resident"), "{leak}");
    }

    #[test]
    fn a_file_that_is_opened_is_counted() {
        let before = held();
        let _files: Vec<_> = (0..20).map(|_| fs::File::open("/dev/null").expect("there")).collect();
        assert!(held().descriptors >= before.descriptors + 10 && before.resident_bytes > 0 && before.mappings > 0);
    }
}
