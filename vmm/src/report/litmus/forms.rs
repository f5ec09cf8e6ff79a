//! Litmus tests as test tools see them: a test for each case, and one for each that could not be run.

use super::{LitmusReport, TestResult, Verdict, human};
use crate::report::{
    check::forms::of_error,
    test::{Ending, Test},
};

/// Why there are no tests.
pub(super) const NOTHING: &str = "no test was run";

pub(super) fn tests(report: &LitmusReport) -> Vec<Test<'_>> {
    report.tests.iter().map(of_test).chain(report.errors.iter().map(|error| of_error(error, "litmus"))).collect()
}

pub(super) fn notes(report: &LitmusReport) -> Vec<String> {
    let cut = report.interrupted.then(|| "interrupted before all tests were done".to_owned());
    let never = report.tests.iter().flat_map(|test| {
        test.never_seen
            .iter()
            .map(|never| format!("{} {}: allowed, never seen on {}: {}", test.path, test.name(), never.on, never.state))
    });
    let alarms = report.alarms.iter().map(|alarm| format!("kernel: {alarm}"));
    cut.into_iter().chain(alarms).chain(never).collect()
}

fn of_test(test: &TestResult) -> Test<'_> {
    Test {
        name: test.name(),
        group: test.path.clone(),
        title: format!("{} {}", test.path, test.name()),
        ending: match test.verdict {
            Verdict::Agrees => Ending::Passed,
            Verdict::Forbidden | Verdict::Unexpected => Ending::Failed,
            Verdict::Bounded | Verdict::Vacuous => Ending::Unjudged,
        },
        verdict: test.verdict.name(),
        reason: test.reason.clone(),
        seconds: test.soft.as_ref().map_or(0.0, |ran| ran.seconds)
            + test.explored.as_ref().map_or(0.0, |explored| explored.seconds),
        describe: Box::new(move |width| human::table(test, width, false)),
        replay: test.replay.clone(),
    }
}
