//! The table: a row for each case. When the terminal is narrow, names are broken, then columns go, the least telling first.

use super::super::{Agreement, CaseResult, expected_name};
use crate::report::{
    columns::{Column, Columns},
    human::paint,
    text::{clean, hanging},
    units,
};
use anstyle::{AnsiColor, Style};
use std::path::Path;

struct Number {
    header: &'static str,
    show: fn(&CaseResult) -> String,
}

const NUMBERS: [Number; 4] = [
    Number { header: "states", show: |case| units::count(case.states) },
    Number { header: "transitions", show: |case| units::count(case.transitions) },
    Number { header: "depth", show: |case| units::count(case.depth.into()) },
    Number { header: "time", show: |case| units::microseconds(case.seconds * 1e6) },
];

/// Columns to try, widest first: which numbers, and whether it is only about expectation and verdict.
const CANDIDATES: [(&[usize], bool); 5] = [(&[0, 1, 2, 3], false), (&[0, 3], false), (&[0], false), (&[], false), (&[], true)];

/// Its lines; none for no cases.
pub(super) fn render(cases: &[CaseResult], width: usize, color: bool) -> Vec<String> {
    if cases.is_empty() {
        return Vec::new();
    }
    let mut tables = CANDIDATES.iter().map(|&(kept, short)| table(cases, kept, short, color)).peekable();
    while let Some(candidate) = tables.next() {
        // With no number left there is nothing else to give.
        if candidate.least_width() <= width || tables.peek().is_none() {
            return candidate.lines(width);
        }
    }
    Vec::new()
}

/// The colour in which a case is good or bad.
pub(super) fn style(agreement: Agreement) -> Style {
    match agreement {
        Agreement::Agrees => AnsiColor::Green.on_default(),
        Agreement::Disagrees => AnsiColor::Red.on_default().bold(),
        Agreement::Vacuous | Agreement::Undecided => AnsiColor::Yellow.on_default(),
    }
}

/// What is above the table, so that no row has to repeat it: the one model, or where all of them are.
pub(super) fn heading(cases: &[CaseResult], width: usize) -> Vec<String> {
    let text = match cases.first() {
        Some(first) if is_one(cases) && first.model == first.path => first.path.clone(),
        Some(first) if is_one(cases) => format!("{} ({})", first.model, first.path),
        _ if above(cases).is_empty() => return Vec::new(),
        _ => format!("models in {}", above(cases)),
    };
    hanging("", &text, width)
}

fn is_one(cases: &[CaseResult]) -> bool {
    cases.windows(2).all(|pair| pair[0].path == pair[1].path)
}

fn table(cases: &[CaseResult], kept: &[usize], short: bool, color: bool) -> Columns {
    let numbers = || kept.iter().map(|&n| &NUMBERS[n]);
    // Everybody knows what a check without a word about memory means.
    let memory = !short && cases.iter().any(|case| case.memory_model != "sc");
    let above = above(cases);
    let one = is_one(cases);
    let (mut kinds, mut titles) = (vec![Column::Text(if short { 8 } else { 12 })], vec!["variant".to_owned()]);
    if !one {
        kinds.insert(0, Column::Text(if short { 8 } else { 16 }));
        titles.insert(0, "model".to_owned());
    }
    if memory {
        kinds.push(Column::Word);
        titles.push("memory".to_owned());
    }
    kinds.extend([Column::Word, Column::Word]);
    titles.extend(["expected", "verdict"].map(str::to_owned));
    kinds.extend(numbers().map(|_| Column::Number));
    titles.extend(numbers().map(|number| if number.header == "states" { counted(cases) } else { number.header }.to_owned()));
    if !short {
        kinds.push(Column::Word);
        titles.push("as expected".to_owned());
    }
    let mut columns = Columns::new(kinds);
    columns.header(titles.iter().map(|title| paint::header(title, color)).collect());
    for case in cases {
        let style = style(case.agreement);
        let mut cells = vec![clean(&if short { case.name() } else { case.variant.clone() })];
        if !one {
            cells.insert(0, clean(&case.path[above.len()..]));
        }
        cells.extend(memory.then(|| case.memory_model.to_owned()));
        cells.extend([expected_name(case.expected).to_owned(), paint::painted(case.found(), style, color)]);
        cells.extend(numbers().map(|number| (number.show)(case)));
        let answer = match case.agreement {
            Agreement::Agrees => "yes",
            Agreement::Disagrees => "NO",
            Agreement::Vacuous | Agreement::Undecided => "unproved",
        };
        cells.extend((!short).then(|| paint::painted(answer, style, color)));
        columns.row(cells);
    }
    columns
}

/// What is counted: walks at random come to the same state again and again, and do not know it.
pub(super) fn counted(cases: &[CaseResult]) -> &'static str {
    if cases.iter().any(|case| case.random.is_some()) { "visits" } else { "states" }
}

/// The directories that are above all files.
fn above(cases: &[CaseResult]) -> &str {
    let Some(first) = cases.first().map(|case| case.path.as_str()) else { return "" };
    let mut above = Path::new(first).parent();
    while let Some(directory) = above.and_then(Path::to_str).filter(|directory| !directory.is_empty()) {
        let prefix = directory.trim_end_matches('/').len() + 1;
        let inside = |path: &str| path.starts_with(directory) && path.as_bytes().get(prefix - 1) == Some(&b'/');
        if cases.iter().all(|case| inside(&case.path)) {
            return &first[..prefix];
        }
        above = Path::new(directory).parent();
    }
    ""
}

/// What reached its bound: each bound once, with the cases to which it applies.
pub(super) fn undecided(cases: &[CaseResult], width: usize) -> Vec<String> {
    let mut bounds: Vec<(String, Vec<String>)> = Vec::new();
    for case in cases.iter().filter(|case| case.agreement == Agreement::Undecided) {
        let who = clean(&format!("{} {}", case.path, case.name()));
        let bound = bound(case);
        match bounds.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, cases)) => cases.push(who),
            None => bounds.push((bound, vec![who])),
        }
    }
    bounds.iter().flat_map(|(bound, who)| hanging("bounded: ", &format!("{}: {bound}", who.join(", ")), width)).collect()
}

/// What ended it before its end, and what that means.
pub(super) fn bound(case: &CaseResult) -> String {
    let why = match (case.bound, case.random) {
        (Some("states"), _) => "more states than --max-states allows".to_owned(),
        (Some("bytes"), _) => "more memory than --max-memory allows (every state is kept exactly)".to_owned(),
        (Some("interrupted"), _) => "interrupted".to_owned(),
        (_, Some(random)) => {
            let walks = if random.walks == 1 { "1 random walk".to_owned() } else { format!("{} random walks", random.walks) };
            format!("{walks} from seed {}", random.seed)
        }
        _ => "a limit was reached".to_owned(),
    };
    format!("{why}; nothing wrong was seen, which proves nothing")
}
