//! Reading `/proc`, `/sys` and `/dev` below a root that a test can put elsewhere.
//!
//! The kernel's own formats for one value a file are parsed here, because every subject needs them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Enough for `/proc/cpuinfo` of a large machine, and a bound for a file that never ends.
const TEXT_LIMIT_BYTES: u64 = 4 << 20;

/// No kernel has more CPUs or nodes than this (`NR_CPUS` is at most 8192); a larger number in a list is garbage, and expanding
/// a garbage range would eat the memory.
const LIST_LIMIT: u32 = 1 << 16;

/// Why a file gave no value.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not there: this kernel or this container does not offer it.
    #[error("{path} does not exist")]
    Missing {
        /// The file, as seen from the root.
        path: String,
    },
    /// It is there and could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file, as seen from the root.
        path: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// It was read and is not what the kernel documents.
    #[error("{path} holds {found:?}, expected {expected}")]
    Malformed {
        /// The file, as seen from the root.
        path: String,
        /// The documented form.
        expected: &'static str,
        /// The beginning of what is there.
        found: String,
    },
}

/// A file tree that looks like a Linux host.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The tree below `root`; `/` is the real one.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where `file`, an absolute path on the host, is in this tree.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.root.join(file.trim_start_matches('/'))
    }

    pub(crate) fn exists(&self, file: &str) -> bool {
        self.path(file).exists()
    }

    /// The first `limit` bytes of a file.
    pub(crate) fn bytes(&self, file: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        File::open(self.path(file))
            .and_then(|opened| opened.take(limit).read_to_end(&mut bytes))
            .map_err(|source| failed(file, source))?;
        Ok(bytes)
    }

    /// A file as text without the newline at its end.
    pub(crate) fn text(&self, file: &str) -> Result<String, ReadError> {
        let bytes = self.bytes(file, TEXT_LIMIT_BYTES)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// A file with one word or line in it: names, releases, identifiers.
    pub(crate) fn line(&self, file: &str) -> Result<String, ReadError> {
        self.parse(file, "one line of text", |text| {
            (!text.is_empty() && !text.contains(|c: char| c.is_control() || c == '\u{fffd}')).then(|| text.to_owned())
        })
    }

    /// A file with one decimal number in it.
    pub(crate) fn number(&self, file: &str) -> Result<u64, ReadError> {
        self.parse(file, "a number", |text| text.parse().ok())
    }

    /// A switch: `Y` or `N` from a `bool` module parameter, `1` or `0` from an `int` one (`kernel/params.c`).
    pub(crate) fn switch(&self, file: &str) -> Result<bool, ReadError> {
        self.parse(file, "Y, N, 1 or 0", |text| match text {
            "Y" | "y" | "1" => Some(true),
            "N" | "n" | "0" => Some(false),
            _ => None,
        })
    }

    /// The choice in brackets of a sysfs menu such as `always [madvise] never`.
    pub(crate) fn choice(&self, file: &str) -> Result<String, ReadError> {
        self.parse(file, "a list with one [choice]", |text| {
            let word = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))?;
            (!word.is_empty()).then(|| word.to_owned())
        })
    }

    /// A set of CPUs or nodes such as `0-1,3` (`%*pbl`, `lib/vsprintf.c`); an empty file is the empty set.
    pub(crate) fn set(&self, file: &str) -> Result<Vec<u32>, ReadError> {
        self.parse(file, "a list such as 0-1,3", parse_set)
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, dir: &str) -> Result<Vec<String>, ReadError> {
        let entries = std::fs::read_dir(self.path(dir)).map_err(|source| failed(dir, source))?;
        let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// What `parse` makes of the trimmed text of a file.
    pub(crate) fn parse<T>(
        &self,
        file: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ReadError> {
        let text = self.text(file)?;
        parse(text.trim()).ok_or_else(|| ReadError::Malformed {
            path: absolute(file),
            expected,
            found: text.trim().chars().take(40).collect(),
        })
    }
}

fn parse_set(text: &str) -> Option<Vec<u32>> {
    let mut members = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first > last || last >= LIST_LIMIT {
            return None;
        }
        members.extend(first..=last);
        if members.len() > LIST_LIMIT as usize {
            return None;
        }
    }
    Some(members)
}

/// How a path is named to people: as on the host, whatever the root of the tree.
fn absolute(file: &str) -> String {
    Path::new("/").join(file.trim_start_matches('/')).display().to_string()
}

fn failed(file: &str, source: io::Error) -> ReadError {
    let path = absolute(file);
    match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing { path },
        _ => ReadError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::parse_set;

    #[test]
    fn sets() {
        assert_eq!(parse_set("0-1,3"), Some(vec![0, 1, 3]));
        assert_eq!(parse_set("0"), Some(vec![0]));
        assert_eq!(parse_set(""), Some(vec![]));
        for garbage in ["-", ",", "1-", "3-1", "0-4294967295", "a", "0 1", "0-1,"] {
            assert_eq!(parse_set(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn an_error_names_the_file_as_on_the_host() {
        let fake = Fake::new().file("proc/sys/vm/max_map_count", "many\n").dir("sys");
        let tree = fake.tree();
        let said = |file: &str| tree.number(file).map_err(|error| error.to_string());
        assert_eq!(said("proc/sys/vm/max_map_count"), Err("/proc/sys/vm/max_map_count holds \"many\", expected a number".into()));
        assert_eq!(said("proc/none"), Err("/proc/none does not exist".into()));
        assert!(said("sys").is_err_and(|said| said.starts_with("/sys: ")));
    }

    #[test]
    fn choices_and_switches() {
        let fake = Fake::new().file("a", "always [madvise] never\n").file("b", "[] x").file("c", "\u{0}\u{1}").file("d", "Y\n");
        let tree = fake.tree();
        assert!(tree.choice("a").is_ok_and(|choice| choice == "madvise"));
        assert!(tree.choice("b").is_err());
        assert!(tree.choice("c").is_err() && tree.switch("c").is_err() && tree.line("c").is_err());
        assert!(tree.switch("d").is_ok_and(|on| on));
    }
}
