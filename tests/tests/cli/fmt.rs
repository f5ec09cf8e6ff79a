//! `nostale fmt`: what it writes, what it leaves alone, and what it says.

use crate::{NOSTALE, Place, ends_with, ensure, trial};
use libtest_mimic::{Failed, Trial};
use std::{
    fs,
    io::Write,
    os::unix::fs::MetadataExt,
    process::{Command, Output, Stdio},
};

const UNTIDY: &str = "model   \"m\"\nflag seen   # a comment\nthread a {\n      seen=true }\nexpect   holds\n";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("fmt::in_place_and_only_once", None, in_place),
        trial("fmt::check_names_what_would_change", None, check),
        trial("fmt::standard_input", None, standard_input),
        trial("fmt::what_cannot_be_read_stays_as_it_is", None, unreadable),
        trial("fmt::refuses_what_makes_no_sense", None, refusals),
    ]
}

fn untidy() -> Result<Place, Failed> {
    let place = Place::new()?;
    fs::create_dir(place.path().join("models"))?;
    fs::write(place.path().join("models/m.nst"), UNTIDY)?;
    Ok(place)
}

fn text(place: &Place, name: &str) -> Result<String, Failed> {
    Ok(fs::read_to_string(place.path().join(name))?)
}

fn in_place() -> Result<(), Failed> {
    let place = untidy()?;
    let output = place.nostale(&["fmt", "models"])?;
    ends_with(&output, 0)?;
    ensure(output.stdout == b"models/m.nst is formatted\n" && output.stderr.is_empty(), || format!("{output:?}"))?;
    let formatted = text(&place, "models/m.nst")?;
    ensure(formatted != UNTIDY && formatted.contains("# a comment"), || formatted.clone())?;
    // A file that is as it should be is not even written.
    let number = || fs::metadata(place.path().join("models/m.nst")).map(|file| (file.ino(), file.mtime_nsec()));
    let before = number()?;
    let output = place.nostale(&["fmt", "models/m.nst"])?;
    ends_with(&output, 0)?;
    ensure(output.stdout.is_empty() && number()? == before, || format!("{output:?}"))?;
    ensure(fs::read_dir(place.path().join("models"))?.count() == 1, || "something is left behind".to_owned())
}

fn check() -> Result<(), Failed> {
    let place = untidy()?;
    let output = place.nostale(&["fmt", "--check", "models"])?;
    ends_with(&output, 1)?;
    ensure(output.stdout == b"models/m.nst would be formatted\n", || format!("{output:?}"))?;
    ensure(text(&place, "models/m.nst")? == UNTIDY, || "it was changed".to_owned())?;
    place.nostale(&["fmt", "models"])?;
    let output = place.nostale(&["fmt", "--check", "models"])?;
    ends_with(&output, 0)?;
    ensure(output.stdout.is_empty(), || format!("{output:?}"))
}

fn from_input(place: &Place, arguments: &[&str], text: &str) -> Result<Output, Failed> {
    let mut command = Command::new(NOSTALE);
    place.host(command.args(arguments)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(text.as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn standard_input() -> Result<(), Failed> {
    let place = untidy()?;
    let output = from_input(&place, &["fmt", "-"], UNTIDY)?;
    ends_with(&output, 0)?;
    place.nostale(&["fmt", "models"])?;
    ensure(output.stdout == text(&place, "models/m.nst")?.as_bytes(), || format!("{output:?}"))?;
    let output = from_input(&place, &["fmt", "--check", "-"], UNTIDY)?;
    ends_with(&output, 1)?;
    ensure(output.stdout.is_empty(), || format!("{output:?}"))?;
    let output = from_input(&place, &["fmt", "-"], "thread {")?;
    ends_with(&output, 2)?;
    let said = String::from_utf8_lossy(&output.stderr).contains("standard input:1:");
    ensure(said && output.stdout.is_empty(), || format!("{output:?}"))
}

fn unreadable() -> Result<(), Failed> {
    let place = untidy()?;
    fs::write(place.path().join("models/broken.nst"), "thread {")?;
    fs::write(place.path().join("models/binary.nst"), b"\0")?;
    let output = place.nostale(&["fmt", "models", "missing.nst"])?;
    ends_with(&output, 2)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let named = ["models/broken.nst:1:", "models/binary.nst: no text", "missing.nst: No such file"];
    ensure(named.iter().all(|name| errors.contains(name)), || format!("{output:?}"))?;
    ensure(text(&place, "models/broken.nst")? == "thread {", || "the broken file was changed".to_owned())?;
    ensure(text(&place, "models/m.nst")? != UNTIDY, || "the good file was left as it was".to_owned())
}

fn refusals() -> Result<(), Failed> {
    let place = untidy()?;
    for (arguments, says) in [
        (&["fmt", "-", "models"][..], "'-' stands alone"),
        (&["fmt", "models", "--format", "json"], "leave --format"),
        (&["fmt"], "required"),
    ] {
        let output = place.nostale(arguments)?;
        ends_with(&output, 2)?;
        ensure(String::from_utf8_lossy(&output.stderr).contains(says), || format!("{output:?}"))?;
    }
    ensure(text(&place, "models/m.nst")? == UNTIDY, || "it was changed".to_owned())
}
