//! A matrix as programs and test tools see it.

use super::{KernelResult, MatrixReport, human};
use crate::report::{
    Format, HumanOptions, Verdict, json,
    junit::{self, Suite},
    ktap,
    test::{Ending, Test},
};

/// The report in this form, ending in a newline.
#[must_use]
pub fn render(report: &MatrixReport, format: Format, options: &HumanOptions) -> String {
    match format {
        Format::Human => human::render(report, options),
        Format::Json => json::document(report),
        Format::Ktap => {
            let tests: Vec<_> = report.kernels.iter().flat_map(|kernel| tests(report, kernel)).collect();
            let of_kernel = |kernel: &KernelResult| {
                let name = kernel.name();
                human::own_notes(kernel).into_iter().map(move |note| format!("{name}: {note}")).collect::<Vec<_>>()
            };
            let notes = report.kernels.iter().flat_map(of_kernel).chain(report.notes.iter().cloned()).collect::<Vec<_>>();
            ktap::document(&tests, &notes, "no scenario was chosen")
        }
        Format::Junit => junit::documents(&report.kernels.iter().map(|kernel| suite(report, kernel)).collect::<Vec<_>>()),
    }
}

fn suite<'a>(report: &'a MatrixReport, kernel: &'a KernelResult) -> Suite<'a> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Suite {
        name: format!("nostale matrix {}", kernel.name()),
        properties: vec![
            ("verdict", kernel.verdict.to_string()),
            ("seed", format!("{:#x}", report.seed)),
            ("kernel.asked", kernel.asked.clone()),
            ("kernel.release", text(&kernel.release)),
            ("kernel.origin", text(&kernel.origin)),
            ("kernel.mmu", text(&kernel.mmu)),
            ("emulator", kernel.emulator.clone()),
            ("accelerator", kernel.accelerator.clone()),
            ("setup.vcpus", report.setup.run.vcpus.to_string()),
            ("setup.host_writers", report.setup.run.host_writers.to_string()),
            ("setup.memory_bytes", report.setup.run.memory_bytes.to_string()),
        ],
        tests: tests(report, kernel),
        notes: human::own_notes(kernel).into_iter().chain(report.notes.iter().cloned()).collect(),
    }
}

/// A test for each scenario; for a kernel that ran none, one that says why.
fn tests<'a>(report: &'a MatrixReport, kernel: &'a KernelResult) -> Vec<Test<'a>> {
    if kernel.scenarios.is_empty() {
        return vec![Test {
            name: "boot".to_owned(),
            group: kernel.name(),
            title: format!("{} boot", kernel.name()),
            ending: if kernel.verdict == Verdict::Skipped { Ending::Skipped } else { Ending::Unjudged },
            verdict: kernel.verdict.name(),
            reason: kernel.reason.clone(),
            seconds: kernel.seconds,
            describe: Box::new(|width| human::last_words(kernel, width)),
            replay: format!("nostale matrix --kernel {} --seed {:#x}", kernel.asked, report.seed),
        }];
    }
    let named = |test: Test<'a>| Test { title: format!("{} {}", kernel.name(), test.title), ..test };
    kernel.scenarios.iter().map(|scenario| named(scenario.as_test(kernel.logs.ticks_per_us))).collect()
}
