//! What is generated is minimal, all there is, and what was known before.

use super::{
    Flag::{Done, Told},
    Options, Program, Signature,
    Step::{self, Add, Look, Migrate, Read, Remap, Tell, Write},
    Suite,
    Virt::{X, Y},
    generate, judge,
};
use crate::{
    check::{Agreement, Limits, agreement, explore},
    compile,
    lang::Sources,
};
use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Small enough for a test, and large enough for most shapes.
const ACCESSES: usize = 3;

fn suite(accesses: usize, workers: usize, minimal: bool) -> Suite {
    generate(&Options { accesses, workers, minimal }, &|_| ControlFlow::Continue(())).expect("nobody interrupts")
}

static SUITE: LazyLock<Suite> = LazyLock::new(|| suite(ACCESSES, 2, true));

fn program(operator: &[Step], guests: &[&[Step]], third: &[Step]) -> Program {
    Program { operator: operator.to_vec(), guests: guests.iter().map(|steps| steps.to_vec()).collect(), third: third.to_vec() }
}

fn caught(program: &Program) -> Signature {
    judge::all_finals(program).expect("it can be explored").catches()
}

#[test]
fn programs_that_differ_in_names_alone_are_one() {
    let all = Program::all(ACCESSES);
    for program in &all {
        assert!(program.guests.is_sorted(), "{program:?}");
        assert_eq!(program.operator.first().and_then(|step| step.operates_on()), Some(X), "{program:?}");
        let mut swapped = program.clone();
        swapped.guests.reverse();
        assert!(swapped == *program || !all.contains(&swapped), "{program:?}");
    }
    // What is left of two operations is on `x`, whatever it was on.
    let both = program(&[Remap(X), Migrate(Y)], &[&[Write(X)], &[Write(Y)]], &[]);
    let weaker = [program(&[Remap(X)], &[&[Write(X)]], &[]), program(&[Migrate(X)], &[&[Write(X)]], &[])];
    assert_eq!(both.weakened(), BTreeSet::from(weaker));
}

#[test]
fn whatever_is_weaker_is_a_program_too_and_is_looked_at_before() {
    let all = Program::all(ACCESSES);
    for program in &all {
        for weaker in program.weakened() {
            assert!(all.contains(&weaker) && weaker.weight() < program.weight(), "{weaker:?} of {program:?}");
        }
    }
}

#[test]
fn what_nobody_needs_goes_with_what_needed_it() {
    let told = program(&[Remap(X), Tell(Done)], &[&[Look(Told), Add(X), Look(Done), Read(X)]], &[Write(X), Tell(Told)]);
    let add_is_a_write =
        program(&[Remap(X), Tell(Done)], &[&[Look(Told), Write(X), Look(Done), Read(X)]], &[Write(X), Tell(Told)]);
    let not_done = program(&[Remap(X)], &[&[Look(Told), Add(X), Read(X)]], &[Write(X), Tell(Told)]);
    let not_told = program(&[Remap(X), Tell(Done)], &[&[Add(X), Look(Done), Read(X)]], &[Write(X)]);
    let no_third = program(&[Remap(X), Tell(Done)], &[&[Add(X), Look(Done), Read(X)]], &[]);
    let weaker = told.weakened();
    for program in [add_is_a_write, not_done, not_told, no_third] {
        assert!(weaker.contains(&program), "{program:?} is not in {weaker:#?}");
    }
}

/// Not by what the generator remembers, but by exploring everything that is weaker, down to nothing.
#[test]
fn nothing_can_be_taken_away() {
    for test in &SUITE.tests {
        assert_eq!(caught(&test.program), test.catches, "{}", test.name);
        let mut open: Vec<Program> = test.program.weakened().into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(weaker) = open.pop() {
            if seen.insert(weaker.clone()) {
                assert!(!caught(&weaker).covers(test.catches), "{}: {weaker:?} is enough", test.name);
                open.extend(weaker.weakened());
            }
        }
    }
}

