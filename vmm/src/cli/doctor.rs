//! `nostale doctor`: what this host can and cannot test, and how to enable the rest.

mod elsewhere;

use super::{Refused, args::Common, output};
use crate::{
    host::facts::{Facts, Need, Row, State},
    memory::Backing,
    ops::{self, Effect, Operation},
    report::{
        Format,
        columns::{Column, Columns},
        text::clean,
    },
};
use anstyle::{AnsiColor, Style};
use elsewhere::Elsewhere;
use serde_json::json;
use std::process::ExitCode;

pub(super) fn doctor(common: &Common) -> Result<ExitCode, Refused> {
    let (facts, elsewhere) = (Facts::gather(), Elsewhere::look());
    let text = match common.format {
        Format::Json => {
            let mut json = as_json(&facts);
            json["elsewhere"] = elsewhere.as_json();
            format!("{json:#}\n")
        }
        Format::Human => {
            let rows = [facts.rows(), elsewhere.rows()].concat();
            as_text(&facts, &rows, output::width(), output::colour(common))
        }
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
    match (operation.on(backing), operation.possible(facts, backing, &std::env::temp_dir())) {
        (Effect::Inapplicable(reason), _) => Fares::Senseless(reason),
        (_, Err(need)) => Fares::Needs(need),
        (_, Ok(())) => Fares::Runs,
    }
}

/// What doctor says, for programs.
pub(crate) fn as_json(facts: &Facts) -> serde_json::Value {
    let operations = ops::all().map(|operation| {
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
    let operations: Vec<_> = operations.collect();
    json!({"version": 1, "facts": facts, "operations": operations})
}

fn paint(text: &str, colour: AnsiColor, on: bool) -> String {
    if !on {
        return text.to_owned();
    }
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{text}{style:#}")
}

/// All of it in at most `width` columns, of which there should be 40.
fn as_text(facts: &Facts, rows: &[Row], width: usize, colour: bool) -> String {
    let mut lines = subjects(rows, colour).lines(width);
    lines.push(String::new());
    lines.extend(operations(facts, colour).lines(width));
    lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

fn subjects(rows: &[Row], colour: bool) -> Columns {
    let mut columns = Columns::new([Column::Word, Column::Word, Column::Text(0)]);
    for Row { subject, state, text, hint } in rows {
        let mark = match state {
            State::Good => paint("good", AnsiColor::Green, colour),
            State::Limited => paint("limited", AnsiColor::Yellow, colour),
            State::Missing => paint("missing", AnsiColor::Red, colour),
        };
        let hint = hint.as_ref().map(|hint| format!("\ndo: {}", clean(hint))).unwrap_or_default();
        columns.row(vec![(*subject).to_owned(), mark, clean(text) + &hint]);
    }
    columns
}

fn operations(facts: &Facts, colour: bool) -> Columns {
    let mut columns = Columns::new([Column::Word, Column::Text(0), Column::Text(0)]);
    columns.header(["operation", "runs here on", "what it does, and what it needs"].map(str::to_owned).to_vec());
    for operation in ops::all() {
        let mut runs = Vec::new();
        let mut needs: Vec<(Need, Vec<&str>)> = Vec::new();
        for backing in Backing::ALL {
            match fares(operation, backing, facts) {
                Fares::Runs => runs.push(backing.name()),
                Fares::Needs(need) => match needs.iter_mut().find(|(known, _)| known.what == need.what) {
                    Some((_, backings)) => backings.push(backing.name()),
                    None => needs.push((need, vec![backing.name()])),
                },
                Fares::Senseless(_) => {}
            }
        }
        let runs = match runs.len() {
            0 => paint("nothing", AnsiColor::Red, colour),
            all if all == Backing::ALL.len() => paint("every backing", AnsiColor::Green, colour),
            _ => runs.join(" "),
        };
        let needs = needs.iter().map(|(Need { what, hint }, backings)| {
            format!("\n{} needs {}\ndo: {}", backings.join(" "), clean(what), clean(hint))
        });
        columns.row(vec![operation.name.to_owned(), runs, operation.summary.to_owned() + &needs.collect::<String>()]);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_this_host_has_fits_and_is_in_colour_only_where_that_is_allowed() {
        let facts = Facts::gather();
        let rows = [facts.rows(), Elsewhere::look().rows()].concat();
        for width in 40..200 {
            let text = as_text(&facts, &rows, width, false);
            let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > width).collect();
            assert!(wide.is_empty(), "{width}: {wide:#?}");
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{width}: {text:?}");
        }
        assert!(as_text(&facts, &rows, 80, true).contains("\x1b[32mgood\x1b[0m"));
    }
}
