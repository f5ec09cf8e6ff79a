//! The machine's own apt sources: which mirror of Debian it uses, and with which key (sources.list(5)).
//!
//! A mirror inside a company is reached where Debian's own is not, so no address is built in.

use std::fs;
use std::path::Path;

/// Releases by name and by role.
const RELEASES: [&str; 13] = [
    "bullseye",
    "bookworm",
    "trixie",
    "sid",
    "forky",
    "duke",
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "unstable",
    "buster",
    "experimental",
];
/// Behind the name of a release.
const PARTS: [&str; 6] = ["-backports", "-backports-sloppy", "-updates", "-security", "-proposed-updates", "/updates"];
/// What is looked at in addition to the machine's own suites.
const MORE: [&str; 5] = ["bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid"];

/// One stanza: places, suites and how they are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// Fields that say how it is checked (`Signed-By`), taken over as they are, also if a key is in them.
    checks: Vec<(String, String)>,
}

/// The private sources below a cache, from what is in `/etc/apt`; `None` if that names no Debian.
pub(super) fn private(etc: &Path) -> Option<String> {
    let mut paths = vec![etc.join("sources.list"), etc.join("debian.sources")];
    let mut parts: Vec<_> =
        fs::read_dir(etc.join("sources.list.d")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    parts.sort_unstable();
    paths.extend(parts);
    let mut sources = Vec::new();
    for path in paths {
        // apt skips other names, such as `.save`, and so may we.
        match (path.extension().and_then(|end| end.to_str()), fs::read_to_string(&path)) {
            (Some("list"), Ok(text)) => sources.extend(one_line(&text)),
            (Some("sources"), Ok(text)) => sources.extend(deb822(&text)),
            _ => {}
        }
    }
    select(sources).map(|sources| sources.iter().map(Source::to_deb822).collect::<Vec<_>>().join("\n"))
}

/// Debian's own stanzas, the best of them with the further suites.
fn select(sources: Vec<Source>) -> Option<Vec<Source>> {
    let mut debian: Vec<Source> = sources.into_iter().filter(|source| source.trust() > 0).collect();
    let best = debian
        .iter()
        .enumerate()
        .filter(|(_, source)| source.suites.iter().any(|suite| RELEASES.contains(&suite.as_str())))
        // Of equal ones the first.
        .max_by_key(|(at, source)| (source.trust(), std::cmp::Reverse(*at)))
        .map(|(at, _)| at)?;
    let named: Vec<String> =
        debian.iter().filter(|source| source.uris == debian[best].uris).flat_map(|source| source.suites.clone()).collect();
    debian[best].suites.extend(MORE.iter().filter(|suite| !named.iter().any(|known| known == *suite)).map(ToString::to_string));
    Some(debian)
}

impl Source {
    /// How surely this is Debian's archive; 0 for other vendors, who use the names of Debian's suites for their own.
    fn trust(&self) -> u32 {
        let is_debian = |suite: &String| {
            let base = PARTS.iter().find_map(|part| suite.strip_suffix(part)).unwrap_or(suite);
            RELEASES.contains(&base)
        };
        if !self.suites.iter().all(is_debian) || !self.components.iter().any(|component| component == "main") {
            return 0;
        }
        let host = |uri: &String| uri.split('/').nth(2).is_some_and(|host| host.ends_with("debian.org"));
        let path = |uri: &String| {
            let last = uri.trim_end_matches('/').rsplit('/').next();
            matches!(last, Some("debian" | "debian-security"))
        };
        let signed = self.checks.iter().find(|(name, _)| name == "Signed-By").map(|(_, by)| by);
        let points = [
            (4, self.uris.iter().any(host)),
            (4, signed.is_some_and(|by| by.contains("debian-archive"))),
            (2, self.uris.iter().any(path)),
            // Signed with a key that the machine trusts for everything: other vendors have keys of their own.
            (1, signed.is_none()),
        ];
        points.iter().filter(|(_, holds)| *holds).map(|(points, _)| points).sum()
    }

    fn to_deb822(&self) -> String {
        let (uris, suites) = (self.uris.join(" "), self.suites.join(" "));
        let mut text = format!("Types: deb\nURIs: {uris}\nSuites: {suites}\nComponents: main\nArchitectures: amd64\n");
        for (name, value) in &self.checks {
            text += &format!("{name}: {value}\n");
        }
        text
    }
}

/// The fields that say how a source is checked, as deb822 spells them.
fn check(name: &str) -> Option<&'static str> {
    ["Signed-By", "Trusted", "Check-Valid-Until", "Check-Date"].into_iter().find(|known| known.eq_ignore_ascii_case(name))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `deb [option=value …] URI SUITE COMPONENT…`
fn one_line(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(mut rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with(char::is_whitespace)).map(str::trim) else {
            continue;
        };
        let mut source = Source::default();
        if let Some((options, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            rest = after;
            let options = options.split_whitespace().filter_map(|option| option.split_once('='));
            source.checks.extend(options.filter_map(|(name, value)| Some((check(name)?.to_owned(), value.replace(',', " ")))));
        }
        let mut words = words(rest).into_iter();
        source.uris.extend(words.next());
        source.suites.extend(words.next());
        source.components.extend(words);
        if !source.suites.is_empty() {
            sources.push(source);
        }
    }
    sources
}

/// Stanzas of `Field: value`, with longer values on further lines that begin with a blank.
fn deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) && !line.trim().is_empty() {
            if let Some((_, value)) = fields.last_mut() {
                *value += &format!("\n{}", line.trim_end());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        } else if line.trim().is_empty() && !fields.is_empty() {
            sources.extend(stanza(&std::mem::take(&mut fields)));
        }
    }
    sources
}

