//! Each rule of the trace, held against a stream of events in which it holds and a doctored one in which it breaks: both stand in one
//! file of `streams/`, as a diff. Lines with `-` are in the right stream only, lines with `+` in the doctored one.

mod stream;

use nostale_notifier::trace::{
    analysis::Analysis,
    profile::{OrderVerdict, Profile, RuleState},
    rules,
};
use std::{collections::BTreeSet, fs, path::Path};
use stream::Stream;

fn profile(stream: &Stream) -> Profile {
    let mut analysis = Analysis::new(&stream.head);
    stream.items.iter().for_each(|item| analysis.item(item));
    analysis.finish(None, None)
}

fn broken(profile: &Profile) -> Vec<&str> {
    profile.rules.iter().filter(|rule| rule.state == RuleState::Broken).map(|rule| rule.name.as_str()).collect()
}

#[test]
fn every_rule_holds_where_it_should_and_breaks_where_it_must() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/streams");
    let mut tried = BTreeSet::new();
    let mut files: Vec<_> = fs::read_dir(&dir).expect("streams").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for path in files {
        let text = fs::read_to_string(&path).expect("a text");
        let shown = path.display();
        let right = Stream::parse(&text, '-').unwrap_or_else(|error| panic!("{shown}: {error}"));
        let doctored = Stream::parse(&text, '+').unwrap_or_else(|error| panic!("{shown}: {error}"));
        let held = profile(&right);
        assert_eq!(broken(&held), [""; 0], "{shown}: {:#?}", held.rules);
        assert_eq!(held.verdict, OrderVerdict::Held, "{shown}: {:#?}", held);
        let rule = held.rules.iter().find(|rule| rule.name == right.rule).unwrap_or_else(|| panic!("{shown}: no such rule"));
        assert_eq!(rule.state, RuleState::Held, "{shown}: {rule:#?}");
        let bad = profile(&doctored);
        assert_eq!(broken(&bad), doctored.breaks, "{shown}: {:#?}", bad.rules);
        let example = bad.rules.iter().find(|rule| rule.name == right.rule).and_then(|rule| rule.examples.first());
        let example = example.unwrap_or_else(|| panic!("{shown}: no example"));
        assert!(!example.what.is_empty() && !example.events.is_empty(), "{shown}: {example:#?}");
        assert!(example.events.is_sorted_by_key(|event| event.tsc), "{shown}");
        tried.insert(right.rule);
    }
    let all: BTreeSet<_> = rules::all().iter().map(|rule| rule.about().name.to_owned()).collect();
    assert_eq!(tried, all, "a rule without a stream");
}

#[test]
fn where_events_were_lost_nobody_is_accused() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/streams");
    for entry in fs::read_dir(&dir).expect("streams") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a text");
        let whole = Stream::parse(&text, '-').expect("parses");
        // Whichever event is missing: when that is known, no rule may be broken by it.
        for missing in 0..whole.items.len() {
            let mut stream = whole.clone();
            stream.lose(missing);
            let profile = profile(&stream);
            assert_eq!(broken(&profile), [""; 0], "{} without item {missing}: {:#?}", path.display(), profile.rules);
        }
    }
}

#[test]
fn rules_have_names_and_reasons() {
    let mut names = BTreeSet::new();
    for rule in rules::all() {
        let about = rule.about();
        assert!(names.insert(about.name), "{}: twice", about.name);
        assert!(about.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", about.name);
        assert!(!about.says.ends_with('.') && about.says.len() < 120, "{}", about.says);
        assert!(about.because.contains('/') || about.because.contains(".rst"), "{}: where is that to be read?", about.name);
        assert_eq!(rules::named(about.name).map(|found| found.says), Some(about.says));
    }
}
