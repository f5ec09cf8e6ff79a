//! What `nostale mutate --out DIR` keeps.

use super::{OutDir, OutDirError, WIDTH, slug};
use crate::report::{
    mutate::{MutateReport, Options, describe, render},
    text::clean,
};

impl OutDir {
    /// Writes all files of a campaign: the result in every form, and what is known of each mutant on its own.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn write_mutate(&self, report: &MutateReport) -> Result<(), OutDirError> {
        let options = Options { width: WIDTH, color: false };
        self.write_forms(|format| render(report, format, &options))?;
        for (place, kernel) in (1..).zip(&report.kernels) {
            for (number, mutant) in (1..).zip(&kernel.mutants) {
                let name = format!("mutants/{place}-{}/{number:03}-{}.txt", slug(&kernel.release), slug(&mutant.id));
                let title = clean(&format!("{}: {} in {} ({})", mutant.fate, mutant.id, kernel.release, kernel.origin));
                let text = format!("{title}\n\n{}\n", describe(mutant, WIDTH).join("\n"));
                self.write(&name, text.as_bytes())?;
            }
        }
        self.write("README.txt", README.as_bytes())
    }
}

const README: &str = "\
Results of a campaign of nostale: mutants of running kernels, and whether the testbed noticed them.

table.txt    the result for people: read this first
report.json  the result for programs
junit.xml    the result for continuous integration: to be killed is to pass
ktap.txt     the result for the kernel's test tools (KTAP version 1)
mutants/     one file for each mutant: what was changed, what reaches it, every trial
";
