//! What `nostale litmus --out DIR` keeps.

use super::{OutDir, OutDirError, WIDTH};
use crate::report::litmus::{LitmusReport, Options, diff, render};

impl OutDir {
    /// Writes all files of a call: the result in every form.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn write_litmus(&self, report: &LitmusReport) -> Result<(), OutDirError> {
        let options = Options { width: WIDTH, color: false };
        self.write_forms(|format| render(report, format, &options))?;
        self.write("README.txt", README.as_bytes())
    }

    /// Writes all files of a comparison: the result in every form.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn write_litmus_diff(&self, report: &diff::DiffReport) -> Result<(), OutDirError> {
        let options = Options { width: WIDTH, color: false };
        self.write_forms(|format| diff::render(report, format, &options))?;
        self.write(
            "README.txt",
            README.replace("Results of litmus tests run", "Two recordings of litmus tests, compared").as_bytes(),
        )
    }
}

const README: &str = "\
Results of litmus tests run by nostale.

table.txt    the result for people: read this first
report.json  the result for programs, with everything that was counted
junit.xml    the result for continuous integration
ktap.txt     the result for the kernel's test tools (KTAP version 1)
";
