//! `nostale litmus`: final states, as the model allows them and as real threads come to them.

mod diff;

use super::{
    Refused,
    args::{Common, LitmusOptions, Place},
    interrupt,
    models::{self, Chosen, Error, Selection, Wanted},
    output,
};
use crate::{
    host::{clock, facts::Facts},
    litmus as kvm,
    report::{
        Format,
        counter::Counter,
        litmus::{Case, LitmusReport, Options, TestResult, render, test},
        outdir::OutDir,
    },
};
use nostale_notifier::{
    check::Progress,
    compile::{Case as Variant, DEFAULT, MemoryModel, Program},
    lang::Sources,
    litmus::{self, Allowed, Until, observed, soft},
    model::Model,
};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// The ordering that kernels have had since 2008.
const KERNELS: &str = "start_end";

pub(super) fn litmus(options: &LitmusOptions, common: &Common) -> Result<ExitCode, Refused> {
    if let Some([a, b]) = options.diff.as_deref() {
        return diff::diff([a, b], options, common);
    }
    if options.on.contains(&Place::Kvm) {
        Facts::gather().need_kvm().map_err(|need| format!("--on kvm: {need}"))?;
    }
    let wanted = Wanted {
        paths: &options.paths,
        ordering: options.ordering.as_deref(),
        memory: options.memory_model.map(|memory| memory.0),
    };
    let Selection { chosen, mut errors } = models::select(&wanted)?;
    errors.iter().for_each(|error| error.say(common));
    // Before there is anything to see of it: whoever sees the directory may send a signal.
    let interrupted = interrupt::flag()?;
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let seed = options.seed.unwrap_or_else(|| clock::now().0 & 0xffff_ffff);
    let session = Session { options, seed, interrupted: &interrupted };
    let tests = session.tests(&chosen, common, &mut errors);
    let report = LitmusReport {
        version: 1,
        seed,
        tests,
        errors: errors.into_iter().map(|error| error.unchecked).collect(),
        interrupted: interrupted.load(Ordering::Relaxed),
    };
    if let Some(out) = out {
        out.write_litmus(&report)?;
        let path = out.commit()?;
        if common.format == Format::Human && !common.quiet {
            eprintln!("everything is kept in {}", path.display());
        }
    }
    if common.format != Format::Human || !report.tests.is_empty() {
        let options = Options { width: output::width(), color: output::colour(common) };
        output::print(&render(&report, common.format, &options))?;
    }
    Ok(ExitCode::from(report.exit_status()))
}

/// What all tests of a call have in common.
struct Session<'a> {
    options: &'a LitmusOptions,
    seed: u64,
    interrupted: &'a AtomicBool,
}

