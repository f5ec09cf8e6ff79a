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

#[test]
fn however_many_entries_go_their_flush_and_their_end_are_in_the_order() {
    let mut text =
        String::from("rule flushed\nmmu tdp\nprobes\nslot 0x100 0x1000 0x7f0000000000\n10 0 11 fault address=0x100000\n");
    let page = |n: u64| format!("gfn={:#x}", 0x100 + n);
    (0..100).for_each(|n| text += &format!("{} 0 11 changed {} old=0 new={:#x}c67 level=1\n", 20 + n, page(n), 0x1000 + n));
    text += "200 1 47 enter munmap 0x7f0000000000 0x64000\n201 1 47 range_start start=0x7f0000000000 end=0x7f0000064000\n";
    text += "202 1 47 unmap start=0x7f0000000000 end=0x7f0000064000\n";
    (0..100).for_each(|n| text += &format!("{} 1 47 changed {} old={:#x}c67 new=0 level=1\n", 210 + n, page(n), 0x1000 + n));
    text += "400 1 47 flush\n410 1 47 range_end start=0x7f0000000000 end=0x7f0000064000\n420 1 47 exit munmap ret=0\n";
    let profile = profile(&Stream::parse(&text, '-').expect("parses"));
    let [munmap] = &profile.operations[..] else { panic!("{:#?}", profile.operations) };
    let names: Vec<_> = munmap.signatures[0].order.iter().map(|stage| stage.name()).collect();
    assert_eq!(names, ["enter", "start", "zap", "kvm-flush", "end", "return"]);
}
