//! From the text to the verdict: random models of the step language, under every memory model, explored by ours and by the naive
//! explorer; and what a stronger memory model allows, a weaker one allows, too.

mod draw;
#[path = "../support/mod.rs"]
mod support;

use nostale_notifier::{
    check::{Limits, Outcome, Verdict, explore},
    compile::{DEFAULT, MemoryModel, Program},
    lang::{Sources, format},
    model::{Model, Role, State},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};
use support::naive::{self, Comes, Naive};

/// What the naive explorer has time for.
const STATES: usize = 3_000;

fn models(text: &str) -> Option<[Model; 3]> {
    let program = Program::read(Sources::new("drawn.nst", text)).ok()?;
    let compile = |memory: MemoryModel| program.compile(DEFAULT, memory);
    Some(MemoryModel::ALL.map(|memory| compile(memory).unwrap_or_else(|findings| panic!("{}: {findings}", memory.name()))))
}

/// What does not depend on places and on the words of the text.
fn numbers(outcome: &Outcome) -> (Verdict, u64, u64, u32) {
    (outcome.verdict, outcome.states, outcome.transitions, outcome.depth)
}

/// Everything that can be reached.
#[derive(Default)]
struct Reach {
    /// What goes wrong in single states and steps.
    wrong: BTreeSet<String>,
    /// Each `sometimes` that came true.
    sometimes: BTreeSet<usize>,
    /// What the user's variables are when all threads have finished.
    ends: BTreeSet<BTreeMap<String, i32>>,
}

/// None where there is too much of it.
fn reach(model: &Model) -> Option<Reach> {
    let naive = Naive::new(model);
    let mut reach = Reach::default();
    let (mut seen, mut open) = (BTreeSet::from([naive.first()]), vec![naive.first()]);
    while let Some(state) = open.pop() {
        reach.wrong.extend(naive.violated(&state).into_iter().map(|id| format!("property {id}")));
        for (id, property) in model.properties.iter().enumerate() {
            if naive.value(&property.condition, &state) != 0 {
                reach.sometimes.insert(id);
            }
        }
        let steps = naive.steps(&state);
        if naive.finished(&state) {
            reach.ends.insert(of_the_user(model, &state));
        } else if steps.is_empty() {
            reach.wrong.insert("deadlock".to_owned());
        }
        for (_, comes) in steps {
            match comes {
                Comes::Fails(at, why) => drop(reach.wrong.insert(format!("{why} at {at:?}"))),
                Comes::To(next) => {
                    if seen.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
        }
        if seen.len() > STATES {
            return None;
        }
    }
    Some(reach)
}

fn of_the_user(model: &Model, state: &State) -> BTreeMap<String, i32> {
    let owners = model.vars.iter().flat_map(|var| var.elements.iter().map(move |_| var));
    let named = owners.zip(model.vars.iter().flat_map(|var| &var.elements)).zip(&state.0);
    named
        .filter(|((var, _), _)| matches!(var.role, Role::Shared | Role::Local(_)))
        .map(|((var, element), value)| (format!("{}/{}", var.name, element.name), *value))
        .collect()
}

fn examine(text: &str) -> [Option<Verdict>; 3] {
    let Some(models) = models(text) else { return [None; 3] };
    let formatted = format(&Sources::new("drawn.nst", text), 0).expect("it was parsed");
    let same = self::models(&formatted).unwrap_or_else(|| panic!("formatting spoils it:\n{formatted}"));
    let mut same = same.iter();
    let verdicts = models.each_ref().map(|model| {
        let same = same.next().expect("one for each");
        let limits = Limits { max_states: 20 * STATES as u64, max_bytes: 1 << 30, workers: 1 };
        let outcome = explore(model, &limits, &|_| ControlFlow::Continue(())).expect("narrow");
        if outcome.verdict == Verdict::Bounded || outcome.states > STATES as u64 {
            return None;
        }
        assert_eq!(naive::Said::of(&outcome), naive::explore(model));
        let same = explore(same, &limits, &|_| ControlFlow::Continue(())).expect("narrow");
        assert_eq!(numbers(&outcome), numbers(&same), "formatting changes the model:\n{formatted}");
        Some(outcome.verdict)
    });
    let names = MemoryModel::ALL.map(MemoryModel::name);
    let reached = models.each_ref().map(reach);
    for (stronger, weaker) in [(0, 1), (1, 2), (0, 2)] {
        let (Some(less), Some(more)) = (&reached[stronger], &reached[weaker]) else { continue };
        let pair = format!("{} allows it, {} does not", names[stronger], names[weaker]);
        assert!(less.wrong.is_subset(&more.wrong), "{pair}: {:?}", less.wrong.difference(&more.wrong));
        assert!(less.sometimes.is_subset(&more.sometimes), "{pair}: {:?}", less.sometimes);
        assert!(less.ends.is_subset(&more.ends), "{pair}: {:?}", less.ends.difference(&more.ends).next());
    }
    verdicts
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn both_explorers_agree_and_weaker_models_allow_more(text in draw::text()) {
        examine(&text);
    }
}

#[test]
fn the_texts_are_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..300 {
        let text = draw::text().new_tree(&mut runner).expect("drawn").current();
        for (memory, verdict) in MemoryModel::ALL.into_iter().zip(examine(&text)) {
            let verdict = verdict.map_or("not known".to_owned(), |verdict| format!("{verdict:?}"));
            *count.entry(format!("{} {verdict}", memory.name())).or_default() += 1;
        }
    }
    println!("{count:#?}");
    for memory in MemoryModel::ALL.map(MemoryModel::name) {
        for verdict in ["Holds", "Fails", "Deadlock"] {
            let found = count.get(&format!("{memory} {verdict}")).copied().unwrap_or_default();
            assert!(found >= 3, "too few of a kind: {count:#?}");
        }
    }
}
