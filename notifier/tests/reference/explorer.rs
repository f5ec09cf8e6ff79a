//! The explorer against the plain one: the same counts, verdicts and lengths, and a trace that the reference semantics can follow.

use std::ops::ControlFlow;

use nostale_notifier::{
    check::{Cause, Limits, Outcome, Verdict, Violation, explore},
    model::{Model, State, StepId, eval},
};

use crate::{
    ENOUGH, naive,
    naive::{Explored, Wrong},
    random::{Numbers, config, models},
    verdicts,
};

fn outcome(model: &Model, workers: usize) -> Outcome {
    let limits = Limits { max_states: 10_000_000, max_bytes: 4 << 30, workers };
    explore(model, &limits, &|_| ControlFlow::Continue(())).expect("a small model is not too wide")
}

fn compare(model: &Model, seen: &Explored) {
    let outcome = outcome(model, 1);
    assert!(verdicts(seen).contains(&outcome.verdict), "{:?} is none of {:?}", outcome.verdict, verdicts(seen));
    match seen.shortest() {
        None => {
            assert_eq!((outcome.states, outcome.transitions), (seen.states(), seen.transitions));
            assert_eq!(outcome.depth as usize, seen.levels.len() - 1);
        }
        // All levels up to the one in which the violation was found. That a state has no step shows when it is expanded, which
        // gives the next level.
        Some(shortest) => {
            let last = shortest as usize + usize::from(outcome.verdict == Verdict::Deadlock);
            let levels = &seen.levels[..seen.levels.len().min(last + 1)];
            assert_eq!(outcome.states, levels.iter().sum::<u64>(), "of {:?} up to level {shortest}", seen.levels);
        }
    }
    match &outcome.violation {
        None => assert_eq!(outcome.verdict, Verdict::Holds),
        Some(violation) => follow(model, seen, violation),
    }
}

/// Takes the steps of a trace, and looks whether they lead to what they are said to lead to, and no shorter way does.
fn follow(model: &Model, seen: &Explored, violation: &Violation) {
    assert_eq!(violation.first, eval::first(model));
    let mut steps = violation.trace.as_slice();
    let mut failing = None;
    if let Cause::Step { .. } = violation.what {
        let (last, before) = steps.split_last().expect("a step fails");
        (steps, failing) = (before, Some(last.0));
    }
    let last = walk(model, violation.first.clone(), steps);
    let length = u32::try_from(violation.trace.len()).expect("a short trace");
    match &violation.what {
        Cause::Property(property) if seen.missing.contains(property) => assert_eq!(length, 0),
        Cause::Property(property) => {
            assert!(eval::violates(model, &last, &model.properties[property.0 as usize]));
            assert_eq!(Some(&length), seen.wrong.get(&Wrong::Property(property.0)));
        }
        Cause::Step { why, at } => {
            let failing = failing.expect("taken off above");
            assert!(eval::enabled(model, &last).any(|step| step == failing));
            let failure = eval::take(model, &last, failing).expect_err("it fails");
            assert_eq!((failure.why.as_ref(), failure.at), (why.as_str(), *at));
            assert_eq!(Some(&length), seen.wrong.get(&Wrong::Step(why.clone())));
        }
        Cause::Deadlock => {
            assert!(eval::enabled(model, &last).next().is_none() && !eval::finished(model, &last));
            assert_eq!(Some(&length), seen.wrong.get(&Wrong::Deadlock));
        }
        Cause::Livelock => {
            assert_eq!(Some(length), seen.livelock);
            if let Some((begin, round)) = &violation.round {
                let states = [vec![last.clone()], round.iter().map(|(_, state)| state.clone()).collect()].concat();
                assert_eq!(walk(model, last, round), states[*begin], "once around");
            }
        }
    }
}

/// The state that steps lead to, each of which must be possible and lead to the state that is told beside it.
fn walk(model: &Model, mut at: State, steps: &[(StepId, State)]) -> State {
    for (step, told) in steps {
        assert!(eval::enabled(model, &at).any(|enabled| enabled == *step), "{step:?} cannot be taken");
        at = eval::take(model, &at, *step).expect("it does not fail");
        assert_eq!(at, *told);
    }
    at
}

proptest::proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn the_explorer_agrees_with_the_plain_one(model in models(Numbers::Extreme)) {
        if let Some(seen) = naive::explore(&model, ENOUGH) {
            compare(&model, &seen);
        }
    }

    #[test]
    fn two_workers_say_what_one_says(model in models(Numbers::Extreme)) {
        let [one, two] = [1, 2].map(|workers| {
            let outcome = outcome(&model, workers);
            format!("{:?}", (outcome.verdict, outcome.states, outcome.transitions, outcome.depth, outcome.violation))
        });
        assert_eq!(one, two);
    }
}
