use super::*;
use crate::report::{
    ScenarioResult,
    sample::{self, TICKS, scenario, skipped},
};

fn show(report: &RunReport, width: usize, color: bool) -> String {
    render(report, &HumanOptions { width, color, ticks_per_us: TICKS })
}

fn of(scenarios: Vec<ScenarioResult>) -> RunReport {
    let verdict = Verdict::of(scenarios.iter().map(|scenario| scenario.verdict));
    RunReport { verdict, scenarios, notes: Vec::new(), ..sample::run() }
}

/// The table alone.
fn table(report: &RunReport, width: usize) -> String {
    show(report, width, false).split("\n\n").next().unwrap_or_default().to_owned() + "\n"
}

#[test]
fn a_run_with_every_verdict() {
    let expected = "\
operation         backing       operations/s  verified writes/s  invalidations  longest stall  verdict
mremap            anon                12.3 k             91.2 M          312 k         4.1 ms  coherent
mremap            memfd               12.3 k             91.2 M          312 k         4.1 ms  violation
mremap-dontunmap  anon                12.3 k             91.2 M          312 k         4.1 ms  coherent
migrate           anon-thp               0.4                310          312 k         10.0 s  stuck
protect           anon                12.3 k             91.2 M              0         4.1 ms  vacuous
migrate-nodes     file-private             -                  -              -              -  skipped

skipped: migrate-nodes on file-private: needs two memory nodes (this host has 1); boot with numa=fake=2

violation: mremap on memfd
  finality: 1 write after the operation had returned
  * finality on page 17 by vcpu 3, during mremap
    vcpu 3 wrote the old page of page 17 after mremap had returned with generation 42
    expected 41, found 42
        -12.4 µs  operation-start  mremap [0x7f0000011000, 0x7f0000012000) generation 42
         -3.1 µs  returned         mremap [0x7f0000011000, 0x7f0000012000) generation 42
         -3.0 µs  published        mremap [0x7f0000011000, 0x7f0000012000) generation 42
         +0.0 µs  witnessed        mremap [0x7f0000011000, 0x7f0000012000)
  replay with:
    nostale run --ops mremap --backing memfd --seed 0x5eed

stuck: migrate on anon-thp
  vcpu 1 made no progress for 10.0 s
  replay with:
    nostale run --ops migrate --backing anon-thp --seed 0x5eed

vacuous: protect on anon
  no invalidation hit the secondary MMU (remote_tlb_flush_requests did not move)
  replay with:
    nostale run --ops protect --backing anon --seed 0x5eed

note: the kernel log could not be read (dmesg_restrict is 1): the kernel oracle did not watch

violation: 5 scenarios (1 violation, 1 stuck, 1 vacuous) in 7.5 s, 684 M verified writes, 0 lost, 1 stale, 1 skipped \
                    (seed 0x5eed, kernel 6.18.44, shadow MMU)
";
    assert_eq!(show(&sample::run(), 110, false), expected);
}

#[test]
fn a_coherent_run_is_a_table_and_a_line() {
    let report = of(vec![scenario("mremap", "anon", Verdict::Coherent), scenario("fork", "memfd", Verdict::Coherent)]);
    let expected = "\
operation  backing  operations/s  verified writes/s  invalidations  longest stall  verdict
mremap     anon           12.3 k             91.2 M          312 k         4.1 ms  coherent
fork       memfd          12.3 k             91.2 M          312 k         4.1 ms  coherent

coherent: 2 scenarios in 3.0 s, 274 M verified writes, 0 lost, 0 stale, 0 skipped (seed 0x5eed, kernel 6.18.44, shadow MMU)
";
    assert_eq!(show(&report, 120, false), expected);
}

#[test]
fn a_narrow_terminal_gets_short_headers_then_fewer_columns_then_short_names() {
    let expected = "\
operation         backing        ops/s  writes/s  invals   stall  verdict
mremap            anon          12.3 k    91.2 M   312 k  4.1 ms  coherent
mremap            memfd         12.3 k    91.2 M   312 k  4.1 ms  violation
mremap-dontunmap  anon          12.3 k    91.2 M   312 k  4.1 ms  coherent
migrate           anon-thp         0.4       310   312 k  10.0 s  stuck
protect           anon          12.3 k    91.2 M       0  4.1 ms  vacuous
migrate-nodes     file-private       -         -       -       -  skipped
";
    assert_eq!(table(&sample::run(), 80), expected);
    let expected = "\
operation       backing       verdict
mremap          anon          coherent
mremap          memfd         violation
mremap-dontunm  anon          coherent
ap
migrate         anon-thp      stuck
protect         anon          vacuous
migrate-nodes   file-private  skipped
";
    assert_eq!(table(&sample::run(), 0), expected);
}

