//! Storms: many operations in rounds, clean on a coherent kernel, and shrunk to the culprit on a wrong one.

use crate::{Bench, trial};
use libtest_mimic::{Failed, Trial};
use nostale_vmm::{
    live::{self, NoHooks, Plant},
    report::{ScenarioResult, Verdict},
};
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

pub(crate) fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    vec![trial(bench, "storm::clean", None, clean), trial(bench, "storm::shrunk_to_the_culprit", None, shrunk)]
}

fn storm(bench: &Bench, backing: &str, plant: Option<Plant>, seed: u64, time: Duration) -> Result<ScenarioResult, Failed> {
    let plan = live::plan(Some(&["storm".to_owned()]), Some(&[backing.to_owned()]))?;
    let config = live::Config { seed, ..bench.config(plant) };
    let knobs = bench.knobs.as_ref();
    let report = live::run(&plan, &config, &bench.facts, knobs, time, &AtomicBool::new(false), &mut NoHooks)?;
    if let Some(leak) = report.notes.iter().find(|note| note.contains("the run itself")) {
        return Err(leak.into());
    }
    report.scenarios.into_iter().next().ok_or_else(|| "no scenario ran".into())
}

fn clean(bench: &Bench) -> Result<(), Failed> {
    let result = storm(bench, "anon", None, 11, Duration::from_secs(8))?;
    let rounds = result.storm.as_ref().ok_or("a storm has rounds")?;
    assert_eq!((result.verdict, result.lost_writes), (Verdict::Coherent, 0), "{:?}", result.reason);
    assert!(rounds.rounds >= 2 && result.operations > 0, "{rounds:?}");
    // An operation that finds nothing to do among all the others makes no round vacuous.
    assert!(rounds.coherent > rounds.vacuous, "{rounds:?}");
    Ok(())
}

/// A guest with stale translations fails with whatever takes pages away; one operation is enough to show it.
fn shrunk(bench: &Bench) -> Result<(), Failed> {
    let result = storm(bench, "memfd", Some(Plant::StaleTranslation), 5, Duration::from_secs(60))?;
    let rounds = result.storm.as_ref().ok_or("a storm has rounds")?;
    assert_eq!(result.verdict, Verdict::Violation, "{:?}", result.reason);
    assert_eq!(rounds.shrunk.len(), 1, "{rounds:?}: {:?}", result.reason);
    let replay = format!("--ops {} --backing memfd", rounds.shrunk[0]);
    assert!(result.replay.contains(&replay) && !result.violations.is_empty(), "{}", result.replay);
    Ok(())
}
