//! A campaign as test tools see it: a test for each mutant. To be killed is to pass.

use super::{MutateReport, describe};
use crate::{
    mutate::campaign::{CampaignReport, Fate, MutantResult},
    report::test::{Ending, Test},
};

/// Why there are no tests.
pub(super) const NOTHING: &str = "no mutant was made";

pub(super) fn tests(report: &MutateReport) -> Vec<Test<'_>> {
    report.kernels.iter().flat_map(|kernel| kernel.mutants.iter().map(move |mutant| of(kernel, mutant))).collect()
}

pub(super) fn properties(report: &MutateReport) -> Vec<(&'static str, String)> {
    let mut properties = vec![("verdict", report.verdict.name().to_owned()), ("seed", format!("{:#x}", report.seed))];
    properties.extend(report.kernels.iter().map(|kernel| ("kernel", format!("{} ({})", kernel.release, kernel.origin))));
    properties
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
