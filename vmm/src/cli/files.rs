//! Model files on the command line: files as they are, and directories with all that is in them.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Nobody has written a model that large; something else was meant, perhaps a device.
const LARGEST_BYTES: u64 = 4 << 20;

/// What standard input is called among paths.
pub(super) const STDIN: &str = "-";
/// The same, in words.
pub(super) const STDIN_NAME: &str = "standard input";

/// Whether standard input is meant, which stands alone.
pub(super) fn is_stdin(paths: &[PathBuf]) -> Result<bool, String> {
    match paths.iter().any(|path| path == Path::new(STDIN)) {
        true if paths.len() > 1 => Err("'-' stands alone: standard input and no file".to_owned()),
        any => Ok(any),
    }
}

/// The text of standard input.
pub(super) fn stdin() -> Result<String, Unusable> {
    text(Path::new(STDIN_NAME), io::stdin().lock())
}

/// What cannot be used: a path, and why.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) path: PathBuf,
    pub(super) why: String,
}

impl Unusable {
    pub(super) fn new(path: &Path, why: impl ToString) -> Self {
        Self { path: path.to_owned(), why: why.to_string() }
    }

    /// In one line.
    pub(super) fn message(&self) -> String {
        format!("{}: {}", self.path.display(), self.why)
    }
}

/// The model files that are meant, each once, and what is not there.
pub(super) fn find(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<Unusable>) {
    let (mut files, mut unusable) = (Vec::new(), Vec::new());
    for path in paths {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                let mut inside = BTreeSet::new();
                let before = unusable.len();
                below(path, &mut inside, &mut unusable);
                if inside.is_empty() && unusable.len() == before {
                    unusable.push(Unusable::new(path, "there is no model (*.nst) in this directory"));
                }
                files.extend(inside);
            }
            Ok(found) if found.is_file() => files.push(path.clone()),
            // A pipe or a device might keep us waiting for ever.
            Ok(_) => unusable.push(Unusable::new(path, "not a file")),
            Err(error) => unusable.push(Unusable::new(path, error)),
        }
    }
    let mut known = BTreeSet::new();
    // By whatever name: a link, or another way to write the same path.
    files.retain(|file| match fs::metadata(file) {
        Ok(found) => known.insert((found.dev(), found.ino())),
        Err(_) => true,
    });
    (files, unusable)
}

/// All models below a directory. Symbolic links to directories are not followed: they may lead round in a circle.
fn below(directory: &Path, files: &mut BTreeSet<PathBuf>, unusable: &mut Vec<Unusable>) {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    match entries {
        Err(error) => unusable.push(Unusable::new(directory, error)),
        Ok(entries) => {
            for entry in entries {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    below(&path, files, unusable);
                } else if path.extension().is_some_and(|extension| extension == "nst")
                    // What is not there is for the reader to report.
                    && fs::metadata(&path).map_or(true, |found| found.is_file())
                {
                    files.insert(path);
                }
            }
        }
    }
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, Unusable> {
    let file = fs::File::open(path).map_err(|error| Unusable::new(path, error))?;
    text(path, file)
}

/// The text that comes from somewhere, which is called `path`.
pub(super) fn text(path: &Path, from: impl Read) -> Result<String, Unusable> {
    let mut bytes = Vec::new();
    from.take(LARGEST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| Unusable::new(path, error))?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(Unusable::new(path, "larger than 4 MiB: no model"));
    }
    let line = |at: usize| bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        return Err(Unusable::new(path, format!("no text: there is a NUL byte in line {}", line(at))));
    }
    match std::str::from_utf8(&bytes) {
        Err(error) => Err(Unusable::new(path, format!("no text: line {} is not UTF-8", line(error.valid_up_to())))),
        Ok(text) => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_searched_in_order_and_circles_do_no_harm() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("b/c")).expect("created");
        for name in ["z.nst", "a.nst", "b/c/m.nst", "b/README"] {
            fs::write(at(name), "").expect("written");
        }
        std::os::unix::fs::symlink(place.path(), at("b/round")).expect("linked");
        let (files, unusable) = find(&[place.path().to_owned(), at("a.nst"), at("missing"), at("b/README")]);
        assert_eq!(files, ["a.nst", "b/c/m.nst", "z.nst", "b/README"].map(at));
        assert!(unusable.len() == 1 && unusable[0].message().contains("missing: No such file"), "{unusable:?}");
        std::os::unix::fs::symlink(at("a.nst"), at("b/link.nst")).expect("linked");
        let again = place.path().join("b/../a.nst");
        assert_eq!(find(&[at("a.nst"), again, at("b")]).0, ["a.nst", "b/c/m.nst"].map(at), "each once");
        fs::create_dir(at("empty")).expect("created");
        assert!(find(&[at("empty")]).1[0].message().contains("no model"));
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let pipe = place.path().join("pipe.nst");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("runs");
        assert!(made.success());
        let (files, unusable) = find(&[pipe]);
        assert!(files.is_empty() && unusable[0].message().ends_with("pipe.nst: not a file"), "{unusable:?}");
        let (files, unusable) = find(&[place.path().to_owned()]);
        assert!(files.is_empty() && unusable[0].message().contains("no model"), "{unusable:?}");
    }

    #[test]
    fn what_is_no_text_says_in_which_line() {
        let read = |bytes: &[u8]| text(Path::new("m.nst"), bytes).map_err(|unusable| unusable.message());
        assert_eq!(read("ä\n".as_bytes()), Ok("ä\n".to_owned()));
        assert_eq!(read(b"a\n\xff"), Err("m.nst: no text: line 2 is not UTF-8".to_owned()));
        assert_eq!(read(b"\x7fELF\0"), Err("m.nst: no text: there is a NUL byte in line 1".to_owned()));
        assert!(text(Path::new("m.nst"), io::repeat(b'#')).is_err());
    }
}
