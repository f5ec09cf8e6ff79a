//! `nostale matrix`: the same run inside other kernels.

use super::{
    Refused,
    args::{Common, MatrixOptions},
    interrupt, machine, output,
};
use crate::{
    host::{clock, facts::Facts},
    inside::RunRequest,
    kernels::Program,
    live::{self, Choices},
    matrix::{self, Machines, MatrixPlan, Step},
    report::{
        Format, HumanOptions, Verdict,
        matrix::{KernelResult, render},
        outdir::OutDir,
        progress::{Group, Progress},
    },
};
use std::{
    collections::BTreeMap,
    path::Path,
    process::ExitCode,
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

pub(super) fn matrix(options: &MatrixOptions, common: &Common) -> Result<ExitCode, Refused> {
    let scenarios = live::plan(options.ops.as_deref(), options.backing.as_deref())?;
    let request = request(options)?;
    let installed = options.machine.installed()?;
    let dir = tempfile::Builder::new().prefix("nostale-").tempdir()?;
    let machines = Machines { installed, shape: options.machine.shape(), dir: dir.path().to_owned() };
    machines.check(&request)?;
    let cache = options.machine.cache()?;
    let mut say = |line: &str| {
        if !common.quiet {
            eprintln!("{line}");
        }
    };
    let kernels = machine::find(&options.kernel, &cache, &mut say)?;
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let program = Program::this()?;
    let interrupted = interrupt::flag()?;

    // The time stamp counter is as good a source as any for a number that only has to differ.
    let seed = options.seed.unwrap_or_else(|| clock::now().0 & 0xffff_ffff);
    let jobs = options.machine.jobs();
    let plan = MatrixPlan { kernels, scenarios: &scenarios, request, seed, machines, program, jobs };
    let mut report = with_progress(&plan, common.quiet, |on| matrix::run(&plan, &interrupted, on));
    if let Some(out) = out {
        out.write_matrix(&report)?;
        let path = out.commit()?;
        if common.format == Format::Human && !common.quiet {
            report.notes.push(format!("everything is kept in {}", path.display()));
        }
    }
    let human = HumanOptions { width: output::width(), color: output::colour(common), ticks_per_us: f64::NAN };
    output::print(&render(&report, common.format, &human))?;
    Ok(ExitCode::from(report.exit_status()))
}

/// What is asked of each kernel. What would be impossible in any of them is refused here, in the words of the command line.
fn request(options: &MatrixOptions) -> Result<RunRequest, live::Impossible> {
    let choices = Choices {
        vcpus: Some(options.vcpus),
        host_writers: options.host_writers,
        memory_bytes: options.memory.0,
        seed: None,
        file_dir: None,
        stall_bound: options.stall_bound,
        plant: options.plant,
        until_violation: options.until_violation,
        layout: options.layout,
    };
    // Of a host about which nothing is known: this one's memory is not the machine's.
    choices.config(&Facts::gather_at(Path::new("/nonexistent")))?;
    Ok(RunRequest {
        vcpus: Some(options.vcpus),
        host_writers: options.host_writers,
        memory_bytes: options.memory.0,
        seconds: options.seconds.as_secs_f64(),
        stall_bound_seconds: options.stall_bound.as_secs_f64(),
        plant: options.plant.map(|plant| plant.name().to_owned()),
        until_violation: options.until_violation,
        layout: options.layout.map(|layout| layout.name().to_owned()),
        trace: options.trace,
        ..RunRequest::default()
    })
}

/// Runs `work` with a line for each kernel that is running, which move by themselves.
fn with_progress<T>(plan: &MatrixPlan<'_>, quiet: bool, work: impl FnOnce(&(dyn Fn(usize, Step<'_>) + Sync)) -> T) -> T {
    let group = Group::new(quiet);
    let lines: Mutex<BTreeMap<usize, Progress>> = Mutex::new(BTreeMap::new());
    let lock = || lines.lock().unwrap_or_else(PoisonError::into_inner);
    let (done, wait) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let wait = wait;
            while let Err(mpsc::RecvTimeoutError::Timeout) = wait.recv_timeout(Duration::from_millis(150)) {
                lock().values().for_each(Progress::tick);
            }
        });
        // However `work` ends, the thread above must.
        let _done = done;
        work(&|number, step| {
            let name = plan.kernels.get(number).map_or("", |candidate| candidate.asked.as_str());
            match step {
                Step::Boots { before, planned } => {
                    let line = group.line(name, planned);
                    line.stage(if before == 0 { "booting" } else { "booting again, to see what went wrong once more" });
                    lock().insert(number, line);
                }
                Step::Starts { name, backing, planned } => {
                    if let Some(line) = lock().get(&number) {
                        line.scenario(name, backing, planned);
                    }
                }
                Step::Ends(result) => {
                    if matches!(result.verdict, Verdict::Violation | Verdict::Stuck) {
                        let reason = result.reason.as_deref().unwrap_or_default();
                        group.println(&format!("{name}: {} on {}: {} ({reason})", result.name, result.backing, result.verdict));
                    }
                }
                Step::Done(result) => {
                    // Dropped, it is gone.
                    lock().remove(&number);
                    group.println(&came_to(result));
                }
            }
        })
    })
}

/// A line for a kernel that has its result.
fn came_to(kernel: &KernelResult) -> String {
    let reason = kernel.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
    format!("{}: {} after {:.1} s{reason}", kernel.name(), kernel.verdict, kernel.seconds)
}
