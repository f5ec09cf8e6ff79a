//! `/proc/PID/stat` (proc_pid_stat(5)).

/// What is asked of it here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: char,
    /// Clock ticks that it has run for (utime and stime).
    pub(crate) ticks: u64,
    pub(crate) threads: u64,
    /// When it began, in clock ticks after boot.
    pub(crate) start: u64,
}

impl Stat {
    /// Reads its text, if it is whole.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Field 2, the command's name, may hold spaces and parentheses, so count from the last parenthesis.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
        let ticks = number(10)?.checked_add(number(0)?)?;
        Some(Self { state, ticks, threads: number(4)?, start: number(1)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "3932 (a) b (c)) R 3920 3920 3261 0 -1 4194304 102 0 0 0 0 0 0 0 20 0 4 0 119912 3133440 416 18446744073709551615";

    #[test]
    fn stat_survives_a_hostile_command_name() {
        assert_eq!(Stat::parse(LINE), Some(Stat { state: 'R', ticks: 0, threads: 4, start: 119912 }));
        let seen = |text| Stat::parse(text).map(|stat| (stat.state, stat.ticks));
        assert_eq!(seen("7 (a) R (b)) S 1 7 7 0 -1 4194560 98 0 0 0 12 30 0 0 20 0 1 0 5 1000 10"), Some(('S', 42)));
        assert_eq!(seen("7 (a) R 1 7 7 0 -1 4194560 98 0 0 0 1 2 0 0 20 0 1 0 5"), Some(('R', 3)));
        for broken in ["", "7 (a", "3932 (cat", "7 (a) R", "3932 (cat) R 1 2", "7 (a) R 1 7 7 0 -1 4194560 98 0 0 0 12"] {
            assert_eq!(Stat::parse(broken), None, "{broken}");
        }
    }
}
