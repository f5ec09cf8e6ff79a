//! Every oracle can fail: a deliberately wrong host trips it, and the same scenario without the fault is coherent.

mod cases;

use crate::{Bench, trial};
use cases::Case;
use libtest_mimic::Trial;
use nostale_vmm::{
    live::{self, Config, NoHooks, Plant},
    oracle::{Oracle, Violation},
    report::{ScenarioResult, Verdict},
};
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

pub(crate) fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    let trials = cases::all().map(|case| {
        trial(bench, format!("oracle::{}", case.name), missing(bench, case), move |bench| {
            // A slow operation may come to nothing in a short time. Only that is forgiven without the fault.
            let control = |(verdict, reason)| match verdict {
                Verdict::Coherent => Ok(()),
                verdict => Err(format!("without the fault: {verdict}: {reason:?}")),
            };
            let (mut last, mut judged) = ((Verdict::Vacuous, None), Ok(()));
            for time in TIMES {
                let result = run(bench, case, None, time)?;
                last = (result.verdict, result.reason);
                if last.0 != Verdict::Vacuous {
                    break;
                }
            }
            control(last)?;
            for time in TIMES {
                let result = run(bench, case, Some(case.plant), time)?;
                // A fault that did not come up in a short time may in a longer one. Any other wrong answer stands.
                let unseen = result.verdict != case.verdict && matches!(result.verdict, Verdict::Coherent | Verdict::Vacuous);
                judged = judge(case, result);
                if !unseen {
                    break;
                }
            }
            Ok(judged?)
        })
    });
    trials.collect()
}

/// What this host lacks for a case.
fn missing(bench: &Bench, case: &Case) -> Option<String> {
    let scenario = live::plan(Some(&[case.operation.to_owned()]), Some(&[case.backing.to_owned()])).ok()?.pop()?;
    let need = match case.plant {
        Plant::KernelMessage => bench.facts.need_kernel_log().err().map(|need| need.to_string()),
        Plant::Ring0 if bench.facts.kvm.mmu.known().is_none_or(|mmu| mmu.name() != "shadow") => {
            Some("only a KVM that interprets ring 0 can be vacuous in this way".to_owned())
        }
        _ => None,
    };
    need.or_else(|| scenario.missing(&bench.facts, &std::env::temp_dir()))
}

/// How long a case is tried, and once more if that came to nothing.
const TIMES: [Duration; 3] = [Duration::from_millis(600), Duration::from_secs(3), Duration::from_secs(6)];

fn run(bench: &Bench, case: &Case, plant: Option<Plant>, mut time: Duration) -> Result<ScenarioResult, String> {
    let plan = live::plan(Some(&[case.operation.to_owned()]), Some(&[case.backing.to_owned()])).map_err(|e| e.to_string())?;
    let mut config = bench.config(plant);
    if plant == Some(Plant::HeldVcpu) {
        config.stall_bound = Duration::from_secs(2);
        time = Duration::from_secs(20);
    }
    let report = live::run(&plan, &config, &bench.facts, bench.knobs.as_ref(), time, &AtomicBool::new(false), &mut NoHooks)
        .map_err(|e| e.to_string())?;
    report.scenarios.into_iter().next().ok_or_else(|| "no scenario ran".to_owned())
}

fn judge(case: &Case, result: ScenarioResult) -> Result<(), String> {
    let reason = result.reason.clone().unwrap_or_default();
    if result.verdict != case.verdict || !reason.contains(case.reason) {
        return Err(format!("{} was planted, but: {}: {reason}", case.plant, result.verdict));
    }
    let Some(oracle) = case.oracle else { return Ok(()) };
    // The first records may all be of a rule that fails more often; the reason names every rule that failed.
    let named = oracle == Oracle::Kernel || reason.contains(oracle.name());
    // A child's pages are gone with the child.
    let dumped = |violation: &Violation| violation.page.is_none() || !violation.pages.is_empty() || violation.operation == "fork";
    let complete = result.violations.iter().all(dumped);
    if !named || result.violations.is_empty() || !complete {
        return Err(format!("incomplete: {reason}; {} records", result.violations.len()));
    }
    if !result.replay.contains(&format!("--plant {}", case.plant)) {
        return Err(format!("the replay line forgets the fault: {}", result.replay));
    }
    Ok(())
}

/// A run that is to stop at the first violation does so, long before its time, and keeps what it found.
pub(crate) fn until_violation(bench: &Arc<Bench>) -> Vec<Trial> {
    let cases = [
        ("in_an_oracle", "remap", "memfd", Plant::StaleTranslation, None),
        ("in_the_kernel_log", "protect", "anon", Plant::KernelMessage, bench.facts.need_kernel_log().err()),
    ];
    let trials = cases.map(|(name, operation, backing, plant, missing)| {
        trial(bench, format!("until_violation::{name}"), missing.map(|need| need.to_string()), move |bench| {
            let scenario = live::plan(Some(&[operation.to_owned()]), Some(&[backing.to_owned()]))?;
            // The second one must not run at all.
            let plan = [scenario.clone(), scenario].concat();
            let config = Config { until_violation: true, ..bench.config(Some(plant)) };
            let (from, time) = (Instant::now(), Duration::from_secs(120));
            let report =
                live::run(&plan, &config, &bench.facts, bench.knobs.as_ref(), time, &AtomicBool::new(false), &mut NoHooks)?;
            assert!(from.elapsed() < time / 4, "{:?} of {time:?}", from.elapsed());
            let [result] = report.scenarios.as_slice() else { return Err(format!("{report:?}").into()) };
            assert_eq!((report.verdict, result.verdict), (Verdict::Violation, Verdict::Violation), "{:?}", result.reason);
            assert!(!result.violations.is_empty() && report.notes.iter().any(|note| note.contains("1 scenarios left")));
            Ok(())
        })
    });
    trials.into()
}
