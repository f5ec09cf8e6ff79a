//! What `nostale matrix --out DIR` keeps.

use super::{OutDir, OutDirError, WIDTH, slug, trace::PROFILE};
use crate::report::{
    HumanOptions, json,
    matrix::{KernelResult, MatrixReport, render},
};

impl OutDir {
    /// Writes all files of a matrix: the result in every form, and for each kernel what it printed and its violations.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn write_matrix(&self, report: &MatrixReport) -> Result<(), OutDirError> {
        let options = HumanOptions { width: WIDTH, color: false, ticks_per_us: f64::NAN };
        self.write_forms(|format| render(report, format, &options))?;
        for (number, kernel) in (1..).zip(&report.kernels) {
            self.write_kernel(&format!("{number}-{}", slug(&kernel.name())), kernel)?;
        }
        self.write("README.txt", README.as_bytes())
    }

    fn write_kernel(&self, dir: &str, kernel: &KernelResult) -> Result<(), OutDirError> {
        self.write(&format!("{dir}/kernel.json"), json::document(kernel).as_bytes())?;
        if let Some(profile) = &kernel.trace {
            self.write(&format!("{dir}/{PROFILE}"), json::document(profile).as_bytes())?;
        }
        for (number, console) in (1..).zip(&kernel.logs.consoles) {
            let name = if number == 1 { "console.log".to_owned() } else { format!("console-{number}.log") };
            self.write(&format!("{dir}/{name}"), console.as_bytes())?;
        }
        if !kernel.logs.kernel.is_empty() {
            self.write(&format!("{dir}/kernel.log"), (kernel.logs.kernel.join("\n") + "\n").as_bytes())?;
        }
        let violations = kernel.scenarios.iter().flat_map(|scenario| scenario.violations.iter().map(move |v| (scenario, v)));
        for (number, (scenario, violation)) in (1..).zip(violations) {
            let name = format!("{dir}/violations/{number:02}-{}-{}.json", violation.oracle, slug(&scenario.name));
            self.write(&name, json::document(violation).as_bytes())?;
        }
        Ok(())
    }
}

const README: &str = "\
Results of the same run of nostale in several kernels.

table.txt        the result for people: read this first
report.json      the result for programs, with everything that was measured
junit.xml        the result for continuous integration, a suite for each kernel
ktap.txt         the result for the kernel's test tools (KTAP version 1)

and for each kernel a directory, NUMBER-NAME, with

kernel.json      its part of report.json
console.log      what it printed, from its boot to its end; console-2.log is of a second machine, in which was looked again for
                 what went wrong in the first, and so on
kernel.log       what it said during the scenarios, as it was read inside, if it said anything
trace.json       with --trace, what its own events came to: `nostale compare DIR/1-NAME DIR/2-NAME` compares two of them
violations/      one file for each violation that was kept: what was expected and found, the events around it, and the contents of
                 the pages
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::matrix::sample;

    #[test]
    fn a_matrix_is_kept_with_what_each_kernel_printed() {
        let above = tempfile::tempdir().expect("a temporary directory");
        let mut report = sample::matrix();
        report.kernels[1].logs.consoles = vec!["first".to_owned(), "second".to_owned()];
        report.kernels[1].logs.kernel = vec!["a".to_owned(), "b".to_owned()];
        let out = OutDir::prepare(&above.path().join("out")).expect("it can be created");
        out.write_matrix(&report).expect("written");
        let path = out.commit().expect("the name is free");
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((read("2-6_12/console.log"), read("2-6_12/console-2.log")), ("first".to_owned(), "second".to_owned()));
        assert_eq!(read("2-6_12/kernel.log"), "a\nb\n");
        assert!(read("2-6_12/violations/01-finality-mremap.json").contains("\"oracle\": \"finality\""));
        assert!(read("3-7_2_0-mine/console.log").contains("Kernel panic"));
        assert!(!path.join("4-6_17/console.log").exists() && read("4-6_17/kernel.json").contains("no network"));
        for name in ["report.json", "table.txt", "junit.xml", "ktap.txt", "README.txt"] {
            assert!(!read(name).is_empty(), "{name}");
        }
    }
}
