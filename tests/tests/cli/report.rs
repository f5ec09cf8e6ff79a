//! `nostale report`: what it makes a page of, what it refuses, and what it leaves behind. The page itself is looked at in
//! `tests/page`.

use crate::{Place, ends_with, ensure, trial};
use libtest_mimic::{Failed, Trial};
use std::fs;

/// The smallest document that is a result.
const CHECK: &str = r#"{"version":1,"files":[],"errors":[],"interrupted":false}"#;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("report::beside_the_results", None, beside),
        trial("report::where_it_is_told", None, elsewhere),
        trial("report::of_several_results", None, several),
        trial("report::what_is_unknown_or_broken_is_named", None, named),
        trial("report::nothing_to_report", None, nothing),
        trial("report::replaces_nothing_but_its_own_page", None, replaces),
        trial("report::refuses_what_makes_no_sense", None, refusals),
    ]
}

fn results(files: &[(&str, &str)]) -> Result<Place, Failed> {
    let place = Place::new()?;
    for (name, text) in files {
        let file = place.path().join(name);
        fs::create_dir_all(file.parent().ok_or("a name")?)?;
        fs::write(file, text)?;
    }
    Ok(place)
}

fn refused(place: &Place, arguments: &[&str], says: &str) -> Result<(), Failed> {
    let before = place.entries()?;
    let output = place.nostale(arguments)?;
    ends_with(&output, 2)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let clear = errors.contains(says) && errors.starts_with("nostale: ") && errors.lines().count() == 1;
    ensure(clear && output.stdout.is_empty(), || format!("expected one line with \"{says}\": {output:?}"))?;
    ensure(place.entries()? == before, || format!("left behind: {:?}", place.entries()))
}

fn beside() -> Result<(), Failed> {
    let place = results(&[("out/report.json", CHECK)])?;
    let output = place.nostale(&["report", "out"])?;
    ends_with(&output, 0)?;
    ensure(output.stdout == b"out/report.html\n" && output.stderr.is_empty(), || format!("{output:?}"))?;
    let page = fs::read_to_string(place.path().join("out/report.html"))?;
    ensure(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), || "not a whole page".to_owned())?;
    // The same results make the same page.
    ends_with(&place.nostale(&["report", "out"])?, 0)?;
    ensure(fs::read_to_string(place.path().join("out/report.html"))? == page, || "another page".to_owned())?;
    let left = fs::read_dir(place.path().join("out"))?.count();
    ensure(left == 2, || format!("{left} files"))
}

fn elsewhere() -> Result<(), Failed> {
    let place = results(&[("out/report.json", CHECK)])?;
    let output = place.nostale(&["report", "out", "--to", "page.html"])?;
    ends_with(&output, 0)?;
    ensure(output.stdout == b"page.html\n", || format!("{output:?}"))?;
    ensure(place.entries()? == ["out", "page.html"], || format!("{:?}", place.entries()))
}

fn several() -> Result<(), Failed> {
    let place = results(&[("all/a/report.json", CHECK), ("all/b/run/report.json", CHECK)])?;
    ends_with(&place.nostale(&["report", "all"])?, 0)?;
    let page = fs::read_to_string(place.path().join("all/report.html"))?;
    ensure(page.contains("a/report.json") && page.contains("b/run/report.json"), || "one is missing".to_owned())
}

fn named() -> Result<(), Failed> {
    let broken = &CHECK[..CHECK.len() - 1];
    let place = results(&[
        ("out/a.json", CHECK),
        ("out/b.json", broken),
        ("out/c.json", r#"{"colour":1}"#),
        ("out/d.json", r#"{"version":9,"files":[],"errors":[]}"#),
    ])?;
    let output = place.nostale(&["report", "out"])?;
    ends_with(&output, 0)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    for says in ["b.json: not JSON, or not whole", "c.json: unknown: a document with colour", "d.json: its version is 9"] {
        ensure(errors.contains(says), || format!("expected \"{says}\": {output:?}"))?;
    }
    let output = place.nostale(&["report", "--quiet", "out"])?;
    ensure(output.stderr.is_empty(), || format!("{output:?}"))
}

fn nothing() -> Result<(), Failed> {
    let place = results(&[("empty/README.txt", "nothing"), ("broken/run.json", "{"), ("file", "")])?;
    refused(&place, &["report", "missing"], "cannot read missing: No such file")?;
    refused(&place, &["report", "file"], "file is not a directory")?;
    refused(&place, &["report", "empty"], "there is no result in empty;")?;
    refused(&place, &["report", "broken"], "there is no result in broken (run.json: not JSON, or not whole")
}

fn replaces() -> Result<(), Failed> {
    let place = results(&[("out/report.json", CHECK), ("out/report.html", "precious")])?;
    refused(&place, &["report", "out"], "out/report.html already exists, and is no page of nostale's")?;
    refused(&place, &["report", "out", "--to", "out"], "out already exists")?;
    refused(&place, &["report", "out", "--to", "missing/page.html"], "cannot write missing/page.html: No such file")?;
    ensure(fs::read_to_string(place.path().join("out/report.html"))? == "precious", || "it was changed".to_owned())
}

fn refusals() -> Result<(), Failed> {
    let place = results(&[("out/report.json", CHECK)])?;
    refused(&place, &["report", "out", "--out", "x"], "--to FILE says where")?;
    refused(&place, &["report", "out", "--format", "json"], "leave --format and --out out")
}
