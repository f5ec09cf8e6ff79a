//! What is found in directories, and what becomes of it in the page.

use super::*;
use crate::report::{json, matrix, sample};
use std::fs;

fn directory(files: &[(&str, String)]) -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in files {
        let file = place.path().join(name);
        fs::create_dir_all(file.parent().expect("above")).expect("created");
        fs::write(file, text).expect("written");
    }
    place
}

fn run() -> String {
    json::render(&sample::run())
}

#[test]
fn documents_are_known_by_their_contents_and_have_their_headlines() {
    let place = directory(&[
        ("any-name.json", run()),
        ("host.json", "{\"cpu\": 1}".to_owned()),
        ("kernel.log", "said\n".to_owned()),
        ("violations/01.json", "{\"ticks_per_us\": 3000.5}".to_owned()),
        ("below/run.json", run()),
        (".hidden.json", run()),
        ("matrix.json", json::document(&matrix::sample::matrix())),
    ]);
    let results = gather(place.path()).expect("results");
    let found: Vec<_> = results.documents.iter().map(|one| (one.path.as_str(), one.kind, one.headline.tone)).collect();
    // What lies below results is a part of them.
    assert_eq!(found, [("any-name.json", Kind::Run, Tone::Broken), ("matrix.json", Kind::Matrix, Tone::Broken)]);
    let run = &results.documents[0];
    assert_eq!((run.ticks_per_us, run.kernel_log.as_deref()), (Some(3000.5), Some("said\n")));
    assert!(run.facts.is_some() && run.headline.text.contains("0x5eed"), "{:?}", run.headline);
    // One broke and one was stuck.
    assert_eq!(run.headline.replay.len(), 2);
}

#[test]
fn a_directory_without_results_of_its_own_stands_for_those_in_it() {
    let place = directory(&[
        ("a/run.json", run()),
        ("b/c/d/run.json", run()),
        ("b/c/d/e/run.json", run()),
        ("note.json", "{}".to_owned()),
    ]);
    let results = gather(place.path()).expect("results");
    let names: Vec<_> = results.documents.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["note.json", "a", "b/c/d"]);
}

#[test]
fn what_cannot_be_shown_says_why() {
    let mut future: serde_json::Value = serde_json::from_str(&run()).expect("JSON");
    future["version"] = 2.into();
    let mut hole: serde_json::Value = serde_json::from_str(&run()).expect("JSON");
    hole["scenarios"][0].as_object_mut().expect("a map").remove("guest_writes");
    let place = directory(&[
        ("1.json", run()),
        ("2.json", future.to_string()),
        ("3.json", hole.to_string()),
        ("4.json", run()[..100].to_owned()),
        ("5.json", "[1]".to_owned()),
    ]);
    let results = gather(place.path()).expect("one is whole");
    let says = ["coherent", "version is 2", "guest_writes", "not whole", "not a document of nostale's"];
    for (document, says) in results.documents.iter().zip(says).skip(1) {
        assert!(!document.is_result() && document.line().contains(says), "{}", document.line());
    }
}

#[test]
fn nothing_of_a_result_is_markup() {
    let mut report = sample::run();
    let nasty = "</script><script>alert(1)</script>{{script}}";
    report.host.kernel = nasty.to_owned();
    report.scenarios[0].name = nasty.to_owned();
    let place = directory(&[("run.json", json::render(&report))]);
    let page = render(&gather(place.path()).expect("a result"));
    assert_eq!(page.matches("</script>").count(), 2, "the data's and the script's");
    assert!(!page.contains("alert(1)</script>"));
    assert_eq!(page.matches("{{").count(), assets::script().matches("{{").count() + page.matches("{{script}}").count());
}

#[test]
fn a_page_stands_alone() {
    let (style, script) = (assets::style(), assets::script());
    assert!(!script.contains("</script") && !script.contains("<!--") && !style.contains("</style"), "it would end its element");
    for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "import("] {
        assert!(!script.contains(word), "{word}");
    }
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[test]
fn only_a_page_of_ours_makes_room() {
    let place = directory(&[("run.json", run()), ("other.html", "<title>precious</title>".to_owned())]);
    let page = render(&gather(place.path()).expect("a result"));
    let own = place.path().join(NAME);
    write(&own, &page).expect("written");
    write(&own, &page).expect("replaced");
    assert_eq!(fs::read_to_string(&own).expect("there"), page);
    assert!(matches!(write(&place.path().join("other.html"), &page), Err(PageError::Taken { .. })));
    assert_eq!(fs::read_dir(place.path()).expect("there").count(), 3, "nothing else is left");
}
