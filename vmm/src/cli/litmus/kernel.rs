//! `nostale litmus --kernel`: the same on KVM in another kernel.

use super::Call;
use crate::{
    cli::{Refused, machine, models},
    inside::{Event, LitmusText, RunRequest},
    kernels::Program,
    l1::{Boot, End, L1, Ran},
    matrix::quoted,
    report::{
        Host,
        check::Unchecked,
        litmus::{LitmusReport, TestResult},
        outdir::OutDir,
        steps::Steps,
    },
};

/// Instances a second that can be counted upon, in emulation on a busy host.
const SLOWEST: u64 = 10_000;

pub(super) fn litmus(call: &Call<'_>, name: &str) -> Result<(LitmusReport, Option<OutDir>), Refused> {
    let (options, common) = (call.options, call.common);
    let tests = models::on_kvm(&options.paths)?;
    let (installed, cache, program) = (options.machine.installed()?, options.machine.cache()?, Program::this()?);
    let mut say = |line: &str| {
        if !common.quiet {
            eprintln!("{line}");
        }
    };
    let candidates = machine::find(&[name.to_owned()], &cache, &mut say)?;
    let Some(candidate) = candidates.into_iter().next() else { return Err("no kernel was named".into()) };
    let kernel = candidate.found?;
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let dir = tempfile::Builder::new().prefix("nostale-").tempdir()?;
    let steps = Steps::new(common.quiet);
    steps.planned(tests.len());
    steps.phase(&format!("{name}: booting"));
    let boot = Boot {
        installed: &installed,
        accel: installed.accel,
        kernel: &kernel,
        program: &program,
        extras: None,
        memory_bytes: options.machine.machine_memory.0,
        cpus: options.machine.cpus,
        nodes: options.machine.nodes,
        append: options.machine.append.clone(),
    };
    let mut l1 = L1::boot_until(&boot, dir.path(), call.interrupted)?;
    let each = options.runs.map_or(options.seconds.as_secs_f64(), |runs| runs.div_ceil(SLOWEST) as f64);
    let request = RunRequest {
        seconds: each * tests.len() as f64,
        seed: Some(call.seed),
        litmus: tests.clone(),
        litmus_runs: options.runs,
        ..RunRequest::default()
    };
    let ran = l1.run_until(&request, call.interrupted, &mut |event| match event {
        Event::Starts { scenario, .. } => steps.phase(&format!("{name}: {scenario}")),
        Event::Ends(_) => steps.step(),
        _ => {}
    })?;
    if ran.end == End::Whole {
        l1.quit();
    }
    steps.finish();
    Ok((report(call, name, &tests, ran), out))
}

/// What it came to; what has no result says why.
fn report(call: &Call<'_>, name: &str, tests: &[LitmusText], mut ran: Ran) -> LitmusReport {
    let (mut results, mut errors): (Vec<TestResult>, Vec<Unchecked>) = (Vec::new(), Vec::new());
    let end = ran.end.to_string();
    for (seed, test) in (call.seed..).zip(tests) {
        let at = ran.collected.ended.iter().position(|result| result.name == test.pair().ops);
        let result = at.map(|at| ran.collected.ended.remove(at));
        match result.map(|result| (result.litmus, result.reason)) {
            Some((Some(table), _)) => {
                let replay = format!("nostale litmus {} --kernel {} {} --seed {seed:#x}", test.path, quoted(name), call.how());
                results.push(TestResult { replay, ..*table });
            }
            // Not begun is no failure of a test when somebody has had enough.
            None if ran.end == End::Interrupted => {}
            other => {
                let message = other.and_then(|(_, reason)| reason).unwrap_or_else(|| end.clone());
                let shown = format!("error: {}: {message}", test.path);
                errors.push(Unchecked { path: test.path.clone(), variant: None, message, shown });
            }
        }
    }
    let alarms = ran.alarms.iter().filter(|alarm| alarm.signature).map(|alarm| alarm.text.clone()).collect();
    let host = ran.collected.report().map(|report| report.host);
    let unknown = || Host { kernel: name.to_owned(), mmu: "unknown".to_owned(), cpu: "unknown".to_owned(), cpus: 0 };
    LitmusReport { alarms, ..call.report(host.unwrap_or_else(unknown), results, errors) }
}
