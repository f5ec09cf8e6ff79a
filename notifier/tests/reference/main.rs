//! What works on compiled models, compared with the plainest way of doing the same.

mod explorer;
mod naive;
mod random;

use naive::{Explored, Wrong, explore};
use nostale_notifier::{
    check::Verdict,
    lang::Span,
    model::{
        Action, Ask, Domain, Element, Expr, Model, Place, Property, Role, Show, State, Step, Thread, ThreadId, Var, VarId, eval,
    },
};
use random::{Numbers, config, models, sample};

const ENOUGH: usize = 50_000;

/// Threads that each take `steps` steps and touch nothing else.
fn walkers(threads: u32, steps: i32) -> Model {
    let counter = |id| Var {
        name: format!("t[{id}].pc"),
        role: Role::Pc(ThreadId(id)),
        domain: Domain { lo: 0, hi: steps, show: Show::Number },
        elements: vec![Element { name: format!("t[{id}].pc"), init: 0 }],
    };
    let step = |id, from| Step {
        thread: ThreadId(id),
        from: Some(from),
        guard: Expr::Const(1),
        actions: vec![go(id, from + 1)],
        text: "walk".to_owned(),
        at: Span::default(),
    };
    Model {
        name: "walkers".to_owned(),
        variant: "default".to_owned(),
        vars: (0..threads).map(counter).collect(),
        threads: (0..threads).map(|id| Thread { name: format!("t[{id}]"), pc: VarId(id), end: steps }).collect(),
        steps: (0..threads).flat_map(|id| (0..steps).map(move |from| step(id, from))).collect(),
        properties: Vec::new(),
        observed: Vec::new(),
        forbid_deadlock: true,
        forbid_livelock: true,
    }
}

fn go(pc: u32, to: i32) -> Action {
    Action::Set(Place { var: VarId(pc), index: None }, Expr::Const(to))
}

fn all(model: &Model) -> Explored {
    explore(model, ENOUGH).expect("a small model")
}

/// The verdicts that an explorer may give: several where different violations are equally near.
fn verdicts(seen: &Explored) -> Vec<Verdict> {
    let nearest = seen.wrong.iter().filter(|(_, length)| Some(**length) == seen.shortest());
    let mut verdicts: Vec<_> =
        nearest.map(|(wrong, _)| if *wrong == Wrong::Deadlock { Verdict::Deadlock } else { Verdict::Fails }).collect();
    if verdicts.is_empty() {
        verdicts.extend((!seen.missing.is_empty()).then_some(Verdict::Fails));
        verdicts.extend(seen.livelock.map(|_| Verdict::Livelock));
    }
    if verdicts.is_empty() { vec![Verdict::Holds] } else { verdicts }
}

#[test]
fn every_interleaving_is_counted_once() {
    // A grid of 4 x 4 x 4 states; each state has a step for each thread that is not at its end.
    let seen = all(&walkers(3, 3));
    assert_eq!((seen.states(), seen.transitions, seen.finished), (64, 1 + 3 * 3 * 16, 1));
    assert_eq!(seen.levels, [1, 3, 6, 10, 12, 12, 10, 6, 3, 1]);
    assert_eq!(verdicts(&seen), [Verdict::Holds]);
}

#[test]
fn a_thread_that_cannot_go_on_is_a_deadlock_and_a_livelock() {
    let mut model = walkers(2, 2);
    model.steps[1].guard = Expr::Const(0);
    let seen = all(&model);
    assert_eq!(seen.wrong.get(&Wrong::Deadlock), Some(&3));
    assert_eq!(verdicts(&seen), [Verdict::Deadlock]);
    // From the first state on, no finished state can be reached.
    assert_eq!(seen.livelock, Some(0));
    // Where a deadlock is allowed it is an end.
    model.forbid_deadlock = false;
    assert_eq!(verdicts(&all(&model)), [Verdict::Holds]);
}

#[test]
fn a_round_without_a_way_out_is_a_livelock_only() {
    let mut model = walkers(2, 2);
    model.steps[1].actions = vec![go(0, 0)];
    let seen = all(&model);
    assert_eq!(verdicts(&seen), [Verdict::Livelock]);
    assert!(seen.wrong.is_empty());
}

#[test]
fn properties_and_failing_steps_are_found_where_they_are_nearest() {
    let mut model = walkers(2, 2);
    let stands = |pc, at| {
        let read = Expr::Read(Place { var: VarId(pc), index: None });
        Expr::Binary(nostale_notifier::model::BinOp::Eq, Box::new(read), Box::new(Expr::Const(at)))
    };
    let property = |ask, condition| Property { ask, condition, text: String::new(), message: None, at: Span::default() };
    model.properties = vec![
        property(Ask::Always, Expr::Not(Box::new(stands(1, 2)))),
        property(Ask::Finally, Expr::Const(0)),
        property(Ask::Sometimes, stands(0, 7)),
    ];
    model.steps[0].actions.insert(0, Action::Fail { when: stands(1, 2), why: "late".into(), at: Span::default() });
    let seen = all(&model);
    let wrong: Vec<_> = seen.wrong.iter().map(|(what, length)| (what.clone(), *length)).collect();
    assert_eq!(wrong, [(Wrong::Property(0), 2), (Wrong::Property(1), 4), (Wrong::Step("late".to_owned()), 3)]);
    assert_eq!(seen.missing.len(), 1);
    assert_eq!(seen.shortest(), Some(2));
    assert_eq!(verdicts(&seen), [Verdict::Fails]);
}

/// The rule that the compiler keeps and everybody relies on.
fn within_domains(model: &Model, state: &State) -> bool {
    let domains = model.vars.iter().flat_map(|var| var.elements.iter().map(|_| &var.domain));
    domains.zip(&state.0).all(|(domain, value)| (domain.lo..=domain.hi).contains(value))
}

proptest::proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn random_models_are_well_formed(model in models(Numbers::Extreme), choices in proptest::collection::vec(0usize..8, 30)) {
        let mut state = eval::first(&model);
        for choice in choices {
            assert!(within_domains(&model, &state), "{state:?}");
            let steps: Vec<_> = eval::enabled(&model, &state).collect();
            let Some(step) = steps.get(choice % steps.len().max(1)) else { break };
            let Ok(next) = eval::take(&model, &state, *step) else { break };
            state = next;
        }
    }
}

#[test]
fn random_models_are_small_and_of_every_kind() {
    let seen: Vec<_> = sample(Numbers::Small, 300).iter().filter_map(|model| explore(model, ENOUGH)).collect();
    assert!(seen.len() > 290, "{} of 300 are small", seen.len());
    let of = |verdict| seen.iter().filter(|seen| verdicts(seen) == [verdict]).count();
    let verdicts = [Verdict::Holds, Verdict::Fails, Verdict::Deadlock, Verdict::Livelock].map(of);
    let mut states: Vec<_> = seen.iter().map(Explored::states).collect();
    states.sort_unstable();
    println!("{verdicts:?}, states: median {}, most {:?}", states[states.len() / 2], states.last());
    assert!(verdicts.iter().all(|count| *count >= 10), "{verdicts:?}");
    assert!(states[states.len() / 2] >= 25, "the median has {} states", states[states.len() / 2]);
    // Violations deep enough that a search which is not breadth first would miss the shortest way.
    assert!(seen.iter().filter(|seen| seen.shortest() >= Some(3)).count() >= 20);
}
