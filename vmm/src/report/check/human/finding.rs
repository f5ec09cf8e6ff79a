//! What a case came to: the way to what failed, what that is, and how to see it again.

use super::{
    super::{Agreement, CaseResult, Place, expected_name},
    steps, table,
};
use crate::report::{
    human::paint,
    text::{clean, hanging},
    units,
};
use nostale_notifier::{check::Verdict, lang::ast::Expected};

/// Who failed, and whether that was expected.
pub(super) fn title(case: &CaseResult, width: usize, color: bool) -> Vec<String> {
    let expected = match case.agreement {
        Agreement::Agrees => ", as expected".to_owned(),
        Agreement::Disagrees if case.verdict == Verdict::Holds && case.expected == Expected::Holds => String::new(),
        _ => format!(", expected: {}", expectation(case)),
    };
    let found = case.found();
    let text = format!("{} {}{expected}", case.path, case.name());
    let mut lines = hanging(&format!("{found}: "), &text, width);
    // Coloured only now: escape sequences take no columns.
    lines[0] = lines[0].replacen(found, &paint::painted(found, table::style(case.agreement), color), 1);
    lines
}

/// The file's own words.
pub(in crate::report::check) fn expectation(case: &CaseResult) -> String {
    let message = case.expected_message.as_deref().map(|message| format!(" \"{message}\"")).unwrap_or_default();
    format!("{}{message}", expected_name(case.expected))
}

/// The lines, of which all but the last are at most `width` columns wide, if the steps can be shown in so many.
pub(in crate::report::check) fn describe(case: &CaseResult, width: usize, color: bool) -> Vec<String> {
    let mut lines = steps::render(&case.counterexample, width, color);
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.extend(what(case).into_iter().flat_map(|line| hanging("  ", &line, width)));
    for waiting in &case.waiting {
        let text = format!("{} waits for ever at {}: {}", waiting.thread, at(case, &waiting.place), waiting.step);
        lines.extend(hanging("    ", &text, width));
    }
    // Last and alone on its line, whole: it is there to be copied.
    lines.push("  replay with:".to_owned());
    lines.push(format!("    {}", clean(&case.replay)));
    lines
}

/// What is wrong, in a few lines.
pub(in crate::report::check) fn what(case: &CaseResult) -> Vec<String> {
    let states = match case.states {
        1 => "in the only reachable state".to_owned(),
        n => format!("in none of {} reachable states", units::count(n)),
    };
    let Some(violated) = &case.violated else {
        let states = if case.states == 1 {
            "the only reachable state is".to_owned()
        } else {
            format!("all {} reachable states are", units::count(case.states))
        };
        return match case.verdict {
            Verdict::Holds if case.expected != Expected::Holds => vec![format!("{states} seen: nothing fails")],
            Verdict::Bounded => vec![table::bound(case)],
            _ => Vec::new(),
        };
    };
    let place = violated.place.as_ref().map(|place| format!("{}: ", at(case, place))).unwrap_or_default();
    let steps = case.counterexample.iter().filter(|step| !step.repeats).count();
    let after = match steps {
        0 => "in the first state".to_owned(),
        1 => "after 1 step".to_owned(),
        n => format!("after {n} steps"),
    };
    let mut lines = match violated.kind {
        "property" if case.vacuous => {
            let never = if case.states == 1 { "is not true" } else { "is true" };
            vec![format!("{place}{} {never} {states}", violated.text)]
        }
        "property" => vec![format!("{place}{} is violated {after}", violated.text)],
        "step" => vec![format!("{place}{}, in step {}", violated.text, case.counterexample.len())],
        "deadlock" => vec![format!("{}, {after}", violated.text)],
        _ => {
            let round = case.counterexample.iter().filter(|step| step.repeats).count();
            let steps =
                if round == 1 { "the step marked ↻ repeats".to_owned() } else { "the steps marked ↻ repeat".to_owned() };
            vec![format!("{}: {steps} for ever", violated.text)]
        }
    };
    lines.extend(violated.message.as_ref().map(|message| format!("\"{message}\"")));
    lines
}

/// A place as compilers write it.
fn at(case: &CaseResult, place: &Place) -> String {
    format!("{}:{}", place.library.as_ref().unwrap_or(&case.path), place.line)
}
