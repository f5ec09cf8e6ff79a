//! Every example of the language reference is a whole model that does what it expects.

use nostale_notifier::{
    check::{Agreement, Limits, Verdict, agreement, explore},
    compile::Program,
    lang::Sources,
};
use std::ops::ControlFlow;

const REFERENCE: &str = include_str!("../LANGUAGE.md");

/// The first model that a new user meets.
const README: &str = include_str!("../../README.md");

/// The examples, each with the line on which it begins.
fn examples(text: &'static str) -> Vec<(usize, &'static str)> {
    let mut rest = text;
    let mut examples = Vec::new();
    while let Some((_, after)) = rest.split_once("```nst\n") {
        let (example, behind) = after.split_once("```").expect("a block that ends");
        let line = text[..text.len() - after.len()].lines().count() + 1;
        examples.push((line, example));
        rest = behind;
    }
    examples
}

#[test]
fn every_example_does_what_it_expects() {
    let examples = examples(REFERENCE);
    assert!(examples.len() >= 12, "only {} examples found", examples.len());
    for (line, example) in examples {
        let program = Program::read(Sources::new(format!("LANGUAGE.md, from line {line}"), example))
            .unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
        let cases = program.cases(None);
        assert!(example.contains("expect "), "line {line}: an example without an expectation shows nothing");
        for case in cases {
            let model = program.compile(&case.variant, case.memory).unwrap_or_else(|error| panic!("line {line}: {error}"));
            let limits = Limits { max_states: 100_000, max_bytes: 1 << 30, workers: 1 };
            let outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("small enough");
            let agreement = agreement(&case, &model, &outcome);
            assert_eq!(agreement, Agreement::Agrees, "line {line}, {case:?}: {:?}, {:?}", outcome.verdict, outcome.violation);
        }
    }
}

#[test]
fn the_first_model_of_the_readme_fails_where_it_says() {
    let [(_, example)] = examples(README)[..] else { panic!("one model is in the README") };
    let program =
        Program::read(Sources::new("README.md", example)).unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
    let limits = Limits { max_states: 100_000, max_bytes: 1 << 30, workers: 1 };
    for case in program.cases(None) {
        let model = program.compile(&case.variant, case.memory).expect("was read");
        let outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("small enough");
        let steps = outcome.violation.map(|violation| violation.trace.len());
        let expected = if case.variant == "after_unlock" { (Verdict::Fails, Some(11)) } else { (Verdict::Holds, None) };
        assert_eq!((outcome.verdict, steps), expected, "{case:?}");
    }
}
