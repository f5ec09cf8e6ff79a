//! Quantities as people read them: about three digits and a prefix. Results for machines keep full precision.

/// What stands where a value is not a number that could be shown.
const UNKNOWN: &str = "-";

/// Prefixes of 1000, 1000², and so on.
const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// A count: exact up to 9999, then `12.3 k`, `2.9 G`.
#[must_use]
pub fn count(n: u64) -> String {
    if n < 10_000 { n.to_string() } else { prefixed(n as f64) }
}

/// Something a second, without the unit: `0.4`, `312`, `91.2 M`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if !r.is_finite() || r < 0.0 => UNKNOWN.to_owned(),
        0.0 => "0".to_owned(),
        r if r < 10.0 => format!("{r:.1}"),
        r if r < 9999.5 => format!("{r:.0}"),
        r => prefixed(r),
    }
}

/// A duration in microseconds: `0.4 µs`, `412 µs`, `4.1 ms`, `30.1 s`.
#[must_use]
pub fn microseconds(us: f64) -> String {
    match us {
        us if !us.is_finite() || us < 0.0 => UNKNOWN.to_owned(),
        0.0 => "0".to_owned(),
        us if rounds_below(us, 1e3) => format!("{} µs", digits(us)),
        us if rounds_below(us / 1e3, 1e3) => format!("{} ms", digits(us / 1e3)),
        us => seconds(us / 1e6),
    }
}

/// A duration in nanoseconds: `412 ns`, and from a microsecond on as above.
#[must_use]
pub fn nanoseconds(ns: u64) -> String {
    if ns < 1000 { format!("{ns} ns") } else { microseconds(ns as f64 / 1e3) }
}

/// A duration in seconds, to a tenth; more than ten minutes in minutes.
#[must_use]
pub fn seconds(s: f64) -> String {
    match s {
        s if !s.is_finite() || s < 0.0 => UNKNOWN.to_owned(),
        s if s < 600.0 => format!("{s:.1} s"),
        s => format!("{} min", rate(s / 60.0)),
    }
}

/// Whether the value is still below the limit once it is printed without decimals.
fn rounds_below(value: f64, limit: f64) -> bool {
    value.round() < limit
}

/// Three digits at most: a decimal below 100, none above.
fn digits(value: f64) -> String {
    if rounds_below(value * 10.0, 1e3) { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn prefixed(value: f64) -> String {
    let mut value = value;
    for prefix in PREFIXES {
        if rounds_below(value, 1e3) {
            return format!("{} {prefix}", digits(value)).trim_end().to_owned();
        }
        value /= 1e3;
    }
    format!("{:.1e}", value * 1e21)
}

/// A size, such as `64 MiB`; a number that is no multiple of 1024 is shown as it is.
#[must_use]
pub fn bytes(n: u64) -> String {
    // Whoever wrote an odd number wants to see it again.
    if !n.is_multiple_of(1024) {
        return format!("{n} bytes");
    }
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1024.0 && unit < 4 {
        value /= 1024.0;
        unit += 1;
    }
    let text = if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.1}") };
    format!("{text} {}", ["bytes", "KiB", "MiB", "GiB", "TiB"][unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_while_they_are_short() {
        let cases: [(u64, &str); 9] = [
            (0, "0"),
            (9999, "9999"),
            (10_000, "10.0 k"),
            (99_949, "99.9 k"),
            (99_950, "100 k"),
            (999_499, "999 k"),
            (999_500, "1.0 M"),
            (2_900_000_000, "2.9 G"),
            (u64::MAX, "18.4 E"),
        ];
        for (n, text) in cases {
            assert_eq!(count(n), text);
        }
    }

    #[test]
    fn rates_and_durations_never_show_a_thousand_of_a_unit() {
        let rates =
            [(0.0, "0"), (0.44, "0.4"), (9.96, "10.0"), (312.4, "312"), (9999.4, "9999"), (9999.6, "10.0 k"), (91.2e6, "91.2 M")];
        for (r, text) in rates {
            assert_eq!(rate(r), text);
        }
        let durations = [
            (0.0, "0"),
            (0.4, "0.4 µs"),
            (999.4, "999 µs"),
            (999.6, "1.0 ms"),
            (4100.0, "4.1 ms"),
            (999_600.0, "1.0 s"),
            (30.1e6, "30.1 s"),
            (3600e6, "60 min"),
        ];
        for (us, text) in durations {
            assert_eq!(microseconds(us), text);
        }
        assert_eq!([0, 999, 1000, 4_100_000].map(nanoseconds), ["0 ns", "999 ns", "1.0 µs", "4.1 ms"]);
    }

    #[test]
    fn what_is_no_quantity_is_shown_as_unknown() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            assert_eq!([rate(value), microseconds(value), seconds(value)], ["-", "-", "-"]);
        }
        assert_eq!(rate(1e30), "1.0e30");
        assert_eq!(rate(f64::MAX), "1.8e308");
    }
}
