//! Which kernels the archive has: apt's index, read as kernels.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use nostale_notifier::near;

use super::super::image;
use super::version;

/// What Debian calls the parts of a kernel. `linux-image` was all of it up to 6.18; since then it only depends on the others.
const PARTS: [&str; 4] = ["linux-image-", "linux-binary-", "linux-modules-", "linux-base-"];

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Wish {
    /// `6.1` or `6.12.95`: the newest kernel for ordinary PCs of that series.
    Series(String),
    /// `6.1.0-50-amd64`: this one.
    Release(String),
}

impl Wish {
    /// What begins with a number, a dot and a number is a version.
    pub(in super::super) fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix('v').unwrap_or(name);
        let numbers: Vec<&str> = name.split('.').collect();
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if numbers.len() > 1 && numbers.iter().all(|text| is_number(text)) {
            return Some(Self::Series(name.to_owned()));
        }
        let second = numbers.get(1)?;
        let minor = &second[..second.find(|c: char| !c.is_ascii_digit()).unwrap_or(second.len())];
        if !is_number(numbers[0]) || minor.is_empty() || !image::is_release(name) || name.ends_with(".deb") {
            return None;
        }
        let flavour = if name.ends_with("amd64") { "" } else { "-amd64" };
        Some(Self::Release(format!("{name}{flavour}")))
    }

    /// As the user wrote it, nearly.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Series(text) | Self::Release(text) => text,
        }
    }

    /// Whether kernel `release`, whose package has version `version`, is one of those that were asked for.
    pub(super) fn fits(&self, release: &str, version: &str) -> bool {
        match self {
            Self::Release(wanted) => release == wanted,
            Self::Series(series) => {
                // The package linux-image-6.1.0-50-amd64 has version 6.1.176-1.
                let begins = |with: &str| {
                    with.strip_prefix(series.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
                };
                is_plain(release) && (begins(version::upstream(version)) || begins(release))
            }
        }
    }
}

/// For ordinary PCs: neither `cloud` nor `rt`.
fn is_plain(release: &str) -> bool {
    let mut parts = release.rsplit('-');
    parts.next() == Some("amd64") && !parts.next().is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// One package to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// A kernel that the archive has completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Available {
    pub(super) release: String,
    pub(super) version: String,
    pub(super) packages: Vec<Package>,
}

/// The names in the output of `apt-cache pkgnames` that may be parts of a kernel.
pub(super) fn names(pkgnames: &str) -> Vec<&str> {
    pkgnames.lines().map(str::trim).filter(|name| parse_name(name).is_some()).collect()
}

/// The part and the release in the name of a package.
fn parse_name(name: &str) -> Option<(&'static str, &str)> {
    let part = PARTS.into_iter().find(|part| name.starts_with(part))?;
    let release = &name[part.len()..];
    (image::is_release(release) && release.ends_with("amd64")).then_some((part, release))
}

/// The kernels in the output of `apt-cache show`, newest first.
pub(super) fn kernels(show: &str) -> Vec<Available> {
    // By release and version: suites may hold different builds of the same release.
    let mut found: BTreeMap<(&str, &str), BTreeMap<&'static str, Package>> = BTreeMap::new();
    for stanza in show.split("\n\n") {
        let field = |wanted: &str| {
            let lines = stanza.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(name, _)| *name == wanted).map(|(_, value)| value.trim()).next()
        };
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
        // Without a file name it cannot be downloaded; a version becomes a part of a path.
        let (Some((part, release)), Some(_), true) = (parse_name(name), field("Filename"), is_version(version)) else { continue };
        if part == "linux-image-" && field("Depends").is_some_and(|depends| depends.contains("linux-binary-")) {
            continue;
        }
        let bytes = field("Size").and_then(|size| size.parse().ok()).unwrap_or(0);
        found.entry((release, version)).or_default().insert(part, Package { name: name.to_owned(), bytes });
    }
    let mut kernels: Vec<Available> = found
        .into_iter()
        .filter_map(|((release, version), mut parts)| {
            let packages = match parts.remove("linux-image-") {
                Some(image) => vec![image],
                // Old builds lose their modules first: the archive keeps what is signed a while longer.
                None => [parts.remove("linux-binary-")?, parts.remove("linux-modules-")?]
                    .into_iter()
                    .chain(parts.remove("linux-base-"))
                    .collect(),
            };
            Some(Available { release: release.to_owned(), version: version.to_owned(), packages })
        })
        .collect();
    kernels.sort_by(|a, b| newest_first((&a.release, &a.version), (&b.release, &b.version)));
    kernels
}

/// Whether `text` can be a version of a package, and so a part of a path.
pub(super) fn is_version(text: &str) -> bool {
    !text.is_empty() && image::is_word(text)
}

/// The order of kernels by the versions of their packages, then by their releases.
pub(super) fn newest_first(a: (&str, &str), b: (&str, &str)) -> Ordering {
    version::compare(b.1, a.1).then_with(|| version::compare(b.0, a.0))
}

/// For an error: the series that there are, and the nearest to what was asked for.
pub(super) fn instead(wish: &Wish, kernels: &[Available]) -> (String, String) {
    let mut series: Vec<String> = Vec::new();
    for kernel in kernels.iter().rev().filter(|kernel| is_plain(&kernel.release)) {
        let upstream = version::upstream(&kernel.version);
        let name = upstream.split('.').take(2).collect::<Vec<_>>().join(".");
        if !series.contains(&name) {
            series.push(name);
        }
    }
    let releases: BTreeSet<&str> = kernels.iter().map(|kernel| kernel.release.as_str()).collect();
    let near = match wish {
        Wish::Series(asked) => near::did_you_mean(asked, series.iter().map(String::as_str)),
        Wish::Release(asked) => near::did_you_mean(asked, releases),
    };
    (if series.is_empty() { "none".to_owned() } else { series.join(", ") }, near)
}

#[cfg(test)]
mod tests;
