//! The corpus of historic races: every file does what it expects of itself, and in as many states as ever.

use nostale_notifier::{
    check::{Agreement, Limits, Outcome, agreement, explore},
    compile::{Case, Program},
    lang::{Sources, ast::Expected},
    model::Model,
};
use std::{
    collections::BTreeSet,
    env,
    fmt::Write,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// Fewer entries than this would be a part of the corpus only.
const ENTRIES: usize = 25;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Every model file, by name.
fn files() -> Vec<(String, Program)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(corpus()).expect("tests/corpus exists") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "nst") {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let sources = Sources::from_bytes(name.clone(), &fs::read(&path).expect("readable"));
            let program = Program::read(sources).unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
            files.push((name, program));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn outcome(program: &Program, case: &Case, workers: usize) -> (Model, Outcome) {
    let model = program.compile(&case.variant, case.memory).expect("compiles under every memory model that it names");
    let limits = Limits { max_states: 5_000_000, max_bytes: 1 << 30, workers };
    let outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("fits into a packed state");
    (model, outcome)
}

/// `counts.txt` pins verdicts, states, transitions and the lengths of counterexamples. `UPDATE_SNAPSHOTS=1` writes it anew, for the
/// review of the difference.
#[test]
fn every_variant_agrees_with_its_file_and_counts_what_it_always_counted() {
    let mut counts = String::from("# file variant memory-model verdict states transitions steps\n");
    let mut differs = String::new();
    for (name, program) in files() {
        for case in program.cases(None) {
            let (model, outcome) = outcome(&program, &case, 1);
            if agreement(&case, &model, &outcome) != Agreement::Agrees {
                let what = outcome.violation.as_ref().map(|violation| &violation.what);
                writeln!(differs, "{name}: {case:?}, but {:?} ({what:?})", outcome.verdict).expect("memory");
            }
            let steps = outcome.violation.as_ref().map_or("-".to_owned(), |violation| violation.trace.len().to_string());
            let (variant, memory) = (&case.variant, case.memory.name());
            let verdict = format!("{:?}", outcome.verdict).to_lowercase();
            writeln!(counts, "{name} {variant} {memory} {verdict} {} {} {steps}", outcome.states, outcome.transitions)
                .expect("memory");
        }
    }
    assert!(differs.is_empty(), "not as expected:\n{differs}");
    let pinned = corpus().join("counts.txt");
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&pinned, &counts).expect("writable");
    }
    let known = fs::read_to_string(&pinned).expect("tests/corpus/counts.txt");
    for (now, then) in counts.lines().zip(known.lines()) {
        assert_eq!(now, then, "counts have changed; if that is meant: UPDATE_SNAPSHOTS=1");
    }
    assert_eq!(counts.lines().count(), known.lines().count(), "variants have come or gone; if that is meant: UPDATE_SNAPSHOTS=1");
}

#[test]
fn the_founding_threads_and_most_of_the_corpus_are_there_each_broken_and_fixed() {
    let files = files();
    let entries: BTreeSet<&str> = files.iter().map(|(name, _)| name.split('-').next().unwrap_or(name)).collect();
    for thread in ["s0", "s1", "s2", "s3", "s4"] {
        assert!(entries.contains(thread), "{thread} is missing");
    }
    let numbered: BTreeSet<&str> =
        entries.iter().filter(|name| name.starts_with(|c: char| c.is_ascii_digit())).map(|name| &name[..2]).collect();
    assert!(numbered.len() >= ENTRIES, "{numbered:?}");
    for (name, program) in &files {
        assert!(program.source.is_some(), "{name} says no source");
        assert!(program.year.is_some_and(|year| (1991..2100).contains(&year)), "{name} says no year");
        let cases = program.cases(None);
        let holds = cases.iter().any(|case| case.expected == Expected::Holds);
        let fails = cases.iter().any(|case| case.expected != Expected::Holds);
        assert!(holds && fails, "{name} needs a broken and a fixed variant");
    }
}

/// A failure of another kind than the race that a file is about must not pass for it.
#[test]
fn every_expected_failure_says_which() {
    for (name, program) in files() {
        for case in program.cases(None) {
            assert!(case.expected != Expected::Fails || case.message.is_some(), "{name}, {}: fails of what?", case.variant);
        }
    }
}

/// The number of workers decides nothing but the time.
#[test]
fn two_workers_say_what_one_says() {
    for (name, program) in files() {
        for case in program.cases(None) {
            let [one, two] = [1, 2].map(|workers| {
                let (_, outcome) = outcome(&program, &case, workers);
                format!("{:?}", (outcome.verdict, outcome.states, outcome.transitions, outcome.depth, outcome.violation))
            });
            assert_eq!(one, two, "{name}, {case:?}");
        }
    }
}
