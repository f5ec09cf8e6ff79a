//! What the kernel counts of its own work (`/proc/vmstat`): the limit of what an operation can claim to have brought about, where
//! others change the same pages at the same time.

use std::{fs, io};

/// The file.
pub(crate) const FILE: &str = "/proc/vmstat";

/// Some kinds of event, by the names of their counters. Those that a kernel does not have count nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Events(&'static [&'static str]);

impl Events {
    /// Pages were migrated.
    pub(crate) const MIGRATED: Self = Self(&["pgmigrate_success"]);
    /// Pages went to swap (to a device, compressed, or as mere zeroes), or were taken by reclaim. Some count twice, as both.
    pub(crate) const RECLAIMED: Self = Self(&["pswpout", "zswpout", "swpout_zero", "pgsteal_anon", "pgsteal_file"]);
    /// Reclaim unmapped dirty pages of a file, and put them back to where pages in use are, to be written first (mm/vmscan.c,
    /// shrink_folio_list).
    pub(crate) const UNMAPPED: Self = Self(&["pgactivate", "pgsteal_file"]);

    /// How many there were since the kernel has started. The kernel sums up what each CPU has counted, so none is missing.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn count(self) -> io::Result<u64> {
        fs::read_to_string(FILE).map(|text| self.sum(&text))
    }

    fn sum(self, text: &str) -> u64 {
        let count = |line: &str| {
            let (name, count) = line.split_once(' ')?;
            self.0.contains(&name).then(|| count.trim().parse().ok())?
        };
        text.lines().filter_map(count).fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_are_summed_up_and_what_is_missing_is_nothing() {
        let text = "pswpout 3\npswpout_more 100\npgsteal_anon 4\npgsteal_file x\npgmigrate_success 18446744073709551615\n";
        assert_eq!(Events::RECLAIMED.sum(text), 7);
        assert_eq!(Events::MIGRATED.sum(text), u64::MAX);
        assert_eq!(Events::UNMAPPED.sum(""), 0);
    }
}
