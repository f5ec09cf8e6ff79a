//! The explorer's verdicts and counts, with models built by hand.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::ops::ControlFlow;

use nostale_notifier::check::{Bound, Cause, Limits, Outcome, Verdict, Walks, explore, walk};
use nostale_notifier::compile::{DEFAULT, MemoryModel, Program};
use nostale_notifier::lang::Sources;
use nostale_notifier::model::*;

mod support;

use support::*;

fn limits(workers: usize) -> Limits {
    Limits { max_states: u64::MAX, max_bytes: u64::MAX, workers }
}

fn run_with(model: &Model, limits: &Limits) -> Outcome {
    explore(model, limits, &|_| ControlFlow::Continue(())).unwrap()
}

/// Explores with one, two and four workers, which have to agree on everything.
fn run(model: &Model) -> Outcome {
    let outcome = run_with(model, &limits(1));
    for workers in [2, 4] {
        assert_eq!(told(&outcome), told(&run_with(model, &limits(workers))), "{workers} workers");
    }
    outcome
}

/// Everything but the time.
fn told(outcome: &Outcome) -> String {
    format!("{:?}", Outcome { elapsed: std::time::Duration::ZERO, ..outcome.clone() })
}

/// The steps of the trace.
fn steps(outcome: &Outcome) -> Vec<u32> {
    outcome.violation.as_ref().unwrap().trace.iter().map(|(step, _)| step.0).collect()
}

/// The last state of the trace.
fn last(outcome: &Outcome) -> &[i32] {
    let violation = outcome.violation.as_ref().unwrap();
    &violation.trace.last().map_or(&violation.first, |(_, state)| state).0
}

/// Threads that take a number of steps each and do nothing: every combination of program counters is a state.
fn grid(threads: u32, steps: i32) -> Model {
    let mut b = Build::new("grid");
    for thread in 0..threads {
        let t = b.thread(&format!("t{thread}"), steps);
        (0..steps).for_each(|pc| b.step(t, pc, pc + 1, c(1), vec![]));
    }
    b.model
}

/// Two threads that read a number and write it back, one more.
fn counters() -> Model {
    let mut b = Build::new("counters");
    let n = b.scalar("n", 2);
    for name in ["a", "b"] {
        let r = b.scalar(&format!("{name}.r"), 2);
        let t = b.thread(name, 2);
        b.step(t, 0, 1, c(1), vec![set(&r, read(&n))]);
        b.step(t, 1, 2, c(1), vec![set(&n, add(read(&r), c(1))), set(&r, c(0))]);
    }
    b.property(Ask::Finally, "finally n == 2", eq(read(&n), c(2)));
    b.model
}

#[test]
fn a_grid_has_every_combination_as_a_state() {
    let outcome = run(&grid(3, 4));
    assert_eq!((outcome.verdict, outcome.states, outcome.transitions, outcome.depth), (Verdict::Holds, 125, 301, 12));
    assert_eq!((outcome.state_bits, outcome.bound, outcome.violation.is_none()), (9, None, true));
}

#[test]
fn tables_grow_and_states_of_every_width_are_kept() {
    for words in 1..=16 {
        let mut model = grid(4, 15);
        let wide = Domain { lo: i32::MIN, hi: i32::MAX, show: Show::Number };
        let elements = (0..2 * (words - 1)).map(|index| Element { name: format!("x{index}"), init: index - 3 }).collect();
        if words > 1 {
            model.vars.push(Var { name: "x".into(), role: Role::Shared, domain: wide, elements });
        }
        let outcome = run(&model);
        assert_eq!(
            (outcome.verdict, outcome.states, outcome.transitions),
            (Verdict::Holds, 65536, 1 + 4 * 15 * 4096),
            "{words} words"
        );
        assert_eq!(outcome.state_bits, 16 + 64 * (words as u32 - 1));
    }
}

/// Levels of up to 6000 states, so that several workers take part.
#[test]
fn several_workers_find_the_same() {
    let mut model = grid(5, 9);
    model.forbid_livelock = true;
    // Nothing comes of it, but it keeps the search for a livelock from being left out.
    let idle = Step { thread: ThreadId(0), from: None, guard: c(0), actions: vec![], text: String::new(), at: nowhere() };
    model.steps.push(idle);
    let outcome = run(&model);
    assert_eq!((outcome.verdict, outcome.states, outcome.transitions), (Verdict::Holds, 100_000, 1 + 5 * 9 * 10_000));
    let is = |thread: u32, value: i32| eq(read(&place(VarId(thread))), c(value));
    let bad = and(and(is(0, 9), is(1, 9)), is(2, 7));
    model.properties.push(Property { ask: Ask::Always, condition: not(bad), text: String::new(), message: None, at: nowhere() });
    let outcome = run(&model);
    assert_eq!((outcome.verdict, outcome.depth), (Verdict::Fails, 25));
    let expected: Vec<u32> = (0..9).chain(9..18).chain(18..25).collect();
    assert_eq!(steps(&outcome), expected, "one thread after the other");
}

