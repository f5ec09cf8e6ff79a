//! `nostale litmus`: final states, as the model allows them and as real threads come to them.

mod diff;
mod generate;
mod kernel;

use super::{
    Refused,
    args::{Common, LitmusOptions, Place},
    interrupt,
    models::{self, Chosen, Error, Selection, Wanted},
    output, recording,
};
use crate::{
    host::{clock, facts::Facts},
    litmus::{self, Failure, Known},
    machine::SlotsTold,
    report::{
        Format, Host,
        check::Unchecked,
        counter::Counter,
        litmus::{LitmusReport, Options, TestResult, render},
        outdir::OutDir,
    },
};
use nostale_notifier::{
    check::Progress,
    compile::{Case as Variant, MemoryModel, Program},
    litmus::Until,
};
use std::{
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

pub(super) fn litmus(options: &LitmusOptions, common: &Common) -> Result<ExitCode, Refused> {
    if let Some([a, b]) = options.diff.as_deref() {
        return diff::diff([a, b], options, common);
    }
    if options.generate.generate {
        return generate::generate(options, common);
    }
    // Before there is anything to see of it: whoever sees the directory may send a signal.
    let interrupted = interrupt::flag()?;
    let seed = options.seed.unwrap_or_else(|| clock::now().0 & 0xffff_ffff);
    let call = Call { options, common, seed, interrupted: &interrupted };
    let (report, out) = match &options.kernel {
        None => call.here()?,
        Some(kernel) => kernel::litmus(&call, kernel)?,
    };
    if let Some(out) = out {
        out.write_litmus(&report)?;
        if let Some(profile) = &report.trace {
            out.write_profile(profile)?;
        }
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

/// A failure, as it is reported and shown.
fn error(path: &str, variant: &str, failure: &Failure) -> Error {
    match failure {
        Failure::Rejected(wrong, sources) => models::rejected(path, Some(variant), wrong, sources),
        other => models::unusable(path, Some(variant), &other.to_string()),
    }
}

/// What all tests of a call have in common.
pub(super) struct Call<'a> {
    pub(super) options: &'a LitmusOptions,
    pub(super) common: &'a Common,
    pub(super) seed: u64,
    pub(super) interrupted: &'a AtomicBool,
}

impl Call<'_> {
    /// On this machine.
    fn here(&self) -> Result<(LitmusReport, Option<OutDir>), Refused> {
        if self.options.on.contains(&Place::Kvm) {
            Facts::gather().need_kvm().map_err(|need| format!("--on kvm: {need}"))?;
        }
        let wanted = Wanted {
            paths: &self.options.paths,
            ordering: self.options.ordering.as_deref(),
            memory: self.options.memory_model.map(|memory| memory.0),
        };
        let Selection { chosen, mut errors } = models::select(&wanted)?;
        errors.iter().for_each(|error| error.say(self.common));
        let out = self.common.out.as_deref().map(OutDir::prepare).transpose()?;
        let trace = self.options.trace.then(|| recording::begin("nostale litmus", out.as_ref())).transpose()?;
        let tests = self.tests(&chosen, trace.as_ref().map(|(trace, _)| trace.told()), &mut errors);
        let trace = trace.map(|(trace, _scratch)| trace.finish()).transpose()?;
        let errors = errors.into_iter().map(|error| error.unchecked).collect();
        // Which host it is stands in files; nothing has to be tried for it.
        let host = Host::of(&Facts::gather_at(Path::new("/")));
        let mut report = self.report(host, tests, errors);
        report.trace = trace.map(Box::new);
        Ok((report, out))
    }

    /// What all this came to.
    pub(super) fn report(&self, host: Host, tests: Vec<TestResult>, errors: Vec<Unchecked>) -> LitmusReport {
        LitmusReport {
            version: 1,
            seed: self.seed,
            host: Some(host),
            alarms: Vec::new(),
            trace: None,
            tests,
            errors,
            interrupted: self.interrupted.load(Ordering::Relaxed),
        }
    }

    /// One after the other, until somebody has had enough.
    fn tests(&self, chosen: &[Chosen], told: Option<SlotsTold>, errors: &mut Vec<Error>) -> Vec<TestResult> {
        let mut results = Vec::new();
        let (session, mut counter) = (self.session(told), Counter::new(self.common.quiet));
        let all = chosen.iter().map(|chosen| chosen.cases.len()).sum();
        let mut number = 0;
        for chosen in chosen {
            let mut known = Known::new(&chosen.path, &chosen.program);
            for variant in &chosen.cases {
                number += 1;
                if self.interrupted.load(Ordering::Relaxed) {
                    return results;
                }
                counter.begin(number, all, &format!("{} {}", chosen.path, variant.variant));
                let replay = self.replay(&chosen.path, &chosen.program, variant);
                let told = |Progress { states, depth }| counter.count(states, depth);
                match session.test(&mut known, variant, replay, &told) {
                    Ok(result) => results.push(result),
                    Err(failure) => {
                        let error = error(&chosen.path, &variant.variant, &failure);
                        error.say(self.common);
                        errors.push(error);
                    }
                }
            }
        }
        results
    }

    fn session(&self, told: Option<SlotsTold>) -> litmus::Session<'_> {
        let options = self.options;
        litmus::Session {
            soft: options.on.contains(&Place::Soft),
            kvm: options.on.contains(&Place::Kvm),
            until: options.runs.map_or(Until::For(options.seconds), Until::Instances),
            seed: self.seed,
            workers: options.workers.map_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()), usize::from),
            stale: options.plant.is_some(),
            told,
            max_states: options.max_states,
            interrupted: self.interrupted,
        }
    }

    /// The options that say how much is enough.
    pub(super) fn how(&self) -> String {
        match self.options.runs {
            Some(runs) => format!("--runs {runs}"),
            None => format!("--seconds {}", self.options.seconds.as_secs_f64()),
        }
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
        let how = self.how();
        let plant = if self.options.plant.is_some() { " --plant stale-translation" } else { "" };
        format!("nostale litmus {path} --on {on}{ordering}{memory} {how} --seed {:#x}{plant}", self.seed)
    }
}
