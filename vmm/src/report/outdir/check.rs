//! What `nostale check --out DIR` keeps.

use super::{OutDir, OutDirError, WIDTH, slug};
use crate::report::{
    check::{CheckReport, Options, describe, render},
    text::clean,
};

impl OutDir {
    /// Writes all files of a check: the result in every form, and each counterexample on its own.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn write_check(&self, report: &CheckReport) -> Result<(), OutDirError> {
        let options = Options { width: WIDTH, color: false, trace: true };
        self.write_forms(|format| render(report, format, &options))?;
        let failing = report.files.iter().filter(|case| case.violated.is_some());
        for (number, case) in (1..).zip(failing) {
            let stem = case.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".nst");
            let name = format!("counterexamples/{number:02}-{}-{}.txt", slug(stem), slug(&case.name()));
            let title = clean(&format!("{}: {} {} (\"{}\")", case.found(), case.path, case.name(), case.model));
            let text = format!("{title}\n\n{}\n", describe(case, WIDTH).join("\n"));
            self.write(&name, text.as_bytes())?;
        }
        self.write("README.txt", README.as_bytes())
    }
}

const README: &str = "\
Results of a check of models by nostale.

table.txt         the result for people, with the way to every failure: read this first
report.json       the result for programs
junit.xml         the result for continuous integration
ktap.txt          the result for the kernel's test tools (KTAP version 1)
counterexamples/  one file for each failure, expected or not, if there are any
";