#[test]
fn a_lost_update_is_found_with_the_fewest_changes_of_thread() {
    let outcome = run(&counters());
    assert_eq!(outcome.verdict, Verdict::Fails);
    assert_eq!(outcome.violation.as_ref().unwrap().what, Cause::Property(PropertyId(0)));
    // Either reads, the other does all of its work, and the first goes on: two changes, and the first thread first.
    assert_eq!(steps(&outcome), [0, 2, 3, 1]);
    assert_eq!(outcome.depth, 4);
    assert_eq!(last(&outcome)[0], 1);
}

#[test]
fn locks_in_opposite_order_are_a_deadlock() {
    let mut b = Build::new("abba");
    let locks = [b.scalar("l", 1), b.scalar("m", 1)];
    for (name, order) in [("a", [0, 1]), ("b", [1, 0])] {
        let t = b.thread(name, 4);
        for (pc, lock) in (0..).zip(order) {
            b.step(t, pc, pc + 1, eq(read(&locks[lock]), c(0)), vec![set(&locks[lock], c(1))]);
        }
        for (pc, lock) in (2..).zip(order) {
            b.step(t, pc, pc + 1, c(1), vec![set(&locks[lock], c(0))]);
        }
    }
    let outcome = run(&b.model);
    assert_eq!((outcome.verdict, steps(&outcome)), (Verdict::Deadlock, vec![0, 4]));
    assert_eq!(outcome.violation.unwrap().what, Cause::Deadlock);
    b.model.forbid_deadlock = false;
    b.model.forbid_livelock = true;
    assert_eq!(run(&b.model).verdict, Verdict::Holds, "a state in which nothing can run is an end, if that is allowed");
}

#[test]
fn retrying_for_ever_is_a_livelock_and_its_round_is_shown() {
    let mut b = Build::new("spin");
    let x = b.scalar("x", 1);
    let (a, other) = (b.thread("a", 2), b.thread("b", 1));
    b.step(a, 0, 2, eq(read(&x), c(0)), vec![]);
    b.step(a, 0, 1, eq(read(&x), c(1)), vec![]);
    b.step(a, 1, 0, c(1), vec![]);
    b.step(other, 0, 1, c(1), vec![set(&x, c(1))]);
    assert_eq!(run(&b.model).verdict, Verdict::Holds, "nobody asked");
    b.model.forbid_livelock = true;
    let outcome = run(&b.model);
    assert_eq!((outcome.verdict, steps(&outcome)), (Verdict::Livelock, vec![3]));
    let (begins, round) = outcome.violation.unwrap().round.unwrap();
    assert_eq!((begins, round.iter().map(|(step, _)| step.0).collect::<Vec<_>>()), (0, vec![1, 2]));
    // Somebody who can always set it back makes the end reachable again.
    b.raw(other, None, eq(read(&x), c(1)), vec![set(&x, c(0))]);
    assert_eq!(run(&b.model).verdict, Verdict::Holds);
}

#[test]
fn a_way_into_a_round_comes_before_it() {
    let mut b = Build::new("lead in");
    b.model.forbid_livelock = true;
    let t = b.thread("t", 5);
    for (from, to) in [(0, 5), (0, 1), (1, 2), (2, 3), (3, 2)] {
        b.step(t, from, to, c(1), vec![]);
    }
    let outcome = run(&b.model);
    assert_eq!((outcome.verdict, steps(&outcome)), (Verdict::Livelock, vec![1]));
    let (begins, round) = outcome.violation.unwrap().round.unwrap();
    assert_eq!((begins, round.iter().map(|(step, _)| step.0).collect::<Vec<_>>()), (1, vec![2, 3, 4]));
}

