//! Models as real threads run them: what is seen is what the explorer allows, and nothing that it allows is never seen.

#![cfg(target_arch = "x86_64")]

#[path = "reference/random.rs"]
mod random;

use std::{ops::ControlFlow, sync::atomic::AtomicBool, time::Duration};

use nostale_notifier::{
    compile::{MemoryModel, Program},
    lang::Sources,
    litmus::{
        Outcome, Until, allowed, observed,
        soft::{Options, Run, Soft, Unsuited},
    },
    model::{Expr, Model, Observed, Place, Role, VarId},
};

fn models(text: &str, variant: &str) -> Model {
    let program = Program::read(Sources::new("test.nst", text)).unwrap_or_else(|wrong| panic!("{}", wrong.render(false)));
    program.compile(variant, MemoryModel::Sc).expect("compiles")
}

fn run(model: &Model, until: Until, seed: u64) -> Run {
    let soft = Soft::new(model).unwrap_or_else(|why| panic!("{why}"));
    soft.run(&Options { until, seed, workers: 2 }, &AtomicBool::new(false))
}

/// Runs a model until everything that is allowed was seen, and fails if anything else was, or if it takes too long.
fn agrees(model: &Model) {
    let known = allowed(model, 1 << 20, &|_| ControlFlow::Continue(())).expect("narrow enough");
    assert_eq!(known.bound, None, "small enough");
    let columns = observed(model);
    let mut missing = Vec::new();
    for seed in 0..40 {
        let seen = run(model, Until::Instances(100_000), seed);
        assert_eq!(seen.tally.values().map(|seen| seen.times).sum::<u64>(), seen.instances, "every instance is counted");
        for outcome in seen.tally.keys() {
            assert!(
                known.outcomes.contains_key(outcome),
                "{} of {}: not allowed: {}",
                model.variant,
                model.name,
                outcome.shown(&columns)
            );
        }
        missing = known.outcomes.keys().filter(|outcome| !seen.tally.contains_key(*outcome)).cloned().collect();
        if missing.is_empty() {
            return;
        }
    }
    let missing: Vec<_> = missing.iter().map(|outcome| outcome.shown(&columns).to_string()).collect();
    panic!("{} of {}: never seen: {missing:?}", model.variant, model.name);
}

#[test]
fn store_buffering_is_sequentially_consistent() {
    let text = "model \"store buffering\"\nvar x, y: 0..1\nthread a { x = 1; let r = y }\nthread b { y = 1; let r = x }\nobserve a.r, b.r\n";
    let model = models(text, "default");
    agrees(&model);
    let seen = run(&model, Until::For(Duration::from_millis(300)), 7);
    assert!(!seen.tally.contains_key(&Outcome::Finished([0, 0].into())), "both read 0");
}

#[test]
fn a_step_of_several_cells_is_one_step() {
    let text = "model \"a snapshot\"\nvar x, y: 0..9\nthread a { repeat 4 { atomic { x++; y++ } } }\n\
                thread b { repeat 4 { atomic { let r = x; assert r == y \"torn\" } } }\nobserve x, y\n";
    agrees(&models(text, "default"));
    let torn = text.replace("atomic { x++; y++ }", "x++; y++");
    agrees(&models(&torn, "default"));
}

#[test]
fn who_waits_for_ever_is_stuck_and_who_goes_round_is_endless() {
    let crossed = "model \"crossed\"\nspin a, b\nthread one { lock a; lock b; unlock b; unlock a }\nthread two { lock b; lock a; unlock a; unlock b }\n";
    let model = models(crossed, "default");
    agrees(&model);
    assert!(run(&model, Until::Instances(20_000), 1).tally.contains_key(&Outcome::Stuck));
    let circles = "model \"circles\"\nflag ready\nthread waits { loop { if ready { break } } }\nallow livelock\n";
    agrees(&models(circles, "default"));
}

#[test]
fn a_failure_ends_its_instance_and_says_why() {
    let text = "model \"fails\"\nvar n: 0..3\nspin l\nthread a { lock l; n = 1; assert n == 1 \"changed\"; unlock l }\nthread b { n = 2; lock l; unlock l }\nobserve n\n";
    agrees(&models(text, "default"));
}

#[test]
fn choices_are_all_taken() {
    let text = "model \"choices\"\nvar n, m: 0..20\nthread a { n = any 0..20; choose { m = 1 } or { m = 2 } or { m = 3 }; n = n / 3 * 2 + n % 3 }\nthread b { m += 4 }\nobserve n, m\n";
    agrees(&models(text, "default"));
}

#[test]
fn the_orderings_of_2008_end_as_the_explorer_says() {
    let text = include_str!("../../tests/corpus/s2-where-to-invalidate.nst");
    for variant in ["before_populating", "after_unlock", "inside_lock", "twice", "start_end"] {
        agrees(&models(text, variant));
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let wide = models("model \"wide\"\nvar x: 0..500\nthread a { x = 1 }\nthread b { x = 2 }\n", "default");
    let why = Soft::new(&wide).expect_err("too wide");
    assert!(matches!(why, Unsuited::Wide { .. }) && why.to_string().contains("`x` has 501 values"), "{why}");
}

/// Models that nobody would write: steps of any number of cells, by index, with several ways on from a place.
#[test]
fn random_models_end_as_the_explorer_says() {
    let mut models = random::sample(random::Numbers::Extreme, 500);
    models.retain(|model| model.steps.iter().all(|step| step.from.is_some()));
    assert!(models.len() > 200, "{} models", models.len());
    let (mut outcomes, mut missing) = (0, 0);
    for model in &mut models {
        model.observed = everything(model);
        let Ok(known) = allowed(model, 1 << 18, &|_| ControlFlow::Continue(())) else { continue };
        if known.bound.is_some() {
            continue;
        }
        // Finding out that something has no end takes long.
        let instances = if known.outcomes.contains_key(&Outcome::Endless) { 64 } else { 40_000 };
        let seen = run(model, Until::Instances(instances), 5);
        for outcome in seen.tally.keys() {
            assert!(known.outcomes.contains_key(outcome), "not allowed: {}\n{model:#?}", outcome.shown(&model.observed));
        }
        if instances > 64 {
            outcomes += known.outcomes.len();
            missing += known.outcomes.keys().filter(|outcome| !seen.tally.contains_key(*outcome)).count();
        }
    }
    assert!(outcomes > 400 && missing * 20 < outcomes, "{missing} of {outcomes} outcomes were never seen");
}

/// Every shared element.
fn everything(model: &Model) -> Vec<Observed> {
    let shared = (0u32..).map(VarId).zip(&model.vars).filter(|(_, var)| var.role == Role::Shared);
    let elements = shared.flat_map(|(id, var)| {
        (0i32..).zip(&var.elements).map(move |(at, element)| Observed {
            text: element.name.clone(),
            value: Expr::Read(Place { var: id, index: Some(Box::new(Expr::Const(at))) }),
            domain: var.domain.clone(),
        })
    });
    elements.collect()
}
