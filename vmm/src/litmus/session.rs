//! A test at all places at which it is to run: what the model allows, and what was seen on the software MMU and on real KVM.

use crate::machine::SlotsTold;

use super::{Kvm, Options, Run, RunError, Unsuited};
use crate::report::litmus::{Case, TestResult, test};
use nostale_notifier::{
    check::Progress,
    compile::{Case as Variant, DEFAULT, MemoryModel, Program},
    lang::{Diagnostics, Sources},
    litmus::{self, Allowed, Until, observed, soft},
    model::Model,
};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};
use thiserror::Error;

/// The ordering that kernels have had since 2008.
const KERNELS: &str = "start_end";

/// How tests are run.
#[derive(Clone, Debug)]
pub struct Session<'a> {
    /// On the software MMU as well,
    pub soft: bool,
    /// and on real KVM.
    pub kvm: bool,
    /// When a run of one ordering has seen enough.
    pub until: Until,
    /// Where everything random comes from.
    pub seed: u64,
    /// Processors that carry the threads on the software MMU.
    pub workers: usize,
    /// See [`Options::stale`].
    pub stale: bool,
    /// See [`Options::told`].
    pub told: Option<SlotsTold>,
    /// Where a model has more states than this, not all of it is explored.
    pub max_states: u64,
    /// Set by whoever has had enough.
    pub interrupted: &'a AtomicBool,
}

/// Why a test has no result.
#[derive(Debug, Error)]
pub enum Failure {
    /// Something is wrong in a text.
    #[error("{}", .0.render(.1, false))]
    Rejected(Diagnostics, Sources),
    /// More states at once than there is memory for, or no use for it.
    #[error("{0}")]
    Unusable(String),
    /// KVM, or the machine on it.
    #[error(transparent)]
    Kvm(#[from] RunError),
}

/// What is known of a file: what each ordering allows is asked for by all others.
#[derive(Debug)]
pub struct Known<'p> {
    path: &'p str,
    program: &'p Program,
    explored: BTreeMap<(String, MemoryModel), Explored>,
}

/// An ordering under a memory model, and all that it allows.
#[derive(Debug)]
struct Explored {
    model: Model,
    allowed: Allowed,
    elapsed: Duration,
}

impl<'p> Known<'p> {
    /// Of a file, before anything is done with it.
    #[must_use]
    pub const fn new(path: &'p str, program: &'p Program) -> Self {
        Self { path, program, explored: BTreeMap::new() }
    }

    fn explore(&mut self, session: &Session<'_>, variant: &Variant, told: &dyn Fn(Progress)) -> Result<(), Failure> {
        let key = (variant.variant.clone(), variant.memory);
        if self.explored.contains_key(&key) {
            return Ok(());
        }
        let model = compile(self.program, &variant.variant, variant.memory)?;
        let began = Instant::now();
        let progress = |progress| {
            told(progress);
            if session.interrupted.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let allowed =
            litmus::allowed(&model, session.max_states, &progress).map_err(|wide| Failure::Unusable(wide.to_string()))?;
        self.explored.insert(key, Explored { model, allowed, elapsed: began.elapsed() });
        Ok(())
    }
}

fn compile(program: &Program, variant: &str, memory: MemoryModel) -> Result<Model, Failure> {
    program.compile(variant, memory).map_err(|wrong| Failure::Rejected(wrong, program.sources().clone()))
}

impl Session<'_> {
    /// Runs one ordering of a test; `told` hears how the exploration goes, and `replay` is the line that does all this again.
    ///
    /// # Errors
    /// Why there is no result.
    pub fn test(
        &self,
        known: &mut Known<'_>,
        variant: &Variant,
        replay: String,
        told: &dyn Fn(Progress),
    ) -> Result<TestResult, Failure> {
        // What other orderings allow are the states that this one may have to forbid.
        for other in known.program.cases(Some(variant.memory)) {
            known.explore(self, &other, told)?;
        }
        known.explore(self, variant, told)?;
        let all = known.explored.iter().filter(|((_, memory), _)| *memory == variant.memory);
        let (this, others): (Vec<_>, Vec<_>) = all.partition(|((name, _), _)| *name == variant.variant);
        let [(_, Explored { model, allowed, elapsed })] = this[..] else {
            return Err(Failure::Unusable("it was not explored".to_owned()));
        };
        let others: Vec<_> = others.into_iter().map(|((name, _), explored)| (name.as_str(), &explored.allowed)).collect();
        // Real threads are as consistent as their processors make them: their code is made for `sc`.
        let real = variant.memory == MemoryModel::Sc;
        let soft = if self.soft && real { Some(self.on_soft(model)?) } else { None };
        let kvm = if self.kvm && real { Some(self.on_kvm(known, variant)?) } else { None };
        Ok(test(&Case {
            path: known.path,
            model: &known.program.name,
            variant: &variant.variant,
            memory_model: variant.memory.name(),
            expected: variant.expected,
            columns: &observed(model),
            allowed,
            explored: *elapsed,
            others: &others,
            soft: soft.as_ref(),
            kvm: kvm.as_ref().map(|run| run.as_ref().map_err(String::clone)),
            replay,
        }))
    }

    fn on_soft(&self, model: &Model) -> Result<soft::Run, Failure> {
        let compiled = soft::Soft::new(model).map_err(|why| Failure::Unusable(why.to_string()))?;
        let options = soft::Options { until: self.until, seed: self.seed, workers: self.workers };
        Ok(compiled.run(&options, self.interrupted))
    }

    /// On real KVM, or why not. The ordering there is the kernel's, which is to allow no more than [`KERNELS`].
    fn on_kvm(&self, known: &Known<'_>, variant: &Variant) -> Result<Result<Run, String>, Failure> {
        if ![KERNELS, DEFAULT].contains(&variant.variant.as_str()) {
            return Ok(Err(format!("the kernel's ordering is compared with {KERNELS}")));
        }
        let model = match real(known.path, known.program)? {
            Ok(model) => model,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let compiled = match Kvm::new(&model) {
            Ok(compiled) => compiled,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let options = Options { until: self.until, seed: self.seed, stale: self.stale, told: self.told.clone() };
        Ok(Ok(compiled.run(&options, self.interrupted)?))
    }
}

/// A program as a real machine runs it, or why it does not.
fn real(path: &str, program: &Program) -> Result<Result<Model, Unsuited>, Failure> {
    let text = program.sources().get(0).map_or("", |text| text.text.as_str());
    match Program::read_real(Sources::new(path, text)) {
        Ok(real) if real.variants() == [DEFAULT] => compile(&real, DEFAULT, MemoryModel::Sc).map(Ok),
        Ok(_) => Ok(Err(Unsuited::Orderings)),
        Err(refused) => {
            let what = refused.diagnostics.0.first().map_or_else(String::new, |first| first.message.clone());
            Ok(Err(Unsuited::NotStandard(what)))
        }
    }
}

/// Whether a test can run on real KVM, and which of its orderings is the kernel's.
#[must_use]
pub fn suited(path: &str, program: &Program) -> Option<Variant> {
    let model = real(path, program).ok()?.ok()?;
    Kvm::new(&model).ok()?;
    let mut cases = program.cases(Some(MemoryModel::Sc)).into_iter();
    cases.find(|case| [KERNELS, DEFAULT].contains(&case.variant.as_str()))
}