impl Session<'_> {
    /// One after the other, until somebody has had enough.
    fn tests(&self, chosen: &[Chosen], common: &Common, errors: &mut Vec<Error>) -> Vec<TestResult> {
        let mut results = Vec::new();
        let mut counter = Counter::new(common.quiet);
        let all = chosen.iter().map(|chosen| chosen.cases.len()).sum();
        let mut number = 0;
        for chosen in chosen {
            let mut known = Known { path: &chosen.path, program: &chosen.program, explored: BTreeMap::new() };
            for variant in &chosen.cases {
                number += 1;
                if self.interrupted.load(Ordering::Relaxed) {
                    return results;
                }
                counter.begin(number, all, &format!("{} {}", chosen.path, variant.variant));
                match self.test(&mut known, variant, &counter) {
                    Ok(result) => results.push(result),
                    Err(error) => {
                        error.say(common);
                        errors.push(error);
                    }
                }
            }
        }
        results
    }

    fn test(&self, known: &mut Known<'_>, variant: &Variant, counter: &Counter) -> Result<TestResult, Error> {
        let (path, program) = (known.path, known.program);
        // What other orderings allow are the states that this one may have to forbid.
        for other in program.cases(Some(variant.memory)) {
            known.explore(self, &other, counter)?;
        }
        let all = known.explored.iter().filter(|((_, memory), _)| *memory == variant.memory);
        let (this, others): (Vec<_>, Vec<_>) = all.partition(|((name, _), _)| *name == variant.variant);
        let [(_, Explored { model, allowed, elapsed })] = this[..] else {
            return Err(models::unusable(path, Some(&variant.variant), "it was not explored"));
        };
        let others: Vec<_> = others.into_iter().map(|((name, _), explored)| (name.as_str(), &explored.allowed)).collect();
        let soft = if self.options.on.contains(&Place::Soft) && variant.memory == MemoryModel::Sc {
            Some(self.soft(path, variant, model)?)
        } else {
            None
        };
        let kvm = if self.options.on.contains(&Place::Kvm) && variant.memory == MemoryModel::Sc {
            Some(self.kvm(path, program, variant)?)
        } else {
            None
        };
        Ok(test(&Case {
            path,
            model: &program.name,
            variant: &variant.variant,
            memory_model: variant.memory.name(),
            expected: variant.expected,
            columns: &observed(model),
            allowed,
            explored: *elapsed,
            others: &others,
            soft: soft.as_ref(),
            kvm: kvm.as_ref().map(|run| run.as_ref().map_err(String::clone)),
            replay: self.replay(path, program, variant),
        }))
    }

    fn until(&self) -> Until {
        self.options.runs.map_or(Until::For(self.options.seconds), Until::Instances)
    }

    fn soft(&self, path: &str, variant: &Variant, model: &Model) -> Result<soft::Run, Error> {
        let refused = |why: soft::Unsuited| models::unusable(path, Some(&variant.variant), &why.to_string());
        let compiled = soft::Soft::new(model).map_err(refused)?;
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
        let options =
            soft::Options { until: self.until(), seed: self.seed, workers: self.options.workers.map_or(cpus, usize::from) };
        Ok(compiled.run(&options, self.interrupted))
    }

    /// On real KVM, or why not. The ordering there is the kernel's, which is to allow no more than `start_end`.
    fn kvm(&self, path: &str, program: &Program, variant: &Variant) -> Result<Result<kvm::Run, String>, Error> {
        if ![KERNELS, DEFAULT].contains(&variant.variant.as_str()) {
            return Ok(Err(format!("the kernel's ordering is compared with {KERNELS}")));
        }
        let text = program.sources().get(0).map_or("", |text| text.text.as_str());
        let real = match Program::read_real(Sources::new(path, text)) {
            Ok(real) if real.variants() == [DEFAULT] => real,
            Ok(_) => return Ok(Err(kvm::Unsuited::Orderings.to_string())),
            Err(refused) => {
                let what = refused.diagnostics.0.first().map_or_else(String::new, |first| first.message.clone());
                return Ok(Err(kvm::Unsuited::NotStandard(what).to_string()));
            }
        };
        let rejected = |wrong| models::rejected(path, Some(&variant.variant), &wrong, real.sources());
        let model = real.compile(DEFAULT, MemoryModel::Sc).map_err(rejected)?;
        let compiled = match kvm::Kvm::new(&model) {
            Ok(compiled) => compiled,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let options = kvm::Options { until: self.until(), seed: self.seed, stale: self.options.plant.is_some() };
        let lost = |why: kvm::RunError| models::unusable(path, Some(&variant.variant), &why.to_string());
        compiled.run(&options, self.interrupted).map(Ok).map_err(lost)
    }

    fn replay(&self, path: &str, program: &Program, variant: &Variant) -> String {
        let on = self.options.on.iter().map(|place| match place {
            Place::Model => "model",
            Place::Soft => "soft",
            Place::Kvm => "kvm",
        });
        let on = on.collect::<Vec<_>>().join(",");
        let ordering = if program.variants().len() > 1 { format!(" --ordering {}", variant.variant) } else { String::new() };
        let memory =
            if variant.memory == MemoryModel::Sc { String::new() } else { format!(" --memory-model {}", variant.memory.name()) };
        let how = match self.options.runs {
            Some(runs) => format!("--runs {runs}"),
            None => format!("--seconds {}", self.options.seconds.as_secs_f64()),
        };
        let plant = if self.options.plant.is_some() { " --plant stale-translation" } else { "" };
        format!("nostale litmus {path} --on {on}{ordering}{memory} {how} --seed {:#x}{plant}", self.seed)
    }
}

/// What is known of a file: what each ordering allows is asked for by all others.
struct Known<'a> {
    path: &'a str,
    program: &'a Program,
    explored: BTreeMap<(String, MemoryModel), Explored>,
}

/// An ordering under a memory model, and all that it allows.
struct Explored {
    model: Model,
    allowed: Allowed,
    elapsed: Duration,
}

impl Known<'_> {
    fn explore(&mut self, session: &Session<'_>, variant: &Variant, counter: &Counter) -> Result<(), Error> {
        let key = (variant.variant.clone(), variant.memory);
        if self.explored.contains_key(&key) {
            return Ok(());
        }
        let rejected = |wrong| models::rejected(self.path, Some(&variant.variant), &wrong, self.program.sources());
        let model = self.program.compile(&variant.variant, variant.memory).map_err(rejected)?;
        let began = Instant::now();
        let progress = |Progress { states, depth }| {
            counter.count(states, depth);
            if session.interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let allowed = litmus::allowed(&model, session.options.max_states, &progress)
            .map_err(|wide| models::unusable(self.path, Some(&variant.variant), &wide.to_string()))?;
        self.explored.insert(key, Explored { model, allowed, elapsed: began.elapsed() });
        Ok(())
    }
}