#[test]
fn no_line_is_wider_than_the_terminal_but_those_to_copy_and_to_search() {
    let mut report = sample::run();
    let long = "operation+".repeat(12);
    report.scenarios.push(scenario(&long, "a-backing-with-a-very-long-name", Verdict::Violation));
    report.scenarios.push(skipped(&long, "anon", &"reason ".repeat(60)));
    report.scenarios[1].violations[0].detail = "x".repeat(400);
    for width in 0..200 {
        let text = show(&report, width, false);
        let wide = text.lines().filter(|line| line.chars().count() > width.max(NARROWEST));
        let wide: Vec<_> = wide.filter(|line| !line.starts_with("    nostale run ") && !line.contains(" (seed 0x")).collect();
        assert!(wide.is_empty(), "{width}: {wide:#?}");
        assert!(text.lines().all(|line| line == line.trim_end()), "{width}: white space at an end\n{text}");
    }
}

#[test]
fn colour_is_only_where_it_is_allowed_and_changes_no_text() {
    let (plain, painted) = (show(&sample::run(), 100, false), show(&sample::run(), 100, true));
    assert!(!plain.contains('\x1b'));
    assert!(painted.contains("\x1b[32mcoherent\x1b[0m"));
    let mut stripped = String::new();
    let mut rest = painted.as_str();
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        stripped += before;
        rest = sequence.split_once('m').map_or("", |(_, after)| after);
    }
    assert_eq!(stripped + rest, plain);
}

#[test]
fn what_others_said_cannot_reach_the_terminal_as_it_is() {
    let mut report = sample::run();
    for scenario in &mut report.scenarios {
        scenario.name = "mremap\x1b[2J".to_owned();
        scenario.reason = Some("a\r\x1b]0;title\x07b".to_owned());
        scenario.replay = "nostale\x1b[A".to_owned();
        for violation in &mut scenario.violations {
            violation.detail = "\u{9b}2J".to_owned();
            violation.writer = Some("\x08".to_owned());
        }
    }
    report.notes = vec!["\x1b[31m".to_owned()];
    report.host.kernel = "\x1b[31m".to_owned();
    assert!(!show(&report, 100, false).contains(|c: char| c.is_control() && c != '\n'));
}

#[test]
fn extreme_data_is_shown_as_well_as_it_can_be() {
    let mut odd = scenario("mremap", "anon", Verdict::Coherent);
    (odd.writes_per_second, odd.operations_per_second, odd.longest_stall_us) = (f64::NAN, f64::INFINITY, -1.0);
    (odd.guest_writes, odd.lost_writes, odd.stale_writes) = (u64::MAX, u64::MAX, u64::MAX);
    (odd.seconds, odd.invalidations, odd.stale_reads) = (f64::NAN, u64::MAX, u64::MAX);
    let mut report = of(vec![odd.clone(), odd]);
    report.seed = u64::MAX;
    let expected = "\
operation  backing  operations/s  verified writes/s  invalidations  longest stall  verdict
mremap     anon                -                  -         18.4 E              -  coherent
mremap     anon                -                  -         18.4 E              -  coherent

coherent: 2 scenarios in 0.0 s, 18.4 E verified writes, 18.4 E lost, 18.4 E stale, 0 skipped \
                    (seed 0xffffffffffffffff, kernel 6.18.44, shadow MMU)
";
    assert_eq!(show(&report, 120, false), expected);
    let mut broken = sample::run();
    broken.scenarios[1].violations = vec![sample::violation(); 9];
    broken.scenarios[1].violations[0].events = vec![sample::violation().events[0].clone(); 50];
    broken.scenarios[1].violations[0].found = u64::MAX;
    let text = render(&broken, &HumanOptions { width: usize::MAX, color: false, ticks_per_us: f64::NAN });
    assert_eq!(text.matches("operation-start").count(), 6 + 2, "six of the fifty, and one of each other violation shown");
    assert!(text.contains("  6 more violations are in the JSON results\n"), "{text}");
    assert!(text.contains("found 18446744073709551615 (0xffffffffffffffff)\n"), "{text}");
    assert!(text.contains(" -37.2 k ticks "), "{text}");
}

#[test]
fn nothing_ran() {
    assert_eq!(show(&of(Vec::new()), 80, false), "skipped: no scenario was chosen (seed 0x5eed, kernel 6.18.44, shadow MMU)\n");
    let mut unexplained = skipped("fork", "anon", "");
    unexplained.reason = None;
    let report = of(vec![skipped("mremap", "anon", "no /dev/kvm"), unexplained, skipped("remap", "memfd", "no /dev/kvm")]);
    let expected = "\
operation  backing  operations/s  verified writes/s  invalidations  longest stall  verdict
mremap     anon                -                  -              -              -  skipped
fork       anon                -                  -              -              -  skipped
remap      memfd               -                  -              -              -  skipped

skipped: mremap on anon, remap on memfd: no /dev/kvm
skipped: fork on anon: no reason was given

skipped: none of 3 scenarios could run (seed 0x5eed, kernel 6.18.44, shadow MMU)
";
    assert_eq!(show(&report, 120, false), expected);
}

#[test]
fn an_interrupted_run_says_so() {
    let mut report = of(vec![scenario("mremap", "anon", Verdict::Coherent)]);
    report.interrupted = true;
    assert!(show(&report, 80, false).contains("\ninterrupted, so far coherent: 1 scenario in 1.5 s, "));
}