fn stanza(fields: &[(String, String)]) -> Option<Source> {
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str());
    if ["no", "false", "0"].contains(&field("enabled")) || !words(field("types")).iter().any(|kind| kind == "deb") {
        return None;
    }
    let checks = fields.iter().filter_map(|(name, value)| Some((check(name)?.to_owned(), value.clone()))).collect();
    let (uris, suites, components) = (words(field("uris")), words(field("suites")), words(field("components")));
    (!uris.is_empty() && !suites.is_empty()).then_some(Source { uris, suites, components, checks })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private_of(files: &[(&str, &str)]) -> Option<String> {
        let etc = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(etc.path().join("sources.list.d")).expect("made");
        for (name, text) in files {
            fs::write(etc.path().join(name), text).expect("written");
        }
        private(etc.path())
    }

    const VENDOR: (&str, &str) = (
        "sources.list.d/a-vendor.list",
        "deb [arch=amd64 signed-by=/k/vendor.asc] https://vendor.example/linux/debian bookworm stable\n\
         deb [signed-by=/k/other.gpg] https://other.example/php bookworm main\n\
         deb https://cloud.example/apt cloud-sdk-bookworm main\n",
    );

    #[test]
    fn stanzas_with_comments_in_them_become_private_ones_with_more_suites() {
        let debian = "\
Types: deb deb-src
# a comment in a stanza
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 debian-archive
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
Enabled: no
";
        let expected = "\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports trixie trixie-backports sid
Components: main
Architectures: amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Architectures: amd64
Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 debian-archive
 -----END PGP PUBLIC KEY BLOCK-----
";
        assert_eq!(private_of(&[VENDOR, ("sources.list.d/debian.sources", debian)]).as_deref(), Some(expected));
    }

    #[test]
    fn one_line_sources_work_as_well() {
        let list = "# deb http://commented.example/debian sid main\n\
                    deb-src http://mirror.example/debian trixie main\n\
                    deb [ signed-by=/k/debian-archive-keyring.gpg arch=amd64 ] http://mirror.example/debian trixie main # ours\n\
                    deb http://mirror.example/debian sid main\n";
        let expected = "\
Types: deb
URIs: http://mirror.example/debian
Suites: trixie bookworm bookworm-backports trixie-backports
Components: main
Architectures: amd64
Signed-By: /k/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian
Suites: sid
Components: main
Architectures: amd64
";
        assert_eq!(private_of(&[VENDOR, ("sources.list", list)]).as_deref(), Some(expected));
    }

    #[test]
    fn other_vendors_are_not_debian() {
        assert_eq!(private_of(&[VENDOR]), None);
        let ubuntu = ("sources.list", "deb http://archive.ubuntu.com/ubuntu noble main\n");
        assert_eq!(private_of(&[ubuntu, ("sources.list.d/debian.sources.save", "Types: deb")]), None);
        assert_eq!(private_of(&[]), None);
        let unsigned = private_of(&[("sources.list", "deb http://internal.example/snapshot stable main\n")]);
        assert!(unsigned.expect("the machine's own keys").contains("Suites: stable bookworm "));
    }
}
