//! The order of Debian's version numbers (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions of a package: `6.12.95-1~bpo12+1` comes before `6.12.95-1`.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, a) = epoch(a);
    let (epoch_b, b) = epoch(b);
    let ((upstream_a, revision_a), (upstream_b, revision_b)) = (split(a), split(b));
    epoch_a.cmp(&epoch_b).then_with(|| part(upstream_a, upstream_b)).then_with(|| part(revision_a, revision_b))
}

/// The version of the source without what Debian adds: `6.1.176` of `6.1.176-1`.
pub(super) fn upstream(version: &str) -> &str {
    split(epoch(version).1).0
}

fn epoch(version: &str) -> (u64, &str) {
    version.split_once(':').and_then(|(epoch, rest)| Some((epoch.parse().ok()?, rest))).unwrap_or((0, version))
}

fn split(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

/// Text and numbers in turn. In text `~` comes before everything, also before the end, and letters before the rest.
fn part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = a.split_at(a.find(|c: char| c.is_ascii_digit()).unwrap_or(a.len()));
        let (text_b, rest_b) = b.split_at(b.find(|c: char| c.is_ascii_digit()).unwrap_or(b.len()));
        let weights = |text: &str| text.bytes().map(weight).chain([0]).collect::<Vec<_>>();
        let (number_a, next_a) = rest_a.split_at(rest_a.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest_a.len()));
        let (number_b, next_b) = rest_b.split_at(rest_b.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest_b.len()));
        // Without their zeros the longer number is the larger one, however long both are.
        let (short_a, short_b) = (number_a.trim_start_matches('0'), number_b.trim_start_matches('0'));
        let order =
            weights(text_a).cmp(&weights(text_b)).then(short_a.len().cmp(&short_b.len())).then_with(|| short_a.cmp(short_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (next_a, next_b);
    }
    Ordering::Equal
}

fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        letter if letter.is_ascii_alphabetic() => i32::from(letter),
        other => i32::from(other) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_debians_order() {
        let ascending = [
            "5.10.9-1",
            "5.10.70-1",
            "6.1~rc3-1~exp1",
            "6.1-1",
            "6.1.99-1",
            "6.1.176-1",
            "6.12.95-1~bpo12+1",
            "6.12.95-1~deb13u1",
            "6.12.95-1",
            "6.12.95-1+b1",
            "6.12.95-1.1",
            "6.12.107-1",
            "7.2.13-1",
            "1:0.1-1",
        ];
        for (at, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&other), "{a} against {b}");
            }
        }
        assert_eq!(compare("6.01-1", "6.1-1"), Ordering::Equal);
        assert_eq!((upstream("6.12.95-1~bpo12+1"), upstream("1:2.3-4-5"), upstream("7")), ("6.12.95", "2.3-4", "7"));
    }
}
