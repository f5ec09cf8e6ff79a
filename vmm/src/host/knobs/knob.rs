//! One system-wide setting: a file of sysfs or procfs that holds one value, or what can be on or off like one.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{disk, group, swap_area};

/// How the file of a knob is read, and what "the value was accepted" means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One word out of several, shown as `always [madvise] never`, or a file that holds just one word.
    Choice,
    /// A number that the kernel takes as it is, or refuses.
    Number,
    /// A number the kernel fulfils as far as it can and may move later, such as `nr_hugepages`.
    Counter,
    /// A swap area, `on` or `off`: a zram device that nobody uses, or a file that does not exist yet.
    SwapArea,
    /// A disk in memory, by its bytes: a zram device that nobody uses. It has one holder, whose files are on it.
    Disk,
    /// A control group, `made` or `gone`.
    Group,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Choice | Self::Number | Self::Counter => "a setting",
            Self::SwapArea => "a swap area",
            Self::Disk => "a disk",
            Self::Group => "a control group",
        })
    }
}

/// A setting by its file. The file must exist: a knob this kernel lacks is an error when it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knob {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// Why a knob could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KnobError {
    /// The file could not be read.
    #[error("cannot read {path}: {source} (does this kernel have that setting?)")]
    Read {
        /// The file of the knob.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {value:?} to {path}: {source} (most host settings need root)")]
    Write {
        /// The file of the knob.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The write succeeded and the kernel shows something else.
    #[error("{path} shows {got:?} after {wanted:?} was written; set it by hand to see why")]
    NotTaken {
        /// The file of the knob.
        path: PathBuf,
        /// What was written.
        wanted: String,
        /// What is there now.
        got: String,
    },
    /// The value cannot be one of this knob's.
    #[error("{value:?} is not a value for {path}: {expected}")]
    BadValue {
        /// The file of the knob.
        path: PathBuf,
        /// What was asked for.
        value: String,
        /// What would have been accepted.
        expected: String,
    },
}

impl KnobError {
    /// Whether nothing was changed, because what was to be made is there already: somebody else's.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
    }

    /// Whether the file of the knob does not exist (any more).
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Read { source, .. } | Self::Write { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What a knob shows: its value and, for a bracketed file, what could be chosen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) value: String,
    pub(super) choices: Vec<String>,
}

impl Knob {
    /// A knob that offers words, such as `/sys/kernel/mm/transparent_hugepage/enabled`.
    pub fn choice(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), kind: Kind::Choice }
    }

    /// A knob that holds an exact number, such as `/sys/kernel/mm/ksm/run`.
    pub fn number(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), kind: Kind::Number }
    }

    /// A knob that holds a number which the kernel may round, such as `/proc/sys/vm/nr_hugepages`.
    pub fn counter(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), kind: Kind::Counter }
    }

    /// The swap area `path`: a zram device, or a file that is made where there is none.
    pub fn swap_area(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), kind: Kind::SwapArea }
    }

    /// The zram device `path`, as a disk of so many bytes.
    pub fn disk(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), kind: Kind::Disk }
    }

    /// The control group `path`.
    pub fn group(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), kind: Kind::Group }
    }

    /// The file of the knob.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the file is read and checked.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The value the knob holds now.
    pub fn read(&self) -> Result<String, KnobError> {
        self.show().map(|shown| shown.value)
    }

    pub(super) fn show(&self) -> Result<Shown, KnobError> {
        let of =
            |value: &str, choices: [&str; 2]| Shown { value: value.to_owned(), choices: choices.map(str::to_owned).to_vec() };
        let shown = match self.kind {
            Kind::SwapArea => swap_area::read(&self.path).map(|value| of(value, [swap_area::OFF, swap_area::ON])),
            Kind::Disk => disk::read(&self.path).map(|value| Shown { value, choices: Vec::new() }),
            Kind::Group => group::read(&self.path).map(|value| of(value, [group::GONE, group::MADE])),
            kind => std::fs::read_to_string(&self.path).map(|text| parse(kind, &text)),
        };
        shown.map_err(|source| KnobError::Read { path: self.path.clone(), source })
    }

    /// The same knob under the one name that every spelling of its path leads to.
    pub(super) fn resolved(&self) -> Result<Self, KnobError> {
        let resolved = match (self.kind, self.path.parent(), self.path.file_name()) {
            // These may not be there yet.
            (Kind::SwapArea | Kind::Group, Some(dir), Some(name)) => dir.canonicalize().map(|dir| dir.join(name)),
            _ => self.path.canonicalize(),
        };
        let path = resolved.map_err(|source| KnobError::Read { path: self.path.clone(), source })?;
        Ok(Self { path, kind: self.kind })
    }

    /// `value` in the spelling in which the kernel will show it.
    pub(super) fn accept(&self, shown: &Shown, value: &str) -> Result<String, KnobError> {
        let bad = |expected: String| KnobError::BadValue { path: self.path.clone(), value: value.to_owned(), expected };
        let value = value.trim();
        match self.kind {
            Kind::Choice if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                Err(bad("it must be one word".to_owned()))
            }
            Kind::Choice | Kind::SwapArea | Kind::Group
                if !shown.choices.is_empty() && !shown.choices.iter().any(|choice| choice == value) =>
            {
                Err(bad(format!("this kernel offers {}", shown.choices.join(", "))))
            }
            Kind::Choice | Kind::SwapArea | Kind::Group => Ok(value.to_owned()),
            Kind::Number | Kind::Counter | Kind::Disk => {
                value.parse::<i128>().map(|n| n.to_string()).map_err(|_| bad("it must be a decimal number".to_owned()))
            }
        }
    }

    /// Writes `value` and returns what the knob holds then, which differs from `value` only for a counter.
    pub(super) fn write(&self, value: &str) -> Result<String, KnobError> {
        // One write(2) with the whole value: a second one would be a second value to sysfs. Not O_TRUNC, so that there is no
        // moment at which a file holds neither the old value nor the new.
        let file = |path| OpenOptions::new().write(true).open(path);
        let written = match self.kind {
            Kind::SwapArea => swap_area::write(&self.path, value),
            Kind::Disk => disk::write(&self.path, value),
            Kind::Group => group::write(&self.path, value),
            // A call that a signal has ended is not begun anew: somebody wanted it to end (taking memory offline can take for ever).
            _ => file(&self.path).and_then(|mut file| file.write(format!("{value}\n").as_bytes()).map(drop)),
        };
        written.map_err(|source| KnobError::Write { path: self.path.clone(), value: value.to_owned(), source })?;
        let got = self.read()?;
        if got != value && self.kind != Kind::Counter {
            return Err(KnobError::NotTaken { path: self.path.clone(), wanted: value.to_owned(), got });
        }
        Ok(got)
    }
}