/// And nothing is missing: whatever catches an ordering has a test in it that catches as much.
#[test]
fn whatever_catches_an_ordering_contains_a_test() {
    fn contained(program: &Program, tests: &[&Program]) -> bool {
        tests.contains(&program) || program.weakened().iter().any(|weaker| contained(weaker, tests))
    }
    let all = suite(ACCESSES - 1, 2, false);
    assert_eq!(all.explored, all.programs);
    for test in &all.tests {
        assert!(!test.catches.catches("inside_lock"), "{}", test.name);
        let enough: Vec<&Program> =
            SUITE.tests.iter().filter(|known| known.catches.covers(test.catches)).map(|known| &known.program).collect();
        assert!(contained(&test.program, &enough), "{}", test.name);
    }
    let minimal = suite(ACCESSES - 1, 1, true);
    assert!(minimal.tests.len() < all.tests.len() && minimal.tests.iter().all(|test| all.tests.contains(test)));
}

#[test]
fn every_number_of_workers_comes_to_the_same() {
    assert_eq!(suite(ACCESSES, 1, true), *SUITE);
}

#[test]
fn classics_are_found_again() {
    let names: BTreeSet<&str> = SUITE.tests.iter().map(|test| &*test.name).collect();
    // migrate-1, coherence-2, -3 and -5, of which `done` and the first access are the essence.
    for classic in ["lost-migrate-gw", "return-remap-gwdw", "return-remap-grdr", "return-remap-gw-gdw", "coherence-remap-gr-grr"]
    {
        assert!(names.contains(classic), "{classic} is not in {names:#?}");
    }
    // Larger ones, of which all that is weaker catches nothing: third-thread-1 and -2, message passing, and what is read by a guest
    // that was told.
    let classics = [
        program(&[Remap(X)], &[&[Look(Told), Write(X)]], &[Write(X), Tell(Told)]),
        program(&[Remap(X)], &[&[Look(Told), Read(X)]], &[Read(X), Tell(Told)]),
        program(&[Migrate(X)], &[&[Look(Told), Read(X)]], &[Write(X), Tell(Told)]),
    ];
    for classic in classics {
        assert_eq!(caught(&classic).orderings().collect::<Vec<_>>(), ["after_unlock"], "{classic:?}");
        assert!(Program::all(4).contains(&classic) && classic.weakened().iter().all(|weaker| caught(weaker).is_empty()));
    }
}

#[test]
fn texts_have_their_layout_and_do_what_they_expect() {
    let names: BTreeSet<&str> = SUITE.tests.iter().map(|test| &*test.name).collect();
    assert_eq!(names.len(), SUITE.tests.len(), "names are used once");
    for test in &SUITE.tests {
        let sources = Sources::new(test.name.clone(), test.text.clone());
        assert_eq!(crate::lang::format(&sources, 0).as_ref(), Ok(&test.text), "{}", test.name);
        let program = compile::Program::read(sources).expect("it can be read");
        for case in program.cases(None) {
            let model = program.compile(&case.variant, case.memory).expect("it compiles");
            let limits = Limits { max_states: 1 << 22, max_bytes: 1 << 30, workers: 1 };
            let outcome = explore(&model, &limits, &|_| ControlFlow::Continue(())).expect("it is small");
            assert_eq!(agreement(&case, &model, &outcome), Agreement::Agrees, "{} {}", test.name, case.variant);
        }
    }
}

#[test]
fn whoever_has_had_enough_gets_nothing() {
    let asked = AtomicUsize::new(0);
    let enough = |_| {
        asked.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Break(())
    };
    let interrupted = generate(&Options { accesses: ACCESSES, workers: 1, minimal: true }, &enough);
    assert!(matches!(interrupted, Err(super::GenerateError::Interrupted)) && asked.into_inner() == 1);
}
