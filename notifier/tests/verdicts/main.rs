//! Small models whose verdicts are known by hand: what once came out wrong, and must not again.

use nostale_notifier::{
    check::{Agreement, Limits, agreement, explore},
    compile::Program,
    lang::Sources,
};
use std::{fs, ops::ControlFlow, path::Path};

#[test]
fn every_model_comes_out_as_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verdicts");
    let mut checked = 0;
    for entry in fs::read_dir(directory).expect("exists") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "nst") {
            continue;
        }
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let sources = Sources::new(name.clone(), fs::read_to_string(&path).expect("readable"));
        let program = Program::read(sources).unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
        for case in program.cases(None) {
            let model = program.compile(&case.variant, case.memory).unwrap_or_else(|error| panic!("{name}: {error}"));
            let limits = Limits { max_states: 1_000_000, max_bytes: 1 << 30, workers: 1 };
            let outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("small enough");
            let agreement = agreement(&case, &model, &outcome);
            assert_eq!(agreement, Agreement::Agrees, "{name}, {case:?}: {:?}, {:?}", outcome.verdict, outcome.violation);
            checked += 1;
        }
    }
    assert!(checked >= 18, "only {checked} cases");
}

/// A limit that falls into the very level in which something is wrong: how much of the level was seen by then is chance, what is
/// said is not.
#[test]
fn a_limit_gives_the_same_answer_every_time() {
    let text = "model \"wide\"\nvar a, b, c: 0..40\nthread x { repeat 40 { a++ } }\nthread y { repeat 40 { b++ } }\n\
                thread z { repeat 40 { c++ } }\nnever a == 20 && b == 20 && c == 20";
    let program = Program::read(Sources::new("wide.nst", text)).expect("a model");
    let model = program.compile("default", nostale_notifier::compile::MemoryModel::Sc).expect("compiles");
    let run = |max_states, workers| {
        let limits = Limits { max_states, max_bytes: 1 << 30, workers };
        explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("small enough")
    };
    let whole = run(u64::MAX, 1);
    assert_eq!(whole.depth, 60);
    for below in [1, 300, 600, 900, 1200] {
        let answers = [1, 2, 4, 2, 4].map(|workers| {
            let outcome = run(whole.states - below, workers);
            (outcome.verdict, outcome.states, outcome.transitions, outcome.depth)
        });
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{below}: {answers:?}");
    }
}
