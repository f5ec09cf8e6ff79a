//! The table: a line for each scenario, and below it why some were skipped.
//!
//! When the terminal is narrow, first the headers get short, then names are broken, then columns go, the least telling first.

use super::paint;
use crate::report::{
    ScenarioResult, Verdict,
    columns::{Column, Columns},
    text::{clean, hanging},
    units,
};

/// Names are not broken into pieces shorter than these, so that columns go before names become riddles.
pub(in crate::report) const OPERATION: Column = Column::Text(14);
pub(in crate::report) const BACKING: Column = Column::Text(10);

struct Number {
    header: &'static str,
    short: &'static str,
    show: fn(&ScenarioResult) -> String,
}

const NUMBERS: [Number; 4] = [
    Number { header: "operations/s", short: "ops/s", show: |s| units::rate(s.operations_per_second) },
    Number { header: "verified writes/s", short: "writes/s", show: |s| units::rate(s.writes_per_second) },
    Number { header: "invalidations", short: "invals", show: |s| units::count(s.invalidations) },
    Number { header: "longest stall", short: "stall", show: |s| units::microseconds(s.longest_stall_us) },
];

/// Columns to try, widest first: which numbers, and whether their headers are short.
const CANDIDATES: [(&[usize], bool); 6] =
    [(&[0, 1, 2, 3], false), (&[0, 1, 2, 3], true), (&[1, 2, 3], true), (&[1, 3], true), (&[1], true), (&[], true)];

/// Its lines; none for no scenarios.
pub(in crate::report) fn render(scenarios: &[ScenarioResult], width: usize, color: bool) -> Vec<String> {
    if scenarios.is_empty() {
        return Vec::new();
    }
    let tables = CANDIDATES.iter().map(|&(kept, short)| (table(scenarios, kept, short, color), short));
    let fits = |(table, short): &(Columns, bool)| table.width() <= width || (*short && table.least_width() <= width);
    let mut tables = tables.peekable();
    while let Some(candidate) = tables.next() {
        // With no number left there is nothing else to give.
        if fits(&candidate) || tables.peek().is_none() {
            return candidate.0.lines(width);
        }
    }
    Vec::new()
}

fn table(scenarios: &[ScenarioResult], kept: &[usize], short: bool, color: bool) -> Columns {
    let numbers = || kept.iter().map(|&n| &NUMBERS[n]);
    let kinds = [OPERATION, BACKING].into_iter().chain(kept.iter().map(|_| Column::Number)).chain([Column::Word]);
    let mut columns = Columns::new(kinds);
    let titles = numbers().map(|number| if short { number.short } else { number.header });
    let titles = ["operation", "backing"].into_iter().chain(titles).chain(["verdict"]);
    columns.header(titles.map(|title| paint::header(title, color)).collect());
    for scenario in scenarios {
        let show = |number: &Number| match scenario.verdict {
            Verdict::Skipped => "-".to_owned(),
            _ => (number.show)(scenario),
        };
        let names = [clean(&scenario.name), clean(&scenario.backing)];
        let verdict = paint::verdict(scenario.verdict, color);
        columns.row(names.into_iter().chain(numbers().map(show)).chain([verdict]).collect());
    }
    columns
}

/// Why scenarios were skipped, in lines.
pub(super) fn skipped(scenarios: &[ScenarioResult], width: usize) -> Vec<String> {
    let line = |(reason, who): &(String, Vec<String>)| hanging("skipped: ", &format!("{}: {reason}", who.join(", ")), width);
    reasons(scenarios).iter().flat_map(line).collect()
}

/// Why scenarios were skipped: each reason once, with those to which it applies.
pub(in crate::report) fn reasons(scenarios: &[ScenarioResult]) -> Vec<(String, Vec<String>)> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for scenario in scenarios.iter().filter(|scenario| scenario.verdict == Verdict::Skipped) {
        let reason = scenario.reason.as_deref().map(clean).filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
        let who = format!("{} on {}", clean(&scenario.name), clean(&scenario.backing));
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, scenarios)) => scenarios.push(who),
            None => reasons.push((reason, vec![who])),
        }
    }
    reasons
}
