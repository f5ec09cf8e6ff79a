//! Whether what was found is what the file expects.

use super::{Cause, Outcome, Verdict};
use crate::{
    compile::Case,
    lang::ast::Expected,
    model::{Ask, Model},
};

/// How a finding and an expectation go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It is what was expected.
    Agrees,
    /// It is not.
    Disagrees,
    /// A `sometimes` never came true, so whatever else held has proved nothing.
    Vacuous,
    /// A limit was reached before anything was found.
    Undecided,
}

/// What was found, as far as it counts here.
struct Found<'a> {
    verdict: Verdict,
    /// It is a `sometimes` that never came true.
    vacuous: bool,
    /// The message of the property, or why the step failed.
    says: Option<&'a str>,
}

impl Agreement {
    /// `message` is what is expected to fail, where that is said.
    fn of(expected: Expected, message: Option<&str>, found: &Found<'_>) -> Self {
        let named = message.is_some() && message == found.says;
        let agrees = match (expected, found.verdict) {
            (_, Verdict::Bounded) => return Self::Undecided,
            // Only whoever names it means it.
            (_, Verdict::Fails) if found.vacuous && !(expected == Expected::Fails && named) => return Self::Vacuous,
            (Expected::Holds, verdict) => verdict == Verdict::Holds,
            (Expected::Fails, Verdict::Holds) => false,
            (Expected::Fails, Verdict::Fails) => message.is_none() || named,
            (Expected::Fails, _) => message.is_none(),
            (Expected::Deadlocks, verdict) => verdict == Verdict::Deadlock,
            (Expected::Livelocks, verdict) => verdict == Verdict::Livelock,
        };
        if agrees { Self::Agrees } else { Self::Disagrees }
    }
}

/// Compares an outcome with the expectation of its case.
#[must_use]
pub fn agreement(case: &Case, model: &Model, outcome: &Outcome) -> Agreement {
    let found = Found { verdict: outcome.verdict, vacuous: is_vacuous(model, outcome), says: says(model, outcome) };
    Agreement::of(case.expected, case.message.as_deref(), &found)
}

/// Whether what was violated is a `sometimes`: the model may hold because nothing happens in it.
#[must_use]
pub fn is_vacuous(model: &Model, outcome: &Outcome) -> bool {
    match outcome.violation.as_ref().map(|violation| &violation.what) {
        Some(Cause::Property(property)) => model.properties[property.0 as usize].ask == Ask::Sometimes,
        _ => false,
    }
}

/// What the violated property or the failed step has to say.
fn says<'a>(model: &'a Model, outcome: &'a Outcome) -> Option<&'a str> {
    match &outcome.violation.as_ref()?.what {
        Cause::Property(property) => model.properties[property.0 as usize].message.as_deref(),
        Cause::Step { why, .. } => Some(why),
        Cause::Deadlock | Cause::Livelock => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(expected: Expected, message: Option<&str>, verdict: Verdict, says: Option<&str>) -> Agreement {
        Agreement::of(expected, message, &Found { verdict, vacuous: false, says })
    }

    #[test]
    fn each_expectation_takes_its_own_verdicts_and_no_other() {
        const ALL: [Verdict; 5] = [Verdict::Holds, Verdict::Fails, Verdict::Deadlock, Verdict::Livelock, Verdict::Bounded];
        for (expected, verdicts) in [
            (Expected::Holds, "+---?"),
            (Expected::Fails, "-+++?"),
            (Expected::Deadlocks, "--+-?"),
            (Expected::Livelocks, "---+?"),
        ] {
            let marks = ALL.map(|verdict| match judged(expected, None, verdict, Some("any")) {
                Agreement::Agrees => '+',
                Agreement::Disagrees => '-',
                Agreement::Undecided => '?',
                Agreement::Vacuous => 'v',
            });
            assert_eq!(marks.iter().collect::<String>(), verdicts, "{expected:?}");
        }
    }

    #[test]
    fn a_message_that_is_expected_has_to_be_the_one_that_comes() {
        let says = |verdict, says| judged(Expected::Fails, Some("lost"), verdict, says);
        assert_eq!(says(Verdict::Fails, Some("lost")), Agreement::Agrees);
        assert_eq!(says(Verdict::Fails, Some("stale")), Agreement::Disagrees);
        assert_eq!(says(Verdict::Fails, None), Agreement::Disagrees);
        assert_eq!(says(Verdict::Deadlock, None), Agreement::Disagrees);
    }

    #[test]
    fn what_never_happens_is_no_failure_unless_it_is_named() {
        let vacuous = Found { verdict: Verdict::Fails, vacuous: true, says: Some("it is reached") };
        for expected in [Expected::Holds, Expected::Fails, Expected::Deadlocks, Expected::Livelocks] {
            assert_eq!(Agreement::of(expected, None, &vacuous), Agreement::Vacuous, "{expected:?}");
        }
        assert_eq!(Agreement::of(Expected::Fails, Some("other"), &vacuous), Agreement::Vacuous);
        assert_eq!(Agreement::of(Expected::Fails, Some("it is reached"), &vacuous), Agreement::Agrees);
    }
}
