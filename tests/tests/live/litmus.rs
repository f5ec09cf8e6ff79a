//! Litmus tests on real KVM: no state that today's ordering forbids, and every such state where the guest's translations are stale.

use crate::{Bench, trial};
use libtest_mimic::{Failed, Trial};
use nostale_notifier::{
    compile::{DEFAULT, MemoryModel, Program},
    lang::Sources,
    litmus::{Allowed, Until, allowed},
};
use nostale_vmm::litmus::{Kvm, Options, Run};
use std::{fs, ops::ControlFlow, path::Path, sync::Arc, sync::atomic::AtomicBool};

/// Instances of each test; `nostale litmus` is for more.
const INSTANCES: u64 = 200_000;

/// Tests that run on a real machine, and whether a stale translation shows in their final states.
const TESTS: &[(&str, bool)] = &[
    ("coherence-1-write-after", true),
    ("coherence-2-write-twice", true),
    ("coherence-3-read-after", true),
    ("coherence-4-read-backwards", false),
    ("coherence-5-two-vcpus", true),
    ("remap-1-twice", false),
    ("third-thread-1-write", true),
    ("third-thread-2-read", true),
    ("third-thread-3-guest-first", false),
];

pub(crate) fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &(name, shows) in TESTS {
        trials.push(trial(bench, format!("litmus_{name}"), None, move |_| coherent(name)));
        if shows {
            trials.push(trial(bench, format!("litmus_{name}_notices_a_stale_translation"), None, move |_| notices(name)));
        }
    }
    trials
}

fn text(name: &str) -> Result<String, Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("litmus/{name}.nst"));
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// What today's ordering allows.
fn known(name: &str) -> Result<Allowed, Failed> {
    let program = Program::read(Sources::new(name, text(name)?)).map_err(|wrong| wrong.render(false))?;
    let model = program.compile("start_end", MemoryModel::Sc).map_err(|wrong| wrong.render(program.sources(), false))?;
    allowed(&model, 1 << 22, &|_| ControlFlow::Continue(())).map_err(|wide| wide.to_string().into())
}

fn run(name: &str, stale: bool) -> Result<Run, Failed> {
    let program = Program::read_real(Sources::new(name, text(name)?)).map_err(|wrong| wrong.render(false))?;
    let model = program.compile(DEFAULT, MemoryModel::Sc).map_err(|wrong| wrong.render(program.sources(), false))?;
    let kvm = Kvm::new(&model).map_err(|why| why.to_string())?;
    let options = Options { until: Until::Instances(INSTANCES), seed: 11, stale };
    let run = kvm.run(&options, &AtomicBool::new(false)).map_err(|why| why.to_string())?;
    let counted: u64 = run.tally.values().map(|(times, _)| times).sum();
    if counted != run.instances || run.instances < INSTANCES {
        return Err(format!("{counted} outcomes of {} instances", run.instances).into());
    }
    if let (Some(why), false) = (run.vacuous(), stale) {
        return Err(why.into());
    }
    Ok(run)
}

fn coherent(name: &str) -> Result<(), Failed> {
    let known = known(name)?;
    let run = run(name, false)?;
    match run.tally.keys().find(|outcome| !known.outcomes.contains_key(*outcome)) {
        Some(outcome) => Err(format!("not allowed: {outcome:?} ({:?})", run.tally).into()),
        None => Ok(()),
    }
}

fn notices(name: &str) -> Result<(), Failed> {
    let known = known(name)?;
    let run = run(name, true)?;
    if run.tally.keys().all(|outcome| known.outcomes.contains_key(outcome)) {
        return Err(format!("a guest that keeps its old page was not noticed: {:?}", run.tally).into());
    }
    Ok(())
}