#[test]
fn what_never_happens_makes_a_sometimes_fail() {
    let mut model = counters();
    model.properties.clear();
    let n = || Expr::Read(place(VarId(0)));
    let ask = |condition: Expr| Property { ask: Ask::Sometimes, condition, text: String::new(), message: None, at: nowhere() };
    model.properties = vec![ask(eq(n(), c(0))), ask(eq(n(), c(2)))];
    assert_eq!(run(&model).verdict, Verdict::Holds);
    model.properties.push(ask(and(eq(n(), c(2)), eq(Expr::Read(place(VarId(1))), c(2)))));
    let outcome = run(&model);
    assert_eq!((outcome.verdict, steps(&outcome)), (Verdict::Fails, vec![]));
    assert_eq!(outcome.violation.unwrap().what, Cause::Property(PropertyId(2)));
}

#[test]
fn a_failing_step_is_the_last_of_its_trace() {
    let mut b = Build::new("assert");
    let x = b.scalar("x", 3);
    let (a, other) = (b.thread("a", 2), b.thread("b", 3));
    let fail = Action::Fail { when: ne(read(&x), c(0)), why: "x is not 0".into(), at: nowhere() };
    b.step(a, 0, 1, c(1), vec![]);
    b.step(a, 1, 2, c(1), vec![set(&x, c(3)), set(&x, c(0)), fail.clone()]);
    b.step(other, 0, 1, c(1), vec![]);
    assert_eq!(run(&b.model).verdict, Verdict::Deadlock);
    b.step(other, 1, 2, c(1), vec![set(&x, c(1)), Action::If(read(&x), vec![fail], vec![])]);
    let outcome = run(&b.model);
    assert_eq!((outcome.verdict, steps(&outcome)), (Verdict::Fails, vec![2, 3]));
    assert!(matches!(&outcome.violation.as_ref().unwrap().what, Cause::Step { why, .. } if why == "x is not 0"));
    assert_eq!(last(&outcome), [0, 0, 1], "the state before the step");
}

#[test]
fn the_first_state_can_be_the_bad_one() {
    let mut model = grid(2, 2);
    model.properties.push(Property { ask: Ask::Always, condition: c(0), text: String::new(), message: None, at: nowhere() });
    let outcome = run(&model);
    assert_eq!((outcome.verdict, outcome.states, outcome.transitions, outcome.depth), (Verdict::Fails, 1, 1, 0));
    assert_eq!(steps(&outcome), [0u32; 0]);
}

#[test]
fn limits_count_only_what_was_completed() {
    let model = grid(5, 9);
    let outcome = run_with(&model, &Limits { max_states: 100_000, ..limits(2) });
    assert_eq!((outcome.verdict, outcome.bound), (Verdict::Holds, None));
    let told: Vec<_> = [1, 2, 4]
        .map(|workers| run_with(&model, &Limits { max_states: 60_000, ..limits(workers) }))
        .iter()
        .map(|o| (o.verdict, o.bound, o.states, o.transitions, o.depth))
        .collect();
    // The levels of the grid up to depth 23, and the steps from all of them but the last.
    assert_eq!(told[0], (Verdict::Bounded, Some(Bound::States), 56_000, 238_801, 23));
    assert!(told.iter().all(|each| *each == told[0]), "{told:?}");
    let outcome = run_with(&model, &Limits { max_bytes: 300_000, ..limits(2) });
    assert_eq!((outcome.verdict, outcome.bound), (Verdict::Bounded, Some(Bound::Bytes)));
    assert!(outcome.peak_bytes <= 300_000 && outcome.states > 5000, "{outcome:?}");
    let outcome = run_with(&model, &Limits { max_states: 0, ..limits(1) });
    assert_eq!((outcome.verdict, outcome.states), (Verdict::Bounded, 1));
}

#[test]
fn whoever_waits_can_interrupt() {
    let calls = std::cell::Cell::new(0);
    let enough = |progress: nostale_notifier::check::Progress| {
        calls.set(calls.get() + 1);
        assert!(progress.states > 0);
        ControlFlow::Break(())
    };
    let outcome = explore(&grid(9, 9), &limits(2), &enough).unwrap();
    assert_eq!((outcome.verdict, outcome.bound, calls.get()), (Verdict::Bounded, Some(Bound::Interrupted), 1));
}

