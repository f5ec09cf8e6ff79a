//! Putting one knob back, unless somebody else has changed it meanwhile.

use std::fmt;
use std::path::PathBuf;

use super::journal::Entry;
use super::knob::{Kind, KnobError};
use super::swap_area;

/// What became of a knob when a holder let go of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The original value was written back.
    Restored,
    /// The knob had its original value already.
    Unchanged,
    /// Other holders want the same value still; the last of them puts it back.
    StillHeld {
        /// How many are left.
        holders: usize,
    },
    /// The original was written back, and the kernel could not (yet) fulfil it: huge pages in use, for example.
    Rounded {
        /// What the counter shows.
        got: String,
    },
    /// It holds neither the original nor what was set, so somebody else changed it, and it was left as it is.
    LeftAlone {
        /// What it holds.
        found: String,
    },
    /// The file is gone, and the setting with it.
    Gone,
    /// The host was booted since, which has reset the setting. Nothing was written.
    Rebooted,
    /// [`Knobs::release_all`](super::Knobs::release_all) has let go of it before.
    AlreadyReleased,
}

/// A knob that was put back, or not, with the reason.
#[derive(Debug)]
pub struct Restored {
    /// The file of the knob.
    pub path: PathBuf,
    /// Its value before the first holder.
    pub original: String,
    /// What became of it. After an error it stays in the journal and the next recovery tries again.
    pub result: Result<Outcome, KnobError>,
}

impl Restored {
    /// Whether a person should hear about it.
    pub fn is_notable(&self) -> bool {
        matches!(self.result, Err(_) | Ok(Outcome::Rounded { .. } | Outcome::LeftAlone { .. } | Outcome::Gone))
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, original, result } = self;
        let path = path.display();
        match result {
            Ok(Outcome::Restored) => write!(f, "{path}: put back to {original:?}"),
            Ok(Outcome::Unchanged) => write!(f, "{path}: holds its original {original:?}"),
            Ok(Outcome::StillHeld { holders }) => write!(f, "{path}: still held by {holders} other(s), who will put it back"),
            Ok(Outcome::Rounded { got }) => write!(f, "{path}: put back to {original:?}, the kernel shows {got:?} for now"),
            Ok(Outcome::LeftAlone { found }) => {
                write!(f, "{path}: left at {found:?}, which somebody else has set; it was {original:?} before")
            }
            Ok(Outcome::Gone) => write!(f, "{path}: no longer exists; it was {original:?} before"),
            Ok(Outcome::Rebooted) => write!(f, "{path}: the host was booted since, nothing to put back"),
            Ok(Outcome::AlreadyReleased) => write!(f, "{path}: was put back earlier"),
            Err(error) => write!(f, "{path}: not put back to {original:?}: {error}"),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Write,
    Nothing,
    Leave,
}

/// What to do about a knob that shows `found`.
fn decide(entry: &Entry, found: &str) -> Decision {
    if found == entry.original {
        Decision::Nothing
    } else if holds_ours(entry, found) {
        Decision::Write
    } else {
        Decision::Leave
    }
}

/// Whether `found` is what the holders of `entry` made of the knob.
pub(super) fn holds_ours(entry: &Entry, found: &str) -> bool {
    if entry.kind == Kind::SwapArea && found == swap_area::PREPARED {
        // Killed between two steps of setting it up, or of taking it down.
        return true;
    }
    if entry.kind != Kind::Counter {
        return found == entry.wanted;
    }
    let Some(got) = &entry.got else {
        // Killed between the write and its record: what the kernel made of it is not known.
        return true;
    };
    // The kernel moves a pool by itself (offlining dissolves huge pages): anything on the way back is no foreign hand.
    match (entry.original.parse::<i128>(), got.parse::<i128>(), found.parse::<i128>()) {
        (Ok(original), Ok(got), Ok(found)) => (original.min(got)..=original.max(got)).contains(&found),
        _ => found == got,
    }
}

/// Puts the knob of an entry without holders back. After `Ok` the entry has done its duty.
pub(super) fn restore(entry: &Entry) -> Result<Outcome, KnobError> {
    let knob = entry.knob();
    let result = knob.read().and_then(|found| match decide(entry, &found) {
        Decision::Nothing => Ok(Outcome::Unchanged),
        Decision::Leave => Ok(Outcome::LeftAlone { found }),
        Decision::Write => knob.write(&entry.original).map(|got| match got == entry.original {
            true => Outcome::Restored,
            false => Outcome::Rounded { got },
        }),
    });
    match result {
        Err(error) if error.is_gone() => Ok(Outcome::Gone),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, original: &str, wanted: &str, got: Option<&str>) -> Entry {
        let text = |s: &str| s.to_owned();
        Entry { path: "/knob".into(), kind, original: text(original), wanted: text(wanted), got: got.map(text), holders: vec![] }
    }

    #[test]
    fn only_our_own_value_is_overwritten() {
        let entry = entry(Kind::Choice, "never", "always", None);
        assert_eq!(decide(&entry, "always"), Decision::Write);
        assert_eq!(decide(&entry, "never"), Decision::Nothing);
        assert_eq!(decide(&entry, "madvise"), Decision::Leave);
        assert_eq!(decide(&entry, ""), Decision::Leave);
    }

    #[test]
    fn a_counter_may_drift_back_but_not_beyond() {
        let settled = entry(Kind::Counter, "10", "512", Some("300"));
        assert_eq!(decide(&settled, "300"), Decision::Write);
        assert_eq!(decide(&settled, "299"), Decision::Write);
        assert_eq!(decide(&settled, "10"), Decision::Nothing);
        assert_eq!(decide(&settled, "512"), Decision::Leave);
        assert_eq!(decide(&settled, "0"), Decision::Leave);
        assert_eq!(decide(&settled, "max"), Decision::Leave);
        let interrupted = entry(Kind::Counter, "10", "512", None);
        assert_eq!(decide(&interrupted, "77"), Decision::Write);
        assert_eq!(decide(&interrupted, "10"), Decision::Nothing);
    }
}
