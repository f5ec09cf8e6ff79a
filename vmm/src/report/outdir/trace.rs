//! What `nostale trace --out DIR` keeps, beside the recording itself.

use super::{OutDir, OutDirError, WIDTH};
use crate::report::{
    json,
    trace::{TraceShown, render},
};
use nostale_notifier::trace::profile::Profile;

/// What a profile is called in a directory of results.
pub(super) const PROFILE: &str = "trace.json";

impl OutDir {
    /// Writes all files of a call: the result in every form.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn write_trace(&self, profile: &Profile) -> Result<(), OutDirError> {
        let shown = TraceShown { width: WIDTH, color: false };
        self.write_profile(profile)?;
        let forms = [("table.txt", super::Format::Human), ("junit.xml", super::Format::Junit), ("ktap.txt", super::Format::Ktap)];
        forms.into_iter().try_for_each(|(name, format)| self.write(name, render(profile, format, &shown).as_bytes()))?;
        self.write("README.txt", README.as_bytes())
    }

    /// Writes the profile of a recording that was made beside something else.
    ///
    /// # Errors
    /// It could not be written.
    pub fn write_profile(&self, profile: &Profile) -> Result<(), OutDirError> {
        self.write(PROFILE, json::document(profile).as_bytes())
    }
}

const README: &str = "\
What a kernel did to the memory of a VM, recorded by nostale.

table.txt        the result for people: read this first
trace.json       the result for programs; what `nostale compare` and `nostale report` read
junit.xml        the rules for continuous integration
ktap.txt         the rules for the kernel's test tools (KTAP version 1)
recording.trace  the recording itself: `nostale trace --read recording.trace`
";
