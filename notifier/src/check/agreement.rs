//! Whether an outcome is what the file expects.

use super::{Cause, Outcome, Verdict};
use crate::{
    compile::Case,
    lang::ast::Expected,
    model::{Ask, Model},
};

/// How an outcome stands to what was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Agreement {
    /// As expected.
    Agrees,
    /// Not as expected.
    Differs,
    /// Nothing was proved: a `sometimes` never came true, or a limit was reached.
    Open,
}

/// Compares an outcome with the expectation of its case. An expected message has to be that of the property or step that failed;
/// a `sometimes` that never came true is no failure that anybody expects, unless its message is the expected one.
#[must_use]
pub fn agreement(case: &Case, model: &Model, outcome: &Outcome) -> Agreement {
    let vacuous = is_vacuous(model, outcome);
    let expected = match (case.expected, outcome.verdict) {
        (_, Verdict::Bounded) => return Agreement::Open,
        (Expected::Holds, Verdict::Holds)
        | (Expected::Deadlocks, Verdict::Deadlock)
        | (Expected::Livelocks, Verdict::Livelock) => true,
        (Expected::Fails, Verdict::Deadlock | Verdict::Livelock) => case.message.is_none(),
        (Expected::Fails, Verdict::Fails) => match &case.message {
            Some(message) => said(model, outcome).is_some_and(|said| said == message),
            None => !vacuous,
        },
        _ => false,
    };
    match (expected, vacuous) {
        (true, _) => Agreement::Agrees,
        (false, true) => Agreement::Open,
        (false, false) => Agreement::Differs,
    }
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
fn said<'a>(model: &'a Model, outcome: &'a Outcome) -> Option<&'a str> {
    match &outcome.violation.as_ref()?.what {
        Cause::Property(property) => model.properties[property.0 as usize].message.as_deref(),
        Cause::Step { why, .. } => Some(why),
        Cause::Deadlock | Cause::Livelock => None,
    }
}
