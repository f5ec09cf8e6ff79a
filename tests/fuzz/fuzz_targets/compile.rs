//! Any text is refused with diagnostics, or all of its variants compile under all memory models or are refused; and what compiles
//! can be explored, and means what the reference semantics say about a walk through it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nostale_notifier::{
    check::{Limits, explore},
    compile::{MemoryModel, Program},
    lang::Sources,
    model::{Model, eval},
};
use std::ops::ControlFlow;

const LIMITS: Limits = Limits { max_states: 2_000, max_bytes: 64 << 20, workers: 1 };
/// Steps of the walk.
const STEPS: usize = 40;
/// Compiling many variants of one text finds nothing that a few do not.
const VARIANTS: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    let program = match Program::read(Sources::from_bytes("fuzz.nst", bytes)) {
        Ok(program) => program,
        Err(rejected) => {
            assert!(!rejected.diagnostics.0.is_empty(), "refused for no reason");
            let _ = rejected.render(false);
            return;
        }
    };
    for variant in program.variants().into_iter().take(VARIANTS) {
        for memory in MemoryModel::ALL {
            match program.compile(variant, memory) {
                Ok(model) => run(&model, bytes),
                Err(findings) => assert!(!findings.0.is_empty(), "refused for no reason"),
            }
        }
    }
});

fn run(model: &Model, choices: &[u8]) {
    walk(model, choices);
    // A state that is too wide is refused.
    let Ok(outcome) = explore(model, &LIMITS, &|_| ControlFlow::Continue(())) else { return };
    let Some(violation) = &outcome.violation else { return };
    let mut state = eval::first(model);
    assert_eq!(violation.first, state);
    for (step, next) in &violation.trace {
        assert!(eval::enabled(model, &state).any(|can| can == *step), "the counterexample takes a step that cannot be taken");
        match eval::take(model, &state, *step) {
            Ok(after) => assert_eq!(after, *next, "the counterexample does not lead where it says"),
            Err(_) => assert_eq!(state, *next, "a failing step is the last of the counterexample"),
        }
        state = next.clone();
    }
}

/// Every value on the way is one of its domain.
fn walk(model: &Model, choices: &[u8]) {
    let mut state = eval::first(model);
    for choice in choices.iter().chain(std::iter::repeat(&0)).take(STEPS) {
        let domains = model.vars.iter().flat_map(|var| var.elements.iter().map(|element| (element, &var.domain)));
        for ((element, domain), value) in domains.zip(&state.0) {
            assert!((domain.lo..=domain.hi).contains(value), "{} is {value}", element.name);
        }
        let steps: Vec<_> = eval::enabled(model, &state).collect();
        let Some(step) = steps.get(usize::from(*choice) % steps.len().max(1)) else { break };
        let Ok(next) = eval::take(model, &state, *step) else { break };
        state = next;
    }
}
