//! Other checkers, on what the exporters write: the same states, the same transitions, the same verdicts, as long counterexamples.
//! Where one is not installed its tests are listed as ignored, with the reason, and counted.

#[path = "../../../notifier/tests/reference/naive.rs"]
mod naive;
#[path = "../../../notifier/tests/reference/random.rs"]
mod random;
mod tools;
mod written;

use libtest_mimic::{Arguments, Failed, Trial};
use naive::{Explored, Wrong, explore};
use nostale_notifier::model::{Ask, Model};
use nostale_tests::peer::missing;
use random::{Numbers, sample};
use std::{process::ExitCode, sync::Arc};

/// What a model is an example of; some of each kind are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Holds,
    Property,
    Step,
    Deadlock,
    Livelock,
    NeverTrue,
}

const KINDS: [Kind; 6] = [Kind::Holds, Kind::Property, Kind::Step, Kind::Deadlock, Kind::Livelock, Kind::NeverTrue];
/// Models of each kind.
const EACH: usize = 4;

struct Example {
    name: String,
    model: Model,
    seen: Explored,
}

fn kind(seen: &Explored) -> Kind {
    match seen.wrong.iter().find(|(_, length)| Some(**length) == seen.shortest()) {
        Some((Wrong::Property(_), _)) => Kind::Property,
        Some((Wrong::Step(_), _)) => Kind::Step,
        Some((Wrong::Deadlock, _)) => Kind::Deadlock,
        None if !seen.missing.is_empty() => Kind::NeverTrue,
        None if seen.livelock.is_some() => Kind::Livelock,
        None => Kind::Holds,
    }
}

/// The models as people write them.
fn written() -> Vec<Example> {
    let known = |(name, model)| {
        let seen = explore(&model, 100_000).expect("small models");
        Example { name, model, seen }
    };
    written::models().into_iter().map(known).collect()
}

/// Some random models of each kind, the same in every run: not the smallest, nor any whose violation is in plain sight.
fn examples() -> Vec<Example> {
    let mut left = KINDS.map(|_| EACH);
    let mut examples = Vec::new();
    for (number, model) in sample(Numbers::Small, 1000).into_iter().enumerate() {
        let Some(seen) = explore(&model, 20_000) else { continue };
        let kind = kind(&seen);
        let left = &mut left[kind as usize];
        if *left > 0 && seen.states() >= 50 && seen.shortest().is_none_or(|length| length >= 3) {
            *left -= 1;
            examples.push(Example { name: format!("{kind:?}_{number}").to_lowercase(), model, seen });
        }
    }
    examples
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Result<(), Failed> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours:?} here, {theirs:?} there").into()) }
}

fn with_rumur(Example { model, seen, .. }: &Example) -> Result<(), Failed> {
    let rumur = tools::rumur(model)?;
    let message = rumur.message.unwrap_or_default();
    let Some(shortest) = seen.shortest() else {
        same("states", seen.states(), rumur.states)?;
        same("transitions", seen.transitions - 1, rumur.rules_fired)?;
        same("sometimes that never came true", seen.missing.len(), rumur.covers.iter().filter(|count| **count == 0).count())?;
        same("a livelock", seen.livelock.is_some(), message.starts_with("liveness property"))?;
        return same("any error", !seen.missing.is_empty() || seen.livelock.is_some(), rumur.errors > 0);
    };
    same("errors", 1, rumur.errors)?;
    same("length of the counterexample", u64::from(shortest), rumur.length)?;
    // Of several violations that are equally near, rumur reports any one.
    let nearest: Vec<_> = seen.wrong.iter().filter(|(_, length)| **length == shortest).map(|(wrong, _)| wrong).collect();
    let theirs = |wrong: &&Wrong| match wrong {
        Wrong::Deadlock => message.contains("no deadlock"),
        Wrong::Property(_) => message.starts_with("invariant") && !message.contains("no deadlock"),
        Wrong::Step(why) => message == *why,
    };
    same(&format!("{message:?} among {nearest:?}"), true, nearest.iter().copied().any(|wrong| theirs(&wrong)))
}

fn with_spin(Example { model, seen, .. }: &Example) -> Result<(), Failed> {
    let Some(shortest) = seen.shortest() else {
        let (spin, _) = tools::spin(model, false, None)?;
        same("errors", 0, spin.errors)?;
        same("states", seen.states(), spin.states)?;
        // As the head of the exported text says.
        let stutter = if model.forbid_deadlock { seen.finished } else { 0 };
        same("transitions", seen.transitions + stutter, spin.transitions)?;
        return witnesses(model, seen);
    };
    let (spin, trail) = tools::spin(model, true, None)?;
    same("errors", 1, spin.errors)?;
    // Spin finds what a state violates when it goes on from that state, and what a step violates one level earlier.
    let lengths = shortest as usize..=shortest as usize + 1;
    same(&format!("length of the trail {trail:#?} within {lengths:?}"), true, lengths.contains(&trail.len()))
}

/// A search for each `sometimes` finds it, unless it never comes true.
fn witnesses(model: &Model, seen: &Explored) -> Result<(), Failed> {
    let asked = (0u32..).zip(&model.properties).filter(|(_, property)| property.ask == Ask::Sometimes);
    for (number, (property, _)) in asked.enumerate() {
        let missing = seen.missing.iter().any(|missing| missing.0 == property);
        same("found what sometimes is true", !missing, tools::spin(model, true, Some(number))?.0.errors > 0)?;
    }
    Ok(())
}

fn trial(peer: &str, missing: Option<&String>, example: &Arc<Example>, compare: fn(&Example) -> Result<(), Failed>) -> Trial {
    let example = Arc::clone(example);
    let trial = Trial::test(format!("{peer}::{}", example.name), move || compare(&example));
    match missing {
        Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
        None => trial,
    }
}

/// What rumur says of the hand-written protocol must be true of ours. (`scripts/bench-checker` counts all states of the other.)
fn broken_reference() -> Result<(), Failed> {
    let violation = written::benchmark("reference-broken.nst")?.violation;
    same("steps of the counterexample", Some(16), violation.map(|violation| violation.trace.len()))?;
    same("a violation in some states", None, written::benchmark("reference.nst")?.violation.map(|violation| violation.what))
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let random = examples();
    let (rumur, spin) = (missing(&["rumur", "cc"]), missing(&["spin", "cc"]));
    let mut trials = vec![Trial::test("there_are_random_models_of_each_kind", {
        let count = random.len();
        move || same("examples", KINDS.len() * EACH, count)
    })];
    trials.push(Trial::test("the_broken_reference_takes_16_steps", broken_reference));
    for example in random.into_iter().chain(written()).map(Arc::new) {
        trials.push(trial("rumur", rumur.as_ref(), &example, with_rumur));
        trials.push(trial("spin", spin.as_ref(), &example, with_spin));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
