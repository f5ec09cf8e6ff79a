//! Results for continuous integration: one JUnit test suite, a test case for each scenario of a run or each case of a check; of a
//! matrix, one suite for each kernel.
//!
//! What could not be judged (a vacuous scenario, a check that reached its bound) is an error, JUnit's word for a test that came to
//! no result.

use super::{
    RunReport,
    test::{Ending, Test},
    text::clean,
};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Lines in a description are shown in narrow panes.
const WIDTH: usize = 100;

/// The document, ending in a newline.
#[must_use]
pub fn render(report: &RunReport, ticks_per_us: f64) -> String {
    let tests: Vec<_> = report.scenarios.iter().map(|scenario| scenario.as_test(ticks_per_us)).collect();
    document("nostale run", &properties(report), &tests, &report.notes)
}

/// Tests that belong together.
pub(super) struct Suite<'a> {
    pub(super) name: String,
    pub(super) properties: Vec<(&'static str, String)>,
    pub(super) tests: Vec<Test<'a>>,
    pub(super) notes: Vec<String>,
}

/// The document of any tests.
pub(super) fn document(suite: &str, properties: &[(&'static str, String)], tests: &[Test<'_>], notes: &[String]) -> String {
    whole([of(suite, properties, tests, notes)])
}

/// The document of several suites.
pub(super) fn documents(suites: &[Suite<'_>]) -> String {
    whole(suites.iter().map(|suite| of(&suite.name, &suite.properties, &suite.tests, &suite.notes)))
}

/// A suite, and the time that it took.
fn of(name: &str, properties: &[(&'static str, String)], tests: &[Test<'_>], notes: &[String]) -> (TestSuite, Duration) {
    let mut suite = TestSuite::new(line(name));
    for (name, value) in properties {
        suite.add_property(Property::new(*name, line(value)));
    }
    suite.add_test_cases(tests.iter().map(case));
    let total: Duration = tests.iter().map(time).fold(Duration::ZERO, Duration::saturating_add);
    suite.set_time(total);
    if !notes.is_empty() {
        suite.set_system_out(notes.iter().map(|note| line(note)).collect::<Vec<_>>().join("\n"));
    }
    (suite, total)
}

fn whole(suites: impl IntoIterator<Item = (TestSuite, Duration)>) -> String {
    let (suites, times): (Vec<_>, Vec<_>) = suites.into_iter().unzip();
    let mut document = Report::new("nostale");
    document.set_time(times.into_iter().fold(Duration::ZERO, Duration::saturating_add)).add_test_suites(suites);
    // Writing to memory does not fail; should the library refuse all the same, a reader must not find an empty success.
    document.to_string().unwrap_or_else(|error| format!("<!-- {} -->\n", line(&error.to_string()).replace("--", "- -")))
}

fn properties(report: &RunReport) -> [(&'static str, String); 9] {
    [
        ("verdict", report.verdict.to_string()),
        ("seed", format!("{:#x}", report.seed)),
        ("host.kernel", report.host.kernel.clone()),
        ("host.mmu", report.host.mmu.clone()),
        ("host.cpu", report.host.cpu.clone()),
        ("host.cpus", report.host.cpus.to_string()),
        ("setup.vcpus", report.setup.vcpus.to_string()),
        ("setup.host_writers", report.setup.host_writers.to_string()),
        ("setup.memory_bytes", report.setup.memory_bytes.to_string()),
    ]
}

fn case(test: &Test<'_>) -> TestCase {
    let mut status = match test.ending {
        Ending::Passed => TestCaseStatus::success(),
        Ending::Skipped => TestCaseStatus::skipped(),
        Ending::Failed | Ending::TimedOut => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Ending::Unjudged => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if test.ending != Ending::Passed {
        status.set_message(line(test.reason()));
    }
    if test.is_described() {
        status.set_type(test.verdict);
        status.set_description(xml(&(test.describe)(WIDTH).join("\n")));
    }
    let mut case = TestCase::new(line(&test.name), status);
    case.set_classname(line(&test.group)).set_time(time(test)).add_property(Property::new("replay", line(&test.replay)));
    case
}

/// Its time; none where it is no time.
fn time(test: &Test<'_>) -> Duration {
    Duration::try_from_secs_f64(test.seconds).unwrap_or_default()
}

fn line(text: &str) -> String {
    xml(&clean(text))
}

/// Without the two characters that XML forbids and that are no control characters.
fn xml(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{self, TICKS};

    #[test]
    fn every_verdict_has_its_element() {
        let document = render(&sample::run(), TICKS);
        for part in [
            r#"<testsuite name="nostale run" tests="6" skipped="1" errors="1" failures="2" time="7.500">"#,
            r#"<property name="seed" value="0x5eed"/>"#,
            r#"<property name="host.kernel" value="6.18.44"/>"#,
            r#"<testcase name="mremap" classname="anon" time="1.500">"#,
            r#"<failure message="finality: 1 write after the operation had returned" type="violation">"#,
            r#"<failure message="vcpu 1 made no progress for 10.0 s" type="stuck">"#,
            r#"<error message="no invalidation hit the secondary MMU (remote_tlb_flush_requests did not move)" type="vacuous">"#,
            r#"<skipped message="needs two memory nodes (this host has 1); boot with numa=fake=2"/>"#,
            "nostale run --ops mremap --backing memfd --seed 0x5eed",
            "dmesg_restrict",
        ] {
            assert!(document.contains(part), "{part} is not in\n{document}");
        }
    }

    #[test]
    fn any_text_and_any_number_make_a_document() {
        let mut report = sample::run();
        report.host.cpu = "\"<&>\u{ffff}\0".to_owned();
        report.scenarios[1].reason = Some("]]> & \x1b[31m</failure>".to_owned());
        for (scenario, seconds) in report.scenarios.iter_mut().zip([f64::NAN, f64::MAX, -1.0, f64::INFINITY, 0.0]) {
            scenario.seconds = seconds;
        }
        let document = render(&report, f64::NAN);
        assert!(document.contains(r#"value="&quot;&lt;&amp;&gt;"#), "{document}");
        assert_eq!(document.matches("</failure>").count(), 2, "{document}");
        assert!(!document.contains(['\x1b', '\0', '\u{ffff}']));
    }
}
