//! One test as the formats for test tools see it, whatever was tested.

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Passed,
    Failed,
    /// It did not come to its end in time.
    TimedOut,
    /// It came to its end, and nothing can be said.
    Unjudged,
    Skipped,
}

/// A test and its result.
pub(super) struct Test<'a> {
    /// Its name among those of its group.
    pub(super) name: String,
    /// What belongs together.
    pub(super) group: String,
    /// Both, as one name.
    pub(super) title: String,
    pub(super) ending: Ending,
    /// The word for it in our own results.
    pub(super) verdict: &'static str,
    /// Why it did not pass.
    pub(super) reason: Option<String>,
    pub(super) seconds: f64,
    /// What is needed to look into it, in lines of this width.
    pub(super) describe: Box<dyn Fn(usize) -> Vec<String> + 'a>,
    /// The line that does it again.
    pub(super) replay: String,
}

impl Test<'_> {
    /// Why it did not pass; something is said in any case.
    pub(super) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("no reason was given")
    }

    /// Whether there is something to be looked into.
    pub(super) fn is_described(&self) -> bool {
        !matches!(self.ending, Ending::Passed | Ending::Skipped)
    }
}
