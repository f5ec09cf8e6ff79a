//! What a person is told about a text that is well written and means nothing: names, types, loops, expectations.

use nostale_notifier::{compile::Program, lang::Sources};
use std::{env, fs, path::PathBuf};

/// Each `*.nst` has what is said about it beside it. `UPDATE_SNAPSHOTS=1` writes them anew, for the review of the difference.
#[test]
fn what_is_said_about_models_without_meaning_reads_well() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rejected");
    let entries = fs::read_dir(&directory).expect("exists").map(|entry| entry.expect("readable").path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "nst")).collect();
    paths.sort();
    assert!(paths.len() >= 12);
    let mut wrong = String::new();
    for path in paths {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let sources = Sources::new(name, fs::read_to_string(&path).expect("readable"));
        let said = match Program::read(sources) {
            Ok(_) => "nothing: it was accepted\n".to_owned(),
            Err(rejected) => rejected.render(false),
        };
        let expected = path.with_extension("txt");
        if env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&expected, &said).expect("writable");
        } else if fs::read_to_string(&expected).ok().as_ref() != Some(&said) {
            wrong += &said;
        }
    }
    assert!(wrong.is_empty(), "not as it was:\n{wrong}");
}
