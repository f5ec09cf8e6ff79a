use super::{sample, *};
use crate::report::{Format, HumanOptions};
use serde_json::Value;

fn show(report: &MatrixReport, width: usize, color: bool) -> String {
    render(report, Format::Human, &HumanOptions { width, color, ticks_per_us: f64::NAN })
}

/// The first part: the table.
fn table(report: &MatrixReport, width: usize) -> String {
    show(report, width, false).split("\n\n").next().unwrap_or_default().to_owned() + "\n"
}

fn parsed(report: &MatrixReport) -> Value {
    serde_json::from_str(&render(report, Format::Json, &HumanOptions { width: 80, color: false, ticks_per_us: 1.0 }))
        .expect("JSON")
}

fn has(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value.get(name).is_some(), "{name} is not in {value:#}");
    }
}

/// Scripts rely on these. A new field may be added to a list; none may be renamed or go.
#[test]
fn the_names_of_the_contract_are_there() {
    let matrix = parsed(&sample::matrix());
    has(&matrix, &["version", "verdict", "seed", "setup", "interrupted", "kernels", "notes"]);
    has(&matrix["setup"], &["vcpus", "host_writers", "memory_bytes", "seconds", "plant", "machine"]);
    has(&matrix["setup"]["machine"], &["cpus", "memory_bytes", "nodes", "append"]);
    for kernel in matrix["kernels"].as_array().expect("a list") {
        has(
            kernel,
            &[
                "asked",
                "release",
                "origin",
                "accelerator",
                "emulator",
                "mmu",
                "host",
                "boot_seconds",
                "seconds",
                "verdict",
                "reason",
                "confirmed",
                "scenarios",
                "alarms",
                "notes",
                "damaged",
            ],
        );
        for scenario in kernel["scenarios"].as_array().expect("a list") {
            has(scenario, &["name", "backing", "verdict", "reason", "operations_per_second", "invalidations", "replay"]);
        }
    }
    assert_eq!((&matrix["version"], &matrix["verdict"], &matrix["seed"]), (&1.into(), &"violation".into(), &0x5eed.into()));
    let bad = &matrix["kernels"][1];
    assert_eq!((&bad["asked"], &bad["confirmed"], &bad["alarms"][0]["kind"]), (&"6.12".into(), &true.into(), &"BUG".into()));
    assert_eq!(matrix["kernels"][3]["release"], Value::Null);
}

#[test]
fn what_is_written_can_be_read_back() {
    let text = parsed(&sample::matrix());
    let back: MatrixReport = serde_json::from_value(text.clone()).expect("our own");
    assert_eq!(parsed(&back), text);
}

#[test]
fn kernels_stand_side_by_side() {
    let names = format!("{:32}6.1{:36}6.12\n", "", "");
    let expected = "\
operation         backing       verdict   operations/s  invalidations  verdict    operations/s  invalidations
mremap            anon          coherent        12.3 k          312 k  coherent         12.3 k          312 k
mremap            memfd         coherent        12.3 k          312 k  violation        12.3 k          312 k
mremap-dontunmap  anon          coherent        12.3 k          312 k  coherent         12.3 k          312 k
protect           anon          coherent        12.3 k              0  vacuous          12.3 k              0
migrate           anon-thp      -                    -              -  stuck               0.4          312 k
migrate-nodes     file-private  -                    -              -  -                     -              -
";
    assert_eq!(table(&sample::matrix(), 110), names + expected);
}

#[test]
fn a_narrow_terminal_gets_short_headers_then_fewer_columns_then_one_kernel_below_the_other() {
    let header = |width| {
        let text = table(&sample::matrix(), width);
        text.lines().nth(1).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(header(90), "operation backing verdict ops/s invals verdict ops/s invals");
    assert_eq!(header(65), "operation backing verdict ops/s verdict ops/s");
    assert_eq!(header(52), "operation backing verdict verdict");
    let below = show(&sample::matrix(), 44, false);
    assert!(below.starts_with("kernel 6.1\noperation  "), "{below}");
    assert!(below.contains("\n\nkernel 6.12\noperation  "), "{below}");
}

#[test]
fn a_single_kernel_is_shown_as_a_run_is() {
    let mut report = sample::matrix();
    report.kernels.truncate(1);
    let text = show(&report, 132, false);
    let header = text.lines().nth(1).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.starts_with("kernel 6.1\noperation "), "{text}");
    assert_eq!(header, "operation backing operations/s verified writes/s invalidations longest stall verdict");
}

