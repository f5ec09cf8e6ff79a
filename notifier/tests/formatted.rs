//! The project's own models are in the layout that `nostale fmt` gives.

use nostale_notifier::lang::{Sources, format};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Where models are, from the top of the tree.
const FOLDERS: [&str; 3] = ["notifier/library", "tests/bench", "tests/corpus"];

/// Texts with models in them.
const BOOKS: [&str; 2] = ["notifier/LANGUAGE.md", "README.md"];

/// What begins a model in a book, and what ends it.
const FENCES: [&str; 2] = ["```nst\n", "```"];

fn layout(name: &str, text: &str) -> String {
    let sources = Sources::new(name, text);
    format(&sources, 0).unwrap_or_else(|findings| panic!("{}", findings.render(&sources, false)))
}

/// A book with its models in layout, and how many these are.
fn book(name: &str, text: &str) -> (String, usize) {
    let mut parts = text.split(FENCES[0]);
    let mut after = parts.next().unwrap_or_default().to_owned();
    let mut models = 0;
    for part in parts {
        let (model, rest) = part.split_once(FENCES[1]).expect("a model that ends");
        after += &[FENCES[0], &layout(name, model), FENCES[1], rest].concat();
        models += 1;
    }
    (after, models)
}

/// Writes it anew if asked to, otherwise notes that it is not in layout.
fn compare(path: &Path, before: &str, after: &str, untidy: &mut Vec<PathBuf>) {
    if before != after {
        if env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(path, after).expect("writable");
        } else {
            untidy.push(path.to_owned());
        }
    }
}

#[test]
fn the_models_of_the_project_are_in_layout() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut untidy = Vec::new();
    let mut models = 0;
    for folder in FOLDERS {
        for entry in fs::read_dir(top.join(folder)).expect("a folder of models") {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|extension| extension == "nst") {
                let text = fs::read_to_string(&path).expect("readable");
                compare(&path, &text, &layout(&path.to_string_lossy(), &text), &mut untidy);
                models += 1;
            }
        }
    }
    for name in BOOKS {
        let text = fs::read_to_string(top.join(name)).expect("readable");
        let (after, found) = book(name, &text);
        assert!(found > 0, "{name} has no models");
        compare(&top.join(name), &text, &after, &mut untidy);
        models += found;
    }
    assert!(models > 60, "only {models} models found");
    assert!(untidy.is_empty(), "not as `nostale fmt` would have them (UPDATE_SNAPSHOTS=1 writes them anew): {untidy:#?}");
}
