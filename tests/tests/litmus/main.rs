//! The suite of litmus tests: every test comes to the final states that it always came to, and real threads come to no others.

use nostale_notifier::{
    check::{Agreement, Limits, agreement, explore},
    compile::{Case, MemoryModel, Program},
    lang::{Sources, ast::Expected},
    litmus::{Allowed, Outcome, Until, allowed, generate, observed, soft},
    model::Model,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

/// Instances of each ordering that real threads run here; `nostale litmus` is for more.
const INSTANCES: u64 = 100_000;

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("litmus")
}

/// Every test, by name.
fn tests() -> Vec<(String, Program)> {
    let mut tests = Vec::new();
    for entry in fs::read_dir(suite()).expect("tests/litmus exists") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "nst") {
            let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
            let sources = Sources::from_bytes(name.clone(), &fs::read(&path).expect("readable"));
            let program = Program::read(sources).unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
            tests.push((name, program));
        }
    }
    tests.sort_by(|a, b| a.0.cmp(&b.0));
    tests
}

/// Every test under every ordering, compiled.
fn cases() -> Vec<(String, Case, Model)> {
    let mut cases = Vec::new();
    for (name, program) in tests() {
        for case in program.cases(Some(MemoryModel::Sc)) {
            let model = program.compile(&case.variant, case.memory).expect("compiles");
            cases.push((name.clone(), case, model));
        }
    }
    cases
}

fn outcomes(model: &Model) -> Allowed {
    let all = allowed(model, 1 << 22, &|_| ControlFlow::Continue(())).expect("fits into a packed state");
    assert_eq!(all.bound, None, "{} of {} is small enough for a test", model.variant, model.name);
    all
}

/// `outcomes.txt` pins the final states under each ordering, with `!` before those that violate a property. `UPDATE_SNAPSHOTS=1`
/// writes it anew, for the review of the difference.
#[test]
fn every_ordering_allows_what_it_always_allowed() {
    let mut table = String::from("# test ordering: final states; those with a ! violate a property\n");
    for (name, case, model) in cases() {
        let columns = observed(&model);
        writeln!(table, "{name} {}:", case.variant).expect("memory");
        for (outcome, known) in outcomes(&model).outcomes {
            let mark = if known.violates.is_some() { '!' } else { ' ' };
            writeln!(table, "  {mark} {}", outcome.shown(&columns)).expect("memory");
        }
    }
    let pinned = suite().join("outcomes.txt");
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&pinned, &table).expect("writable");
    }
    let known = fs::read_to_string(&pinned).expect("tests/litmus/outcomes.txt");
    for (now, then) in table.lines().zip(known.lines()) {
        assert_eq!(now, then, "outcomes have changed; if that is meant: UPDATE_SNAPSHOTS=1");
    }
    assert_eq!(table.lines().count(), known.lines().count(), "tests have come or gone; if that is meant: UPDATE_SNAPSHOTS=1");
}

#[test]
fn every_ordering_does_what_its_test_expects() {
    let mut differs = String::new();
    for (name, case, model) in cases() {
        let limits = Limits { max_states: 5_000_000, max_bytes: 1 << 30, workers: 1 };
        let outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("fits into a packed state");
        if agreement(&case, &model, &outcome) != Agreement::Agrees {
            let what = outcome.violation.as_ref().map(|violation| &violation.what);
            writeln!(differs, "{name}: {case:?}, but {:?} ({what:?})", outcome.verdict).expect("memory");
        }
    }
    assert!(differs.is_empty(), "not as expected:\n{differs}");
}

/// Whether what is wrong with an ordering can be seen when all is over is what makes a litmus test of a model.
#[test]
fn an_ordering_fails_where_a_final_state_is_bad_and_nowhere_else() {
    for (name, case, model) in cases() {
        let bad = outcomes(&model).outcomes.values().any(|known| known.violates.is_some());
        assert_eq!(bad, case.expected != Expected::Holds, "{name} {}: expected to be: {:?}", case.variant, case.expected);
    }
}

#[test]
fn real_threads_come_to_no_other_states() {
    let (mut all, mut missing) = (0, Vec::new());
    for (name, case, model) in cases() {
        let columns = observed(&model);
        let known = outcomes(&model);
        let test = soft::Soft::new(&model).unwrap_or_else(|why| panic!("{name} {}: {why}", case.variant));
        let options = soft::Options { until: Until::Instances(INSTANCES), seed: 17, workers: 2 };
        let seen = test.run(&options, &AtomicBool::new(false));
        for outcome in seen.tally.keys() {
            assert!(known.outcomes.contains_key(outcome), "{name} {}: not allowed: {}", case.variant, outcome.shown(&columns));
        }
        all += known.outcomes.len();
        let never = known.outcomes.keys().filter(|outcome| !seen.tally.contains_key(*outcome));
        missing.extend(never.map(|outcome| format!("{name} {}: {}", case.variant, outcome.shown(&columns))));
    }
    assert!(missing.len() * 50 < all, "{} of {all} states were never seen: {missing:#?}", missing.len());
}

/// `generated-NN-NAME.nst` is the test of that name as `nostale litmus --generate` writes it.
#[test]
fn generated_tests_are_what_is_generated() {
    let options = generate::Options { accesses: 4, workers: 2, minimal: true };
    let all = generate::generate(&options, &|_| ControlFlow::Continue(())).expect("nobody interrupts");
    let mut count = 0;
    for entry in fs::read_dir(suite()).expect("tests/litmus exists") {
        let path = entry.expect("readable").path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let Some((_, name)) = stem.strip_prefix("generated-").and_then(|numbered| numbered.split_once('-')) else { continue };
        let test = all.tests.iter().find(|test| test.name == name).unwrap_or_else(|| panic!("{name} is not generated any more"));
        assert_eq!(fs::read_to_string(&path).expect("readable"), test.text, "{stem} has changed");
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

/// The orderings of 2008 are those that the suite is about.
#[test]
fn most_tests_tell_the_orderings_apart() {
    let mut by_test: BTreeMap<String, BTreeMap<String, BTreeSet<Outcome>>> = BTreeMap::new();
    for (name, case, model) in cases() {
        by_test.entry(name).or_default().insert(case.variant, outcomes(&model).outcomes.into_keys().collect());
    }
    let told = by_test.values().filter(|orderings| orderings.values().collect::<BTreeSet<_>>().len() > 1).count();
    assert!(told * 3 >= by_test.len() * 2, "{told} of {}", by_test.len());
}
