//! A campaign as test tools see it: a test for each mutant. To be killed is to pass.

use super::{MutateReport, describe};
use crate::{
    mutate::campaign::{CampaignReport, Fate, MutantResult},
    report::{
        test::{Ending, Test},
        text::hanging,
    },
};

/// Why there are no tests.
pub(super) const NOTHING: &str = "no mutant was made";

pub(super) fn tests(report: &MutateReport) -> Vec<Test<'_>> {
    let of_kernel = |kernel| std::iter::once(controls(kernel)).chain(kernel.mutants.iter().map(move |mutant| of(kernel, mutant)));
    report.kernels.iter().flat_map(of_kernel).collect()
}

pub(super) fn properties(report: &MutateReport) -> Vec<(&'static str, String)> {
    let mut properties = vec![("verdict", report.verdict.name().to_owned()), ("seed", format!("{:#x}", report.seed))];
    properties.extend(report.kernels.iter().map(|kernel| ("kernel", format!("{} ({})", kernel.release, kernel.origin))));
    properties
}

/// The unchanged kernel raises no alarm: as much a test as any mutant.
fn controls(kernel: &CampaignReport) -> Test<'_> {
    let alarms = &kernel.control_alarms;
    Test {
        name: "controls".to_owned(),
        group: kernel.release.clone(),
        title: format!("{} controls", kernel.release),
        ending: match (alarms.len(), kernel.controls) {
            (0, 0) => Ending::Skipped,
            (0, _) => Ending::Passed,
            _ => Ending::Failed,
        },
        verdict: if alarms.is_empty() { "quiet" } else { "alarm" },
        reason: Some(format!("{} controls, {} alarms", kernel.controls, alarms.len())),
        seconds: 0.0,
        describe: Box::new(|width| alarms.iter().flat_map(|alarm| hanging("  ", alarm, width)).collect()),
        replay: format!("nostale mutate --kernel {} --controls 20", kernel.asked),
    }
}

fn of<'a>(kernel: &'a CampaignReport, mutant: &'a MutantResult) -> Test<'a> {
    Test {
        name: mutant.id.clone(),
        group: kernel.release.clone(),
        title: format!("{} {}", kernel.release, mutant.id),
        ending: match (mutant.fate, mutant.expected) {
            (Fate::Killed, _) | (Fate::Equivalent, _) => Ending::Passed,
            (Fate::Survived, _) => Ending::Failed,
            (Fate::Unreached | Fate::Unpatchable | Fate::Untried, true) | (Fate::Untried, false) => Ending::Skipped,
            (Fate::Unreached | Fate::Unpatchable | Fate::Flaky, _) => Ending::Unjudged,
        },
        verdict: mutant.fate.name(),
        reason: mutant.why.clone(),
        seconds: mutant.trials.iter().map(|trial| trial.seconds).sum(),
        describe: Box::new(move |width| describe(mutant, width)),
        replay: mutant.replay.clone(),
    }
}
