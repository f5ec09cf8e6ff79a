//! `nostale litmus --generate`: litmus tests that nobody has to think of.

use crate::{
    cli::{
        Refused,
        args::{Common, LitmusOptions},
        interrupt, output,
    },
    report::{Format, counter::Counter, generated::GeneratedReport, outdir::OutDir, units},
};
use nostale_notifier::litmus::generate::{GenerateError, Options, Progress, generate as generated};
use std::{ops::ControlFlow, process::ExitCode, sync::atomic::Ordering, time::Instant};

/// Exit status where it was ended before its end.
const INTERRUPTED: u8 = 3;

pub(super) fn generate(options: &LitmusOptions, common: &Common) -> Result<ExitCode, Refused> {
    if ![Format::Human, Format::Json].contains(&common.format) {
        return Err(format!("--generate has no results to put into --format {}: choose human or json", common.format).into());
    }
    let interrupted = interrupt::flag()?;
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    let accesses = usize::try_from(options.generate.accesses)?;
    let wanted = Options { accesses, workers: options.workers.map_or(cpus, usize::from), minimal: true };
    let counter = Counter::new(common.quiet);
    let progress = |Progress { settled, programs, states }| {
        counter.say(format!("{settled}/{programs} programs  {} states", units::count(states)));
        if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let began = Instant::now();
    let suite = match generated(&wanted, &progress) {
        Err(error @ GenerateError::Interrupted) => {
            eprintln!("nostale: {error}");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        other => other?,
    };
    drop(counter);
    let report = GeneratedReport::new(accesses, suite, began.elapsed());
    if let Some(out) = out {
        out.write_generated(&report)?;
        let path = out.commit()?;
        if common.format == Format::Human && !common.quiet {
            eprintln!("{} tests are in {}", report.tests.len(), path.display());
        }
    }
    output::print(&match common.format {
        Format::Json => report.json(),
        _ => report.table(output::width(), output::colour(common)),
    })?;
    Ok(ExitCode::SUCCESS)
}
