//! `nostale check`: every interleaving of the steps of a model.

mod export;

use super::{
    Refused,
    args::{CheckOptions, Common},
    interrupt,
    models::{self, Chosen, Error, Selection, Wanted},
    output,
    size::Size,
};
use crate::{
    host::facts::available_bytes,
    report::{
        Format,
        check::{CheckReport, Options, Random, case, render},
        counter::Counter,
        outdir::OutDir,
    },
};
use nostale_notifier::{
    check::{Limits, Outcome, Progress, TooWide, Walks, explore, walk},
    model::Model,
};
use std::{
    ops::ControlFlow,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

/// Memory for states where nobody knows how much there is.
const LEAST_BYTES: u64 = 1 << 30;

pub(super) fn check(options: &CheckOptions, common: &Common) -> Result<ExitCode, Refused> {
    let how = How::of(options)?;
    let Selection { chosen, mut errors } = models::select(&wanted(options))?;
    errors.iter().for_each(|error| error.say(common));
    if let Some(language) = options.export {
        return if errors.is_empty() { export::export(&chosen, language, common) } else { Ok(ExitCode::from(super::CANNOT)) };
    }
    // Before there is anything to see of it: whoever sees the directory may send a signal.
    let interrupted = interrupt::flag()?;
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let files = checked(&chosen, &how, &interrupted, common, &mut errors);
    let stopped = interrupted.load(Ordering::Relaxed);
    let errors = errors.into_iter().map(|error| error.unchecked).collect();
    let report = CheckReport { version: 1, files, errors, interrupted: stopped };

    let trace = options.trace || models::files(&chosen) <= 1;
    if let Some(out) = out {
        out.write_check(&report)?;
        let path = out.commit()?;
        if common.format == Format::Human && !common.quiet {
            eprintln!("everything is kept in {}", path.display());
        }
    }
    // Where there is no result, the errors have said everything there is to say to a person.
    if common.format != Format::Human || !report.files.is_empty() {
        let options = Options { width: output::width(), color: output::colour(common), trace };
        output::print(&render(&report, common.format, &options))?;
    }
    Ok(ExitCode::from(report.exit_status()))
}

fn wanted(options: &CheckOptions) -> Wanted<'_> {
    let memory = options.memory_model.map(|memory| memory.0);
    Wanted { paths: &options.paths, ordering: options.ordering.as_deref(), memory }
}

/// One after the other, until somebody has had enough.
fn checked(
    chosen: &[Chosen],
    how: &How,
    interrupted: &AtomicBool,
    common: &Common,
    errors: &mut Vec<Error>,
) -> Vec<crate::report::check::CaseResult> {
    let mut results = Vec::new();
    let mut counter = Counter::new(common.quiet);
    for (number, chosen) in (1..).zip(chosen_cases(chosen)).take_while(|_| !interrupted.load(Ordering::Relaxed)) {
        let (Chosen { path, program, .. }, this, all) = chosen;
        counter.begin(number, all, &format!("{path} {}", this.variant));
        let progress = |Progress { states, depth }| {
            counter.count(states, depth);
            if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let model = match program.compile(&this.variant, this.memory) {
            Ok(model) => model,
            Err(diagnostics) => {
                let error = models::rejected(path, Some(&this.variant), &diagnostics, program.sources());
                error.say(common);
                errors.push(error);
                continue;
            }
        };
        match how.run(&model, &progress) {
            Ok(outcome) => results.push(case(path, program, this, &model, &outcome, how.random)),
            Err(error) => {
                let error = models::unusable(path, Some(&this.variant), &error.to_string());
                error.say(common);
                errors.push(error);
            }
        }
    }
    results
}

/// Every case with its file, and how many there are.
fn chosen_cases(chosen: &[Chosen]) -> impl Iterator<Item = (&Chosen, &nostale_notifier::compile::Case, usize)> {
    let all = chosen.iter().map(|chosen| chosen.cases.len()).sum();
    chosen.iter().flat_map(move |chosen| chosen.cases.iter().map(move |case| (chosen, case, all)))
}

/// How models are explored.
struct How {
    limits: Limits,
    random: Option<Random>,
}

impl How {
    fn of(options: &CheckOptions) -> Result<Self, String> {
        let available = available_bytes();
        if let (Some(Size(bytes)), Some(available)) = (options.max_memory, available)
            && bytes > available
        {
            return Err(format!("--max-memory {}: this host has {} available", Size(bytes), Size(available)));
        }
        let half = available.map_or(LEAST_BYTES, |available| available / 2);
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
        let limits = Limits {
            max_states: options.max_states.unwrap_or(u64::MAX),
            max_bytes: options.max_memory.map_or(half, |Size(bytes)| bytes),
            workers: options.workers.map_or(cpus, usize::from),
        };
        let random = options.random.map(|seed| Random { seed, walks: options.walks, steps: options.steps.into() });
        Ok(Self { limits, random })
    }

    fn run(&self, model: &Model, progress: &dyn Fn(Progress) -> ControlFlow<()>) -> Result<Outcome, TooWide> {
        match self.random {
            Some(Random { seed, walks, steps }) => walk(model, &Walks { seed, walks, max_steps: steps }, progress),
            None => explore(model, &self.limits, progress),
        }
    }
}