/// Only the first line is the value: knobs have one line, and [`Knob::write`] does not truncate.
fn parse(kind: Kind, text: &str) -> Shown {
    let line = text.lines().next().unwrap_or_default().trim();
    let plain = |value: String| Shown { value, choices: Vec::new() };
    match kind {
        Kind::Number | Kind::Counter | Kind::Disk => {
            plain(line.parse::<i128>().map_or_else(|_| line.to_owned(), |n| n.to_string()))
        }
        Kind::Choice | Kind::SwapArea | Kind::Group => {
            let unbracket = |word: &'_ str| word.strip_prefix('[').and_then(|w| w.strip_suffix(']')).map(str::to_owned);
            match line.split_whitespace().find_map(unbracket) {
                Some(value) => {
                    let choices = line.split_whitespace().map(|word| unbracket(word).unwrap_or_else(|| word.to_owned()));
                    Shown { value, choices: choices.collect() }
                }
                None => plain(line.to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_the_bracketed_word() {
        let shown = parse(Kind::Choice, "always defer defer+madvise [madvise] never\n");
        assert_eq!(shown.value, "madvise");
        assert_eq!(shown.choices, ["always", "defer", "defer+madvise", "madvise", "never"]);
        assert_eq!(parse(Kind::Choice, "Y\n"), Shown { value: "Y".to_owned(), choices: vec![] });
        assert_eq!(parse(Kind::Choice, "").value, "");
        assert_eq!(parse(Kind::Choice, "a [b c] d\n").value, "a [b c] d");
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert_eq!(parse(Kind::Number, " 0042\n").value, "42");
        assert_eq!(parse(Kind::Number, "18446744073709551615\n").value, "18446744073709551615");
        assert_eq!(parse(Kind::Number, "max\n").value, "max");
    }

    #[test]
    fn a_value_the_kernel_does_not_offer_is_refused_before_anything_is_written() {
        let knob = Knob::choice("/knob");
        let shown = parse(Kind::Choice, "always [madvise] never");
        assert_eq!(knob.accept(&shown, "never\n").ok().as_deref(), Some("never"));
        let error = knob.accept(&shown, "sometimes").expect_err("not offered").to_string();
        assert_eq!(error, r#""sometimes" is not a value for /knob: this kernel offers always, madvise, never"#);
        assert!(knob.accept(&shown, "").is_err());
        assert!(Knob::number("/knob").accept(&parse(Kind::Number, "1"), "one").is_err());
        assert_eq!(Knob::number("/knob").accept(&parse(Kind::Number, "1"), "+07").ok().as_deref(), Some("7"));
    }
}
