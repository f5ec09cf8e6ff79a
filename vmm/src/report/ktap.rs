//! A run for the kernel's test tools: KTAP version 1 (Documentation/dev-tools/ktap.rst) and the exit statuses of kselftest
//! (tools/testing/selftests/kselftest.h).
//!
//! A program that wants its results seen as they come prints [`plan`] and then a [`result`] for each scenario; [`render`] is both
//! and the totals.

use super::{
    ScenarioResult, Verdict,
    test::{Ending, Test},
    text::clean,
};

/// Diagnostics are for logs, which have no width; longer lines are hard to read all the same.
const WIDTH: usize = 120;

/// The exit status by which kselftest knows a verdict.
///
/// A vacuous run fails (1): the tested behaviour did not occur, so it did not pass, and as a skip (4) it would go unnoticed on
/// a host where it should occur. It is no expected failure (2) either, for nobody expects it.
#[must_use]
pub const fn exit_status(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Coherent => 0,
        Verdict::Violation | Verdict::Stuck | Verdict::Vacuous => 1,
        Verdict::Skipped => 4,
    }
}

/// The first lines: the version, and how many results will follow.
#[must_use]
pub fn plan(scenarios: usize) -> String {
    planned(scenarios, "no scenario was chosen")
}

/// The same; `nothing` says why there are none.
fn planned(tests: usize, nothing: &str) -> String {
    let nothing = if tests == 0 { format!(" # SKIP {nothing}") } else { String::new() };
    format!("KTAP version 1\n1..{tests}{nothing}\n")
}

/// The result of scenario `number`, counted from 1, behind the diagnostics that belong to it.
#[must_use]
pub fn result(number: usize, scenario: &ScenarioResult, ticks_per_us: f64) -> String {
    line(number, &scenario.as_test(ticks_per_us))
}

/// All of it.
#[must_use]
pub fn render(scenarios: &[ScenarioResult], notes: &[String], ticks_per_us: f64) -> String {
    let tests: Vec<_> = scenarios.iter().map(|scenario| scenario.as_test(ticks_per_us)).collect();
    document(&tests, notes, "no scenario was chosen")
}

/// The results of any tests; `nothing` says why there are none.
pub(super) fn document(tests: &[Test<'_>], notes: &[String], nothing: &str) -> String {
    let mut text = planned(tests.len(), nothing);
    text.extend((1..).zip(tests).map(|(number, test)| line(number, test)));
    text.extend(notes.iter().map(|note| diagnostic(&format!("note: {}", clean(note)))));
    let count = |passed: &[Ending]| tests.iter().filter(|test| passed.contains(&test.ending)).count();
    let (pass, skip) = (count(&[Ending::Passed]), count(&[Ending::Skipped]));
    // As ksft_test_result_error() counts them: what said ERROR above is no failure below.
    let error = count(&[Ending::Unjudged]);
    let fail = tests.len() - pass - skip - error;
    // The form in which kselftest.h prints them.
    text + &format!("# Totals: pass:{pass} fail:{fail} xfail:0 xpass:0 skip:{skip} error:{error}\n")
}

/// One result, behind the diagnostics that belong to it.
fn line(number: usize, test: &Test<'_>) -> String {
    let mut lines = String::new();
    if test.is_described() {
        let verdict = format!("{}: {}", test.verdict, title(test));
        lines.extend(std::iter::once(verdict).chain((test.describe)(WIDTH)).map(|line| diagnostic(&line)));
    }
    let reason = clean(test.reason());
    let (result, directive) = match test.ending {
        Ending::Passed => ("ok", String::new()),
        Ending::Failed => ("not ok", String::new()),
        Ending::TimedOut => ("not ok", format!(" # TIMEOUT {reason}")),
        Ending::Unjudged => ("not ok", format!(" # ERROR {}: {reason}", test.verdict)),
        Ending::Skipped => ("ok", format!(" # SKIP {reason}")),
    };
    lines + &format!("{result} {number} {}{directive}\n", title(test))
}

fn diagnostic(line: &str) -> String {
    format!("# {line}\n")
}

/// What was tested; without `#`, behind which a directive would be read.
fn title(test: &Test<'_>) -> String {
    clean(&test.title).replace('#', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{self, TICKS, skipped};

    #[test]
    fn every_scenario_has_its_line() {
        let run = sample::run();
        let expected = "\
KTAP version 1
1..6
ok 1 mremap anon
# violation: mremap memfd
#   finality: 1 write after the operation had returned
#   * finality on page 17 by vcpu 3, during mremap
#     vcpu 3 wrote the old page of page 17 after mremap had returned with generation 42
#     expected 41, found 42
#         -12.4 µs  operation-start  mremap [0x7f0000011000, 0x7f0000012000) generation 42
#          -3.1 µs  returned         mremap [0x7f0000011000, 0x7f0000012000) generation 42
#          -3.0 µs  published        mremap [0x7f0000011000, 0x7f0000012000) generation 42
#          +0.0 µs  witnessed        mremap [0x7f0000011000, 0x7f0000012000)
#   replay with:
#     nostale run --ops mremap --backing memfd --seed 0x5eed
not ok 2 mremap memfd
ok 3 mremap-dontunmap anon
# stuck: migrate anon-thp
#   vcpu 1 made no progress for 10.0 s
#   replay with:
#     nostale run --ops migrate --backing anon-thp --seed 0x5eed
not ok 4 migrate anon-thp # TIMEOUT vcpu 1 made no progress for 10.0 s
# vacuous: protect anon
#   no invalidation hit the secondary MMU (remote_tlb_flush_requests did not move)
#   replay with:
#     nostale run --ops protect --backing anon --seed 0x5eed
not ok 5 protect anon # ERROR vacuous: no invalidation hit the secondary MMU (remote_tlb_flush_requests did not move)
ok 6 migrate-nodes file-private # SKIP needs two memory nodes (this host has 1); boot with numa=fake=2
# note: the kernel log could not be read (dmesg_restrict is 1): the kernel oracle did not watch
# Totals: pass:2 fail:2 xfail:0 xpass:0 skip:1 error:1
";
        assert_eq!(render(&run.scenarios, &run.notes, TICKS), expected);
    }

    #[test]
    fn no_text_can_pass_for_a_result_or_a_directive() {
        let mut broken = sample::scenario("mremap # SKIP", "anon\nok 2", Verdict::Violation);
        broken.reason = Some("first\nok 7 forged\n\x1b[2J".to_owned());
        broken.replay = "a\nBail out!".to_owned();
        let text = render(&[broken, skipped("fork", "anon", "a\nnot ok 9 b")], &["x\nok 3".to_owned()], TICKS);
        let results: Vec<_> = text.lines().filter(|line| !line.starts_with("# ")).collect();
        let skip = "ok 2 fork anon # SKIP a not ok 9 b";
        assert_eq!(results, ["KTAP version 1", "1..2", "not ok 1 mremap _ SKIP anon ok 2", skip]);
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn nothing_to_run_is_a_skip_and_statuses_are_those_of_kselftest() {
        assert!(render(&[], &[], TICKS).starts_with("KTAP version 1\n1..0 # SKIP no scenario was chosen\n# Totals: pass:0 "));
        let verdicts = [Verdict::Coherent, Verdict::Violation, Verdict::Stuck, Verdict::Vacuous, Verdict::Skipped];
        assert_eq!(verdicts.map(exit_status), [0, 1, 1, 1, 4]);
    }
}
