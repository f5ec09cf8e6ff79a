//! What `nostale run --out DIR` keeps.

use super::{OutDir, OutDirError, WIDTH, slug};
use crate::{
    oracle::Violation,
    report::{HumanOptions, RunReport, human, json, junit, ktap, text::clean},
};
use serde::Serialize;
use serde_json::Value;

/// A violation with what is needed to look into it alone, apart from its run.
#[derive(Serialize)]
struct Case<'a> {
    version: u32,
    scenario: &'a str,
    backing: &'a str,
    seed: u64,
    kernel: &'a str,
    mmu: &'a str,
    replay: &'a str,
    /// Turns the times of events into microseconds.
    ticks_per_us: f64,
    #[serde(flatten)]
    violation: &'a Violation,
}

impl OutDir {
    /// Writes all files of a run: the result in every form, the facts about the host, the kernel's messages during the run if
    /// there were any, and each violation on its own.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn write_run(&self, report: &RunReport, facts: &Value, kernel_log: &str, ticks_per_us: f64) -> Result<(), OutDirError> {
        let options = HumanOptions { width: WIDTH, color: false, ticks_per_us };
        // The profile of a recording has a file of its own.
        let run = RunReport { trace: None, ..report.clone() };
        self.write("run.json", json::render(&run).as_bytes())?;
        self.write("table.txt", human::render(report, &options).as_bytes())?;
        self.write("junit.xml", junit::render(report, ticks_per_us).as_bytes())?;
        self.write("ktap.txt", ktap::render(&report.scenarios, &report.notes, ticks_per_us).as_bytes())?;
        self.write("host.json", json::document(facts).as_bytes())?;
        if !kernel_log.is_empty() {
            self.write("kernel.log", kernel_log.as_bytes())?;
        }
        let cases = cases(report, ticks_per_us);
        for (number, case) in (1..).zip(&cases) {
            let name = format!("violations/{number:02}-{}-{}.json", case.violation.oracle, slug(case.scenario));
            self.write(&name, json::document(case).as_bytes())?;
        }
        self.write("README.txt", readme(report, &cases, !kernel_log.is_empty()).as_bytes())
    }
}

fn cases(report: &RunReport, ticks_per_us: f64) -> Vec<Case<'_>> {
    let cases = report.scenarios.iter().flat_map(|scenario| {
        scenario.violations.iter().map(move |violation| Case {
            version: report.version,
            scenario: &scenario.name,
            backing: &scenario.backing,
            seed: report.seed,
            kernel: &report.host.kernel,
            mmu: &report.host.mmu,
            replay: &scenario.replay,
            ticks_per_us,
            violation,
        })
    });
    cases.collect()
}

fn readme(report: &RunReport, cases: &[Case<'_>], kernel_log: bool) -> String {
    let mut text = format!(
        "Results of a run of nostale: {} (kernel {}, {} MMU, seed {:#x}).\n\n",
        report.verdict,
        clean(&report.host.kernel),
        clean(&report.host.mmu),
        report.seed
    );
    text += "\
table.txt    the result for people: read this first
run.json     the result for programs, with everything that was measured
junit.xml    the result for continuous integration
ktap.txt     the result for the kernel's test tools (KTAP version 1)
trace.json   with --trace, what the kernel's own events came to; recording.trace is the recording itself
host.json    what was known about the host: kernel, CPU, KVM, memory, what could not be tested and why
";
    if kernel_log {
        text += "kernel.log   what the kernel said during the run\n";
    }
    if !cases.is_empty() {
        text += "\
violations/  one file for each violation that was kept: what was expected and found, the events around it (`tsc` in ticks,
             `ticks_per_us` of them a microsecond), and the contents of the pages
";
    }
    text += "\nTo replay a scenario on this host, with the same random choices:\n\n";
    for scenario in &report.scenarios {
        text += &format!("    {}\n", clean(&scenario.replay));
    }
    if report.scenarios.is_empty() {
        text += "    (no scenario was chosen)\n";
    }
    text
}
