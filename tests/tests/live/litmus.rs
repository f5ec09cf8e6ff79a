//! Litmus tests on real KVM: no state that today's ordering forbids, and every such state where the guest's translations are stale.

use crate::{Bench, trial};
use libtest_mimic::{Failed, Trial};
use nostale_notifier::{
    compile::{DEFAULT, MemoryModel, Program},
    lang::Sources,
    litmus::{Allowed, Until, allowed},
};
use nostale_vmm::litmus::{self, Kvm, Options, Run};
use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

/// Instances of each test; `nostale litmus` is for more.
const INSTANCES: u64 = 200_000;

/// Tests in whose final states a stale translation shows.
const TELLING: &[&str] = &[
    "alias-3-remap-one",
    "coherence-1-write-after",
    "coherence-2-write-twice",
    "coherence-3-read-after",
    "coherence-5-two-vcpus",
    "third-thread-1-write",
    "third-thread-2-read",
];

pub(crate) fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for name in suite() {
        let coherently = name.clone();
        trials.push(trial(bench, format!("litmus_{name}"), None, move |_| coherent(&coherently)));
        if TELLING.contains(&&*name) {
            trials.push(trial(bench, format!("litmus_{name}_notices_a_stale_translation"), None, move |_| notices(&name)));
        }
    }
    trials
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("litmus")
}

/// Every test that runs on a real machine.
fn suite() -> Vec<String> {
    let files = fs::read_dir(directory()).into_iter().flatten().flatten().map(|entry| entry.path());
    let names = files.filter(|path| path.extension().is_some_and(|extension| extension == "nst"));
    let names = names.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let suited = |name: &String| {
        let program = Program::read(Sources::new(name.as_str(), text(name).ok()?)).ok()?;
        litmus::suited(name, &program)
    };
    let mut names: Vec<String> = names.filter(|name| suited(name).is_some()).collect();
    names.sort_unstable();
    names
}

fn text(name: &str) -> Result<String, Failed> {
    let path = directory().join(format!("{name}.nst"));
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// What today's ordering allows.
fn known(name: &str) -> Result<Allowed, Failed> {
    let program = Program::read(Sources::new(name, text(name)?)).map_err(|wrong| wrong.render(false))?;
    let kernels = program.variants().into_iter().find(|variant| *variant == "start_end").unwrap_or(DEFAULT);
    let model = program.compile(kernels, MemoryModel::Sc).map_err(|wrong| wrong.render(program.sources(), false))?;
    allowed(&model, 1 << 22, &|_| ControlFlow::Continue(())).map_err(|wide| wide.to_string().into())
}

fn run(name: &str, stale: bool) -> Result<Run, Failed> {
    let program = Program::read_real(Sources::new(name, text(name)?)).map_err(|wrong| wrong.render(false))?;
    let model = program.compile(DEFAULT, MemoryModel::Sc).map_err(|wrong| wrong.render(program.sources(), false))?;
    let kvm = Kvm::new(&model).map_err(|why| why.to_string())?;
    let options = Options { until: Until::Instances(INSTANCES), seed: 11, stale, told: None };
    let run = kvm.run(&options, &AtomicBool::new(false)).map_err(|why| why.to_string())?;
    let counted: u64 = run.tally.values().map(|seen| seen.times).sum();
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
