//! `nostale run`: the main job.

use super::{
    Refused,
    args::{Common, RunOptions},
    interrupt, output, recording,
};
use crate::{
    host::{
        clock,
        facts::Facts,
        knobs::{Knobs, Restored},
    },
    live::{self, Choices, Hooks, Scenario},
    report::{Format, HumanOptions, RunReport, ScenarioResult, Verdict, outdir::OutDir, progress::Progress, render},
};
use std::{process::ExitCode, sync::mpsc, time::Duration};

/// Exit status of a run that was told to stop: whatever it found until then, it is not what was asked for.
const INCONCLUSIVE: u8 = 3;

pub(super) fn run(options: &RunOptions, common: &Common) -> Result<ExitCode, Refused> {
    let plan = live::plan(options.ops.as_deref(), options.backing.as_deref())?;
    // First of all, what a run that was killed has left goes back: facts are those of the host as it is by itself.
    let mut notes = Vec::new();
    let before = Knobs::default_dir().exists();
    let mut knobs = if before { open_knobs(&mut notes) } else { None };
    let facts = Facts::gather();
    let mut config = choices(options).config(&facts)?;
    facts.need_kvm().map_err(|need| format!("cannot run: {need}"))?;
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    // Not before it is sure that there will be a run: one that is refused leaves nothing behind.
    if !before {
        knobs = open_knobs(&mut notes);
    }
    let interrupted = interrupt::flag()?;

    let trace = options.trace.then(|| recording::begin("nostale run", out.as_ref())).transpose()?;
    config.told = trace.as_ref().map(|(trace, _)| trace.told());

    let result = with_progress(options.seconds, common.quiet, |hooks| {
        live::run(&plan, &config, &facts, knobs.as_ref(), options.seconds, &interrupted, hooks)
    });
    let (report, kernel_log) = result;
    let mut report = report?;
    notes.append(&mut report.notes);
    notes.extend(knobs.iter().flat_map(Knobs::take_notes));
    report.notes = notes;
    config.told = None;
    if let Some((trace, _scratch)) = trace {
        report.add_trace(trace.finish()?);
    }

    let ticks_per_us = clock::hertz() / 1e6;
    if let Some(out) = out {
        let facts = serde_json::to_value(&facts)?;
        out.write_run(&report, &facts, &kernel_log, ticks_per_us)?;
        if let Some(profile) = &report.trace {
            out.write_profile(profile)?;
        }
        let path = out.commit()?;
        if common.format == Format::Human && !common.quiet {
            report.notes.push(format!("everything is kept in {}", path.display()));
        }
    }
    let human = HumanOptions { width: output::width(), color: output::colour(common), ticks_per_us };
    output::print(&render(&report, common.format, &human))?;
    Ok(ExitCode::from(exit_status(&report)))
}

fn exit_status(report: &RunReport) -> u8 {
    match report.verdict.exit_status() {
        status if report.interrupted && status != Verdict::Violation.exit_status() => INCONCLUSIVE,
        status => status,
    }
}

fn choices(options: &RunOptions) -> Choices {
    Choices {
        vcpus: options.vcpus,
        host_writers: options.host_writers,
        memory_bytes: options.memory.0,
        seed: options.seed,
        file_dir: options.file_dir.clone(),
        stall_bound: options.stall_bound,
        plant: options.plant,
        until_violation: options.until_violation,
        layout: options.layout,
    }
}

/// Opens the journal of host settings, and puts back what a run that was killed has left.
fn open_knobs(notes: &mut Vec<String>) -> Option<Knobs> {
    let opened = Knobs::open(Knobs::default_dir()).and_then(|knobs| {
        let restored = knobs.recover()?;
        notes.extend(restored.iter().map(Restored::to_string));
        Ok(knobs)
    });
    opened.inspect_err(|error| notes.push(format!("host settings are left alone: {error}"))).ok()
}

/// Runs `work` with a progress bar that moves by itself; also gives what the kernel said meanwhile.
fn with_progress<T>(total: Duration, quiet: bool, work: impl FnOnce(&mut dyn Hooks) -> T) -> (T, String) {
    let progress = Progress::new(total, quiet);
    let (done, wait) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let wait = wait;
            while let Err(mpsc::RecvTimeoutError::Timeout) = wait.recv_timeout(Duration::from_millis(150)) {
                progress.tick();
            }
        });
        // However `work` ends, the thread above must.
        let _done = done;
        let mut hooks = Show { progress: &progress, kernel_log: String::new() };
        let result = work(&mut hooks);
        progress.finish();
        (result, hooks.kernel_log)
    })
}

struct Show<'a> {
    progress: &'a Progress,
    kernel_log: String,
}

impl Hooks for Show<'_> {
    fn starts(&mut self, scenario: &Scenario, planned: Duration) {
        self.progress.scenario(&scenario.name(), scenario.backing.name(), planned);
    }

    fn ends(&mut self, result: &ScenarioResult) {
        if matches!(result.verdict, Verdict::Violation | Verdict::Stuck) {
            let reason = result.reason.as_deref().unwrap_or_default();
            self.progress.println(&format!("{} on {}: {} ({reason})", result.name, result.backing, result.verdict));
        }
    }

    fn kernel_line(&mut self, line: &str) {
        self.kernel_log.push_str(line);
        self.kernel_log.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticker_ends_when_the_work_does() {
        let (result, log) = with_progress(Duration::from_secs(1), true, |hooks| {
            hooks.kernel_line("one line");
            42
        });
        assert_eq!((result, log.as_str()), (42, "one line\n"));
    }
}