#[test]
fn too_wide_a_state_is_refused_with_the_widest_variables() {
    let mut model = grid(1, 1);
    let wide = Domain { lo: i32::MIN, hi: i32::MAX, show: Show::Number };
    let elements = (0..40).map(|index| Element { name: format!("x{index}"), init: 0 }).collect();
    model.vars.push(Var { name: "x".into(), role: Role::Shared, domain: wide, elements });
    let error = explore(&model, &limits(1), &|_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!((error.bits, error.max, error.widest[0].clone()), (1281, 1024, ("x".into(), 1280)));
    assert!(error.to_string().contains("x (1280)"), "{error}");
}

#[test]
fn values_are_those_of_the_model() {
    use BinOp::*;
    let top = i32::MAX;
    let cases = [
        (Add, top, 1, i32::MIN),
        (Sub, i32::MIN, 1, top),
        (Mul, 1 << 30, 4, 0),
        (Div, 7, 0, 0),
        (Div, -7, 2, -3),
        (Div, i32::MIN, -1, i32::MIN),
        (Mod, 7, 0, 0),
        (Mod, -7, 3, 2),
        (Lt, -1, 0, 1),
        (Ge, -1, 0, 0),
        (And, 2, 4, 1),
        (Or, 0, -1, 1),
    ];
    for (op, left, right, expected) in cases {
        // Once from variables and once from constants.
        for constant in [false, true] {
            let mut b = Build::new("values");
            let full = (i32::MIN, i32::MAX);
            let mut var = |name: &str, init: i32| place(b.var(name, Role::Shared, full, &[init]));
            let (x, y, z) = (var("x", left), var("y", right), var("z", 0));
            let t = b.thread("t", 1);
            let value = if constant { bin(op, c(left), c(right)) } else { bin(op, read(&x), read(&y)) };
            b.step(t, 0, 1, c(1), vec![set(&z, value)]);
            b.property(Ask::Finally, "", eq(read(&z), c(expected)));
            assert_eq!(run(&b.model).verdict, Verdict::Holds, "{left} {op:?} {right} is {expected}");
        }
    }
}

#[test]
fn an_index_outside_reads_the_first_and_writes_nothing() {
    for index in [-1, 3, i32::MAX, i32::MIN] {
        for constant in [false, true] {
            let mut b = Build::new("outside");
            let a = b.array("a", 9, &[4, 5, 6]);
            let i = place(b.var("i", Role::Shared, (i32::MIN, i32::MAX), &[index]));
            let x = b.scalar("x", 9);
            let t = b.thread("t", 1);
            let it = at(a, if constant { c(index) } else { read(&i) });
            b.step(t, 0, 1, c(1), vec![set(&x, read(&it)), set(&it, c(9))]);
            let same = and(eq(read(&item(a, 0)), c(4)), and(eq(read(&item(a, 1)), c(5)), eq(read(&item(a, 2)), c(6))));
            b.property(Ask::Finally, "", and(eq(read(&x), c(4)), same));
            assert_eq!(run(&b.model).verdict, Verdict::Holds, "{index}");
        }
    }
}

#[test]
fn random_walks_find_what_is_there_and_prove_nothing() {
    let walks = Walks { seed: 7, walks: 100, max_steps: 50 };
    let go = |model: &Model| walk(model, &walks, &|_| ControlFlow::Continue(())).unwrap();
    let outcome = go(&counters());
    assert_eq!(outcome.verdict, Verdict::Fails);
    assert_eq!((steps(&outcome).len(), last(&outcome)[0]), (4, 1));
    assert_eq!(told(&outcome), told(&go(&counters())), "the same seed, the same walk");
    let outcome = go(&grid(3, 4));
    assert_eq!((outcome.verdict, outcome.bound, outcome.depth), (Verdict::Bounded, Some(Bound::Walks), 12));
}

/// The protocol by which checkers are compared (`scripts/bench-checker`), compiled.
fn reference(text: &str) -> Model {
    let program = Program::read(Sources::new("reference.nst", text)).expect("a model");
    program.compile(DEFAULT, MemoryModel::Sc).expect("compiles")
}

#[test]
fn the_broken_reference_fails_in_sixteen_steps() {
    let outcome = run(&reference(include_str!("../../tests/bench/reference-broken.nst")));
    assert_eq!(outcome.verdict, Verdict::Fails);
    assert_eq!(steps(&outcome).len(), 16);
}

/// Four independent tools agree on these numbers.
#[test]
#[cfg_attr(debug_assertions, ignore = "half a minute without optimisation; run with --release")]
fn the_reference_has_exactly_its_states_and_steps() {
    let outcome = run(&reference(include_str!("../../tests/bench/reference.nst")));
    assert_eq!((outcome.verdict, outcome.states, outcome.transitions), (Verdict::Holds, 9_029_564, 27_264_876));
    assert!(outcome.peak_bytes / outcome.states <= 40);
}