#[test]
fn what_went_wrong_is_said_with_the_kernel_and_each_reason_once() {
    let mut report = sample::matrix();
    let same = sample::kernel("7.2", "7.2.13", vec![sample::scenarios("7.2").remove(5)]);
    report.kernels.push(same);
    let text = show(&report, 200, false);
    for part in [
        "\nskipped in 6.12, 7.2: migrate-nodes on file-private: needs two memory nodes",
        "\nviolation: 6.12: mremap on memfd\n  finality: 1 write after the operation had returned\n  * finality on page 17",
        "    nostale matrix --kernel 6.12 --ops mremap --backing memfd --seed 0x5eed\n",
        "\nstuck: 6.12: migrate on anon-thp\n",
        "\nvacuous: 7.2.0-mine: 7.2.0-mine did not come up: the guest reset itself\n  its console:\n    [ 0.2] Kernel panic - not syncing: [31mno init\n",
        "\nskipped: 6.17: cannot fetch kernel 6.17: no network\n",
        "\nnote: 6.12: what went wrong was seen again in a second machine\n",
        "\nnote: 6.12: a line that came out of the machine was no message: ",
        "\nnote: a note on the whole\n",
        "\nviolation: 5 kernels, 9 scenarios (1 violation, 1 stuck, 1 vacuous) in 13.5 s, ",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.ends_with(", 2 skipped (seed 0x5eed)\n"), "{text}");
    let line = text.lines().find(|line| line.starts_with("6.12  ")).expect("a line for the kernel");
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[..4], ["6.12", "6.12.95-amd64", "QEMU", "7.2.22"], "{line}");
    assert_eq!(words[4..11], ["tcg", "npt", "4.2", "s", "38.1", "s", "violation"], "{line}");
}

#[test]
fn no_line_is_wider_than_the_terminal_but_those_to_copy_and_to_search() {
    let mut report = sample::matrix();
    report.kernels[1].scenarios[1].name = "operation+".repeat(12);
    for width in 0..200 {
        let text = show(&report, width, false);
        let wide = text.lines().filter(|line| line.chars().count() > width.max(40));
        let wide: Vec<_> = wide.filter(|line| !line.starts_with("    nostale ") && !line.contains(" (seed 0x")).collect();
        assert!(wide.is_empty(), "{width}: {wide:#?}");
        assert!(text.lines().all(|line| line == line.trim_end()), "{width}: white space at an end\n{text}");
        assert!(!text.contains("\n\n\n") && text.ends_with('\n'), "{width}: {text}");
    }
}

#[test]
fn colour_is_only_where_it_is_allowed_and_nothing_else_reaches_the_terminal() {
    let mut report = sample::matrix();
    report.kernels[0].origin = Some("\x1b[2J".to_owned());
    report.kernels[0].asked = "6.1\x07".to_owned();
    assert!(!show(&report, 100, false).contains(|c: char| c.is_control() && c != '\n'));
    assert!(show(&report, 100, true).contains("\x1b[32mcoherent\x1b[0m"));
}

#[test]
fn test_tools_see_a_test_for_each_scenario_of_each_kernel() {
    let options = HumanOptions { width: 100, color: false, ticks_per_us: 1.0 };
    let ktap = render(&sample::matrix(), Format::Ktap, &options);
    let results: Vec<_> = ktap.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(results.len(), 2 + 12, "{ktap}");
    assert_eq!((results[1], results[2], results[7]), ("1..12", "ok 1 6.1 mremap anon", "not ok 6 6.12 mremap memfd"));
    assert!(results[12].starts_with("not ok 11 7.2.0-mine boot # ERROR vacuous: 7.2.0-mine did not come up"), "{ktap}");
    assert!(results[13].starts_with("ok 12 6.17 boot # SKIP cannot fetch kernel"), "{ktap}");
    assert!(ktap.contains("\n# note: a note on the whole\n# Totals: pass:6 fail:2 xfail:0 xpass:0 skip:2 error:2\n"), "{ktap}");

    let junit = render(&sample::matrix(), Format::Junit, &options);
    for part in [
        r#"<testsuite name="nostale matrix 6.1" tests="4" skipped="0" errors="0" failures="0""#,
        r#"<testsuite name="nostale matrix 6.12" tests="6" skipped="1" errors="1" failures="2""#,
        r#"<testsuite name="nostale matrix 7.2.0-mine" tests="1" skipped="0" errors="1" failures="0""#,
        r#"<property name="kernel.release" value="6.12.95-amd64"/>"#,
        r#"<property name="emulator" value="QEMU 7.2.22"/>"#,
        r#"<skipped message="cannot fetch kernel 6.17: no network"/>"#,
    ] {
        assert!(junit.contains(part), "{part} is not in\n{junit}");
    }
}

#[test]
fn the_exit_status_is_that_of_the_worst_kernel() {
    let mut report = sample::matrix();
    assert_eq!(report.exit_status(), 1);
    report.interrupted = true;
    assert_eq!(report.exit_status(), 1);
    report.verdict = Verdict::Coherent;
    assert_eq!(report.exit_status(), 3);
    report.interrupted = false;
    assert_eq!(report.exit_status(), 0);
}
