//! Every operation on each backing on which it takes a path of its own through the kernel, and the founding scenarios: coherent here,
//! and not vacuous. `nostale run --ops all --backing all` tries the rest.

use crate::{Bench, trial};
use libtest_mimic::{Failed, Trial};
use nostale_vmm::{
    live::{self, NoHooks, Scenario},
    report::Verdict,
};
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

pub(crate) fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    let all = live::plan(Some(&["all".to_owned()]), None).unwrap_or_default();
    let founding = live::default_plan().into_iter().filter(|scenario| scenario.operations.len() > 1);
    let scenarios = all.into_iter().chain(founding).map(|scenario| {
        let name = format!("coherent::{}::{}", scenario.name(), scenario.backing);
        trial(bench, name, scenario.missing(&bench.facts, &std::env::temp_dir()), move |bench| coherent(bench, &scenario))
    });
    scenarios.collect()
}

fn coherent(bench: &Bench, scenario: &Scenario) -> Result<(), Failed> {
    let mut notes = Vec::new();
    // Some operations need the kernel's cooperation for an effect (compaction, above all): more and longer tries are fair, a
    // violation at the first is not forgiven.
    let mut last = String::new();
    for time in [400, 3000, 3000, 3000, 3000] {
        let (config, plan) = (bench.config(None), std::slice::from_ref(scenario));
        let (time, interrupted) = (Duration::from_millis(time), AtomicBool::new(false));
        let mut report = live::run(plan, &config, &bench.facts, bench.knobs.as_ref(), time, &interrupted, &mut NoHooks)?;
        notes.append(&mut report.notes);
        let Some(result) = report.scenarios.into_iter().next() else { return Err("no scenario ran".into()) };
        match result.verdict {
            Verdict::Coherent => {
                assert!(result.invalidations > 0 && result.installs > 0 && result.operations > 0, "{result:?}");
                assert_eq!((result.lost_writes, result.stale_writes, result.stale_reads), (0, 0, 0));
                return Ok(());
            }
            Verdict::Vacuous => last = result.reason.unwrap_or_default(),
            verdict => return Err(format!("{verdict}: {:?}\n{:#?}", result.reason, result.violations.first()).into()),
        }
    }
    Err(format!("vacuous each time: {last}; {notes:?}").into())
}
