//! A run for continuous integration: one JUnit test suite, a test case for each scenario.
//!
//! A violation and a stuck vCPU are failures; a vacuous scenario is an error, JUnit's word for a test that could not judge.

use super::{RunReport, ScenarioResult, Verdict, human::describe, text::clean};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Lines in a description are shown in narrow panes.
const WIDTH: usize = 100;

/// The document, ending in a newline.
#[must_use]
pub fn render(report: &RunReport, ticks_per_us: f64) -> String {
    let mut suite = TestSuite::new("nostale run");
    for (name, value) in properties(report) {
        suite.add_property(Property::new(name, line(&value)));
    }
    suite.add_test_cases(report.scenarios.iter().map(|scenario| case(scenario, ticks_per_us)));
    let total: Duration = report.scenarios.iter().map(time).fold(Duration::ZERO, Duration::saturating_add);
    suite.set_time(total);
    if !report.notes.is_empty() {
        suite.set_system_out(report.notes.iter().map(|note| line(note)).collect::<Vec<_>>().join("\n"));
    }
    let mut document = Report::new("nostale");
    document.set_time(total).add_test_suite(suite);
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

fn case(scenario: &ScenarioResult, ticks_per_us: f64) -> TestCase {
    let mut status = match scenario.verdict {
        Verdict::Coherent => TestCaseStatus::success(),
        Verdict::Skipped => TestCaseStatus::skipped(),
        Verdict::Violation | Verdict::Stuck => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Vacuous => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if scenario.verdict != Verdict::Coherent {
        status.set_message(line(scenario.reason.as_deref().unwrap_or("no reason was given")));
    }
    if !matches!(scenario.verdict, Verdict::Coherent | Verdict::Skipped) {
        status.set_type(scenario.verdict.name());
        status.set_description(xml(&describe(scenario, WIDTH, ticks_per_us).join("\n")));
    }
    let mut case = TestCase::new(line(&scenario.name), status);
    case.set_classname(line(&scenario.backing))
        .set_time(time(scenario))
        .add_property(Property::new("replay", line(&scenario.replay)));
    case
}

/// Its time; none where it is no time.
fn time(scenario: &ScenarioResult) -> Duration {
    Duration::try_from_secs_f64(scenario.seconds).unwrap_or_default()
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
