//! Where files lie in an initramfs, whatever they are called by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::newc::Archive;

/// Directories in which loaders look without being told, of glibc on Debian, elsewhere, and of musl, and that are links here: all of
/// them are `/lib`.
const LINKS: [(&str, &str); 4] =
    [("/lib64", "lib"), ("/lib/x86_64-linux-gnu", "."), ("/usr/lib", "/lib"), ("/usr/lib64", "/lib")];

/// An archive, and what is in it.
#[derive(Debug, Default)]
pub(super) struct Places {
    archive: Archive,
    /// Directories, and links to some.
    made: BTreeSet<PathBuf>,
    /// Libraries in `/lib` by name, and where they are on this host.
    libraries: BTreeMap<String, PathBuf>,
}

impl Places {
    /// An archive that goes on.
    pub(super) fn of(archive: Archive) -> Self {
        Self { archive, made: BTreeSet::from([PathBuf::from("/")]), libraries: BTreeMap::new() }
    }

    /// A file, and the directories above it.
    pub(super) fn file(&mut self, path: &Path, contents: &[u8]) {
        let path = through_links(path);
        self.above(&path);
        self.archive.file(&path.to_string_lossy(), contents);
    }

    /// The library that others call `name`, which is `path` on this host: programs with a search path of their own (Nix) look there.
    pub(super) fn library(&mut self, name: &str, path: &Path, contents: &[u8]) {
        self.links();
        let home = through_links(path.parent().unwrap_or(Path::new("/"))).join(name);
        let place = Path::new("/lib").join(name);
        match self.libraries.get(name) {
            Some(there) if there == path => return,
            // Another of this name; whoever needs that one looks for it where it is on this host.
            Some(_) if home == place => return,
            Some(_) => return self.file(&home, contents),
            None => {}
        }
        self.libraries.insert(name.to_owned(), path.to_owned());
        self.file(&place, contents);
        if home != place {
            self.above(&home);
            self.archive.link(&home.to_string_lossy(), &place.to_string_lossy());
        }
    }

    /// The archive with its end mark.
    pub(super) fn finish(self) -> Vec<u8> {
        self.archive.finish()
    }

    fn links(&mut self) {
        for (path, target) in LINKS {
            self.above(Path::new(path));
            if self.made.insert(path.into()) {
                self.archive.link(path, target);
            }
        }
    }

    /// The directories above `path`, from the top.
    fn above(&mut self, path: &Path) {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for directory in above {
            if self.made.insert(directory.to_owned()) {
                self.archive.directory(&directory.to_string_lossy());
            }
        }
    }
}

/// The same place by no link of [`LINKS`]: a directory in the place of one would hide it.
fn through_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for from in ["/usr/lib64", "/usr/lib", "/lib64", "/lib/x86_64-linux-gnu"] {
        if let Ok(rest) = path.strip_prefix(from) {
            path = if rest.as_os_str().is_empty() { PathBuf::from("/lib") } else { Path::new("/lib").join(rest) };
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::newc;
    use super::*;

    fn paths(places: Places) -> Vec<String> {
        newc::read(&places.finish()).into_iter().map(|entry| entry.path).collect()
    }

    #[test]
    fn links_are_never_hidden_by_directories() {
        let mut places = Places::of(Archive::default());
        places.library("a.so", Path::new("/usr/lib/x86_64-linux-gnu/a.so"), b"a");
        places.file(Path::new("/usr/lib/x86_64-linux-gnu/qemu/b.so"), b"b");
        places.file(Path::new("/usr/share/qemu/bios.bin"), b"c");
        let links = ["lib64", "lib", "lib/x86_64-linux-gnu", "usr", "usr/lib", "usr/lib64"];
        let files = ["lib/a.so", "lib/qemu", "lib/qemu/b.so", "usr/share", "usr/share/qemu", "usr/share/qemu/bios.bin"];
        assert_eq!(paths(places), [links, files].concat());
    }

    #[test]
    fn a_library_is_there_once_and_another_of_its_name_where_it_is_looked_for() {
        let mut places = Places::of(Archive::default());
        for path in ["/lib/a.so", "/lib/a.so", "/opt/own/a.so"] {
            places.library("a.so", Path::new(path), path.as_bytes());
        }
        let entries = newc::read(&places.finish());
        let libraries: Vec<_> = entries.iter().filter(|entry| entry.path.ends_with("a.so")).collect();
        assert_eq!(libraries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["lib/a.so", "opt/own/a.so"]);
        assert_eq!(libraries[1].contents, b"/opt/own/a.so");
    }
}
