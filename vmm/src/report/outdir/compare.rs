//! What `nostale compare --out DIR` keeps.

use super::{OutDir, OutDirError, WIDTH};
use crate::report::compare::{Options, render};
use nostale_notifier::trace::compare::Comparison;

impl OutDir {
    /// Writes all files of a comparison of recordings: the result in every form.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn write_compare(&self, comparison: &Comparison) -> Result<(), OutDirError> {
        let options = Options { width: WIDTH, color: false };
        self.write_forms(|format| render(comparison, format, &options))?;
        self.write("README.txt", README.as_bytes())
    }
}

const README: &str = "\
Two recordings of a kernel's invalidations, compared by nostale.

table.txt    the result for people: read this first
report.json  the result for programs, with every order and every time, whether or not it differs
junit.xml    the result for continuous integration
ktap.txt     the result for the kernel's test tools (KTAP version 1)
";
