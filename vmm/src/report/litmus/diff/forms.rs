//! A comparison as test tools see it: a test for each pair, which passes if nothing differs.

use super::{DiffReport, Pair, Verdict, human};
use crate::report::test::{Ending, Test};

/// Why there are no tests.
pub(super) const NOTHING: &str = "no test was run at the same place in both recordings";

pub(super) fn tests(report: &DiffReport) -> Vec<Test<'_>> {
    report.pairs.iter().map(|pair| of_pair(report, pair)).collect()
}

pub(super) fn properties(report: &DiffReport) -> [(&'static str, String); 4] {
    [
        ("a", report.a.path.clone()),
        ("b", report.b.path.clone()),
        ("alpha", report.alpha.to_string()),
        ("method", report.method.clone()),
    ]
}

pub(super) fn notes(report: &DiffReport) -> Vec<String> {
    let alone = [("A", &report.only_in_a), ("B", &report.only_in_b)];
    let alone = alone.into_iter().flat_map(|(side, all)| all.iter().map(move |one| format!("only in {side}: {}", one.name())));
    let forbidden = report.pairs.iter().flat_map(|pair| {
        let states = pair.states.iter().filter(|state| state.is_new_and_forbidden());
        states.map(|state| format!("{} {}: {}: {}", pair.file, pair.name(), human::what(state), state.state))
    });
    report.notes.iter().cloned().chain(forbidden).chain(alone).collect()
}

fn of_pair<'a>(report: &'a DiffReport, pair: &'a Pair) -> Test<'a> {
    let different = || {
        let states = pair.states.iter().filter(|state| state.confident);
        states.map(|state| format!("{}: {}", human::what(state), state.state)).collect::<Vec<_>>().join("; ")
    };
    Test {
        name: format!("{} on {}", pair.name(), pair.on),
        group: pair.file.clone(),
        title: format!("{} {} on {}", pair.file, pair.name(), pair.on),
        ending: match pair.verdict {
            Verdict::Same => Ending::Passed,
            Verdict::Differs => Ending::Failed,
            Verdict::Inconclusive => Ending::Unjudged,
        },
        verdict: pair.verdict.name(),
        reason: pair.reason.clone().or_else(|| Some(different())),
        seconds: 0.0,
        describe: Box::new(move |width| human::table(pair, report.alpha, width, false)),
        replay: report.replay(),
    }
}
