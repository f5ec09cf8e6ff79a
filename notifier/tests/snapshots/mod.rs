//! Texts with what is said about each beside it.

use nostale_notifier::lang::Sources;
use std::{env, fs, path::PathBuf};

/// Asks what is said about each `*.nst` of a directory below `tests`, of which there are at least `least`, and compares it with the
/// `*.txt` beside it. `UPDATE_SNAPSHOTS=1` writes these anew, for the review of the difference.
pub(crate) fn compare(directory: &str, least: usize, say: impl Fn(Sources) -> String) {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(directory);
    let entries = fs::read_dir(&directory).expect("exists").map(|entry| entry.expect("readable").path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "nst")).collect();
    paths.sort();
    assert!(paths.len() >= least);
    let mut wrong = String::new();
    for path in paths {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let said = say(Sources::new(name, fs::read_to_string(&path).expect("readable")));
        let expected = path.with_extension("txt");
        if env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&expected, &said).expect("writable");
        } else if fs::read_to_string(&expected).ok().as_ref() != Some(&said) {
            wrong += &said;
        }
    }
    assert!(wrong.is_empty(), "not as it was:\n{wrong}");
}
