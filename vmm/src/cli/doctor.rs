//! `nostale doctor`: what this host can and cannot test, and how to enable the rest.

use super::{Refused, args::Common, output};
use crate::{
    host::facts::{Facts, Need, Row, State},
    memory::Backing,
    ops::{self, Effect, Operation},
    report::Format,
};
use anstyle::{AnsiColor, Style};
use serde_json::json;
use std::{fmt::Write, process::ExitCode};

pub(super) fn doctor(common: &Common) -> Result<ExitCode, Refused> {
    let facts = Facts::gather();
    let text = match common.format {
        Format::Json => format!("{:#}\n", as_json(&facts)),
        Format::Human => as_text(&facts, output::colour(common)),
        other => return Err(format!("doctor has no {other} form; --format human or json").into()),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// How an operation fares on one backing.
enum Fares {
    Runs,
    Needs(Need),
    Senseless(&'static str),
}

fn fares(operation: &Operation, backing: Backing, facts: &Facts) -> Fares {
    match ((operation.effect)(backing), (operation.needs)(facts, backing)) {
        (Effect::Inapplicable(reason), _) => Fares::Senseless(reason),
        (_, Err(need)) => Fares::Needs(need),
        (_, Ok(())) => Fares::Runs,
    }
}

fn as_json(facts: &Facts) -> serde_json::Value {
    let operations = ops::ALL.map(|operation| {
        let backings: serde_json::Map<_, _> = Backing::ALL
            .into_iter()
            .map(|backing| {
                let value = match fares(operation, backing, facts) {
                    Fares::Runs => json!({"runs": true}),
                    Fares::Needs(need) => json!({"runs": false, "needs": need.what, "do": need.hint}),
                    Fares::Senseless(reason) => json!({"runs": false, "inapplicable": reason}),
                };
                (backing.name().to_owned(), value)
            })
            .collect();
        json!({"name": operation.name, "summary": operation.summary, "backings": backings})
    });
    json!({"version": 1, "facts": facts, "operations": operations})
}

fn paint(text: &str, colour: AnsiColor, on: bool) -> String {
    if !on {
        return text.to_owned();
    }
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{text}{style:#}")
}

fn as_text(facts: &Facts, colour: bool) -> String {
    let mut text = String::new();
    let width = facts.rows().iter().map(|row| row.subject.len()).max().unwrap_or(0);
    for Row { subject, state, text: what, hint } in facts.rows() {
        let mark = match state {
            State::Good => paint("good   ", AnsiColor::Green, colour),
            State::Limited => paint("limited", AnsiColor::Yellow, colour),
            State::Missing => paint("missing", AnsiColor::Red, colour),
        };
        let _ = writeln!(text, "{subject:width$}  {mark}  {what}");
        if let Some(hint) = hint {
            let _ = writeln!(text, "{:width$}           do: {hint}", "");
        }
    }
    let _ = writeln!(text, "\nHost operations");
    let width = ops::ALL.iter().map(|operation| operation.name.len()).max().unwrap_or(0);
    for operation in ops::ALL {
        let mut runs = Vec::new();
        let mut needs: Vec<(Need, Vec<&str>)> = Vec::new();
        let mut senseless = None;
        for backing in Backing::ALL {
            match fares(operation, backing, facts) {
                Fares::Runs => runs.push(backing.name()),
                Fares::Needs(need) => match needs.iter_mut().find(|(known, _)| known.what == need.what) {
                    Some((_, backings)) => backings.push(backing.name()),
                    None => needs.push((need, vec![backing.name()])),
                },
                Fares::Senseless(reason) => senseless = Some(reason),
            }
        }
        let line = match (runs.as_slice(), senseless) {
            ([], Some(reason)) if needs.is_empty() => format!("nothing to try: {reason}"),
            ([], _) => paint("does not run here", AnsiColor::Red, colour),
            (runs, _) => format!("{} {}", paint("runs here:", AnsiColor::Green, colour), runs.join(" ")),
        };
        let _ = writeln!(text, "{:width$}  {}", operation.name, operation.summary);
        let _ = writeln!(text, "{:width$}  {line}", "");
        for (Need { what, hint }, backings) in needs {
            let _ = writeln!(text, "{:width$}  {} needs {what}; do: {hint}", "", backings.join(" "));
        }
    }
    text
}
