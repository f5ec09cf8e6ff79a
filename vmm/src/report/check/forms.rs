//! A check as test tools see it: a test for each case, and one for each that could not be checked, so that none goes unnoticed.

use super::{Agreement, CaseResult, CheckReport, Unchecked, describe, human};
use crate::report::test::{Ending, Test};

/// Why there are no tests.
pub(super) const NOTHING: &str = "nothing was checked";

pub(super) fn tests(report: &CheckReport) -> Vec<Test<'_>> {
    report.files.iter().map(of_case).chain(report.errors.iter().map(|error| of_error(error, "check"))).collect()
}

pub(super) fn notes(report: &CheckReport) -> Vec<String> {
    report.interrupted.then(|| "interrupted before all cases were begun".to_owned()).into_iter().collect()
}

fn of_case(case: &CaseResult) -> Test<'_> {
    let reason = match case.agreement {
        Agreement::Agrees => None,
        Agreement::Disagrees => Some(format!("{}, expected: {}", case.found(), human::expectation(case))),
        Agreement::Vacuous | Agreement::Undecided => human::what(case).into_iter().next(),
    };
    Test {
        name: case.name(),
        group: case.path.clone(),
        title: format!("{} {}", case.path, case.name()),
        ending: match case.agreement {
            Agreement::Agrees => Ending::Passed,
            Agreement::Disagrees => Ending::Failed,
            Agreement::Vacuous | Agreement::Undecided => Ending::Unjudged,
        },
        verdict: case.found(),
        reason,
        seconds: case.seconds,
        describe: Box::new(move |width| describe(case, width)),
        replay: case.replay.clone(),
    }
}

/// What could not be done by a command, as a test of its own.
pub(in crate::report) fn of_error<'a>(error: &'a Unchecked, command: &str) -> Test<'a> {
    let name = error.variant.clone().unwrap_or_else(|| "read".to_owned());
    Test {
        title: format!("{} {name}", error.path),
        name,
        group: error.path.clone(),
        ending: Ending::Unjudged,
        verdict: "error",
        reason: Some(error.message.clone()),
        seconds: 0.0,
        // It has its own layout, which `clean` would spoil.
        describe: Box::new(|_| error.shown.lines().map(|line| line.replace(char::is_control, " ")).collect()),
        replay: format!("nostale {command} {}", error.path),
    }
}

#[cfg(test)]
mod tests {
    use crate::report::{
        Format,
        check::{CheckReport, Options, Unchecked, render, sample},
    };
    use serde_json::Value;

    const OPTIONS: Options = Options { width: 80, color: false, trace: true };

    /// As expected, not as expected, vacuous, and not to be read.
    fn report() -> CheckReport {
        let mut report = sample::report("count.nst", sample::COUNT);
        report.files.extend(sample::report("locks # SKIP.nst", sample::CROSSED).files);
        report.files.extend(sample::report("v.nst", sample::VACUOUS).files);
        let message = "line 1: <no> model".to_owned();
        report.errors.push(Unchecked {
            path: "e.nst".to_owned(),
            variant: None,
            message,
            shown: "error: \x1b\n  1 | x".to_owned(),
        });
        report
    }

    #[test]
    fn ktap_has_a_line_for_everything() {
        let text = render(&report(), Format::Ktap, &OPTIONS);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("# ")).collect();
        assert_eq!(
            lines,
            [
                "KTAP version 1",
                "1..4",
                "ok 1 count.nst default",
                "not ok 2 locks _ SKIP.nst default",
                "not ok 3 v.nst default # ERROR vacuous: v.nst:5: sometimes seen is true in none of 2 reachable states",
                "not ok 4 e.nst read # ERROR error: line 1: <no> model",
            ]
        );
        assert!(text.ends_with("# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 error:2\n"), "{text}");
        assert!(text.contains("# deadlock: locks _ SKIP.nst default\n#   #  line  one ") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn junit_tells_failures_from_what_says_nothing() {
        let text = render(&report(), Format::Junit, &OPTIONS);
        for part in [
            r#"<testsuite name="nostale check" tests="4" skipped="0" errors="2" failures="1""#,
            r#"<testcase name="default" classname="count.nst""#,
            r#"<failure message="deadlock, expected: holds" type="deadlock">"#,
            r#"<error message="v.nst:5: sometimes seen is true in none of 2 reachable states" type="vacuous">"#,
            r#"<error message="line 1: &lt;no&gt; model" type="error">"#,
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    /// Scripts rely on these. A new field may be added; none may be renamed or go.
    #[test]
    fn the_names_of_the_contract_are_in_the_json() {
        let text = render(&report(), Format::Json, &OPTIONS);
        let document: Value = serde_json::from_str(&text).expect("valid JSON");
        let case = &document["files"][0];
        for name in ["path", "model", "variant", "expected", "verdict", "states", "transitions", "seconds", "counterexample"] {
            assert!(case.get(name).is_some(), "{name}: {case}");
        }
        assert!(document["version"] == 1 && case["expected"] == "fails" && case["verdict"] == "fails" && case["agrees"] == true);
        assert_eq!(case["violated"]["message"], "an increment was lost");
        let step = &case["counterexample"][1];
        assert!(step["thread"] == "a" && step["step"] == "n++" && step["line"] == 3, "{step}");
        assert_eq!(step["changes"], serde_json::json!(["n: 0 → 1"]));
        let (locks, vacuous) = (&document["files"][1], &document["files"][2]);
        assert!(locks["verdict"] == "deadlock" && locks["agrees"] == false && locks["waiting"][1]["line"] == 4, "{locks}");
        assert!(vacuous["verdict"] == "fails" && vacuous["vacuous"] == true && vacuous["agrees"] == false, "{vacuous}");
    }
}
