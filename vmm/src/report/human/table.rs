//! The table: a line for each scenario.
//!
//! A skipped scenario has no numbers; its reason takes their place, across the columns. When the terminal is narrow, first the
//! headers get short, then the names, then columns go, the least telling first.

use super::paint;
use crate::report::{
    ScenarioResult, Verdict,
    text::{clean, columns, shorten, wrap},
    units,
};

/// Between two columns.
const GAP: usize = 2;
/// Names are not shortened below this, so that columns go before names become riddles.
const SHORTEST: (usize, usize) = (14, 10);
/// A reason needs this much to be read in the place of the numbers; otherwise it stands below its row.
const REASON: usize = 24;
/// Lines of a reason in the place of the numbers. All of it is in the other formats.
const REASON_LINES: usize = 3;

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

impl Number {
    const fn title(&self, short: bool) -> &'static str {
        if short { self.short } else { self.header }
    }
}

/// Columns to try, widest first: which numbers, and whether their headers are short.
const CANDIDATES: [(&[usize], bool); 6] =
    [(&[0, 1, 2, 3], false), (&[0, 1, 2, 3], true), (&[1, 2, 3], true), (&[1, 3], true), (&[1], true), (&[], true)];

/// A scenario under names that are fit to be shown.
struct Row<'a> {
    operation: String,
    backing: String,
    scenario: &'a ScenarioResult,
}

impl<'a> Row<'a> {
    fn new(scenario: &'a ScenarioResult) -> Self {
        Self { operation: clean(&scenario.name), backing: clean(&scenario.backing), scenario }
    }
}

/// Widths of the columns.
#[derive(Debug, Default)]
struct Layout {
    operation: usize,
    backing: usize,
    /// Which number, and its width.
    numbers: Vec<(usize, usize)>,
    short: bool,
}

fn widest<'a>(header: &str, cells: impl Iterator<Item = &'a str>) -> usize {
    cells.map(columns).fold(columns(header), usize::max)
}

impl Layout {
    fn new(rows: &[Row<'_>], width: usize) -> Self {
        let operation = widest("operation", rows.iter().map(|row| row.operation.as_str()));
        let backing = widest("backing", rows.iter().map(|row| row.backing.as_str()));
        let verdict = widest("verdict", rows.iter().map(|row| row.scenario.verdict.name()));
        let least = (operation.min(SHORTEST.0), backing.min(SHORTEST.1));
        for (kept, short) in CANDIDATES {
            let numbers: Vec<_> = kept.iter().map(|&n| (n, number_width(n, short, rows))).collect();
            let others = numbers.iter().map(|(_, width)| width + GAP).sum::<usize>() + verdict + 2 * GAP;
            let room = width.saturating_sub(others);
            if operation + backing <= room {
                return Self { operation, backing, numbers, short };
            }
            // Headers get short before names do, and with no number left there is nothing else to give.
            if (short && least.0 + least.1 <= room) || numbers.is_empty() {
                let operation = operation.min(room.saturating_sub(least.1).max(least.0));
                let backing = backing.min(room.saturating_sub(operation).max(least.1));
                return Self { operation, backing, numbers, short };
            }
        }
        Self { operation, backing, ..Self::default() }
    }

    /// Columns from the first number to the last.
    fn span(&self) -> usize {
        (self.numbers.iter().map(|(_, width)| width + GAP).sum::<usize>()).saturating_sub(GAP)
    }

    /// Columns in front of the first number.
    fn indent(&self) -> usize {
        self.operation + self.backing + 2 * GAP
    }

    fn names(&self, operation: &str, backing: &str) -> String {
        let (operation, backing) = (shorten(operation, self.operation), shorten(backing, self.backing));
        format!("{operation:<0$}  {backing:<1$}  ", self.operation, self.backing)
    }

    fn header(&self) -> String {
        let titles = self.numbers.iter().map(|&(n, width)| format!("{:>width$}  ", NUMBERS[n].title(self.short)));
        format!("{}{}verdict", self.names("operation", "backing"), titles.collect::<String>())
    }

    fn row(&self, row: &Row<'_>, color: bool) -> String {
        let numbers = self.numbers.iter().map(|&(n, width)| format!("{:>width$}  ", (NUMBERS[n].show)(row.scenario)));
        let verdict = paint::verdict(row.scenario.verdict, color);
        format!("{}{}{verdict}", self.names(&row.operation, &row.backing), numbers.collect::<String>())
    }

    fn skipped(&self, row: &Row<'_>, width: usize, color: bool) -> Vec<String> {
        let reason = row.scenario.reason.as_deref().map(clean).filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
        let (names, span) = (self.names(&row.operation, &row.backing), self.span());
        let verdict = paint::verdict(row.scenario.verdict, color);
        if span < REASON {
            let gap = if span == 0 { 0 } else { span + GAP };
            let below = wrap(&reason, width - GAP).into_iter().map(|line| format!("{:GAP$}{line}", ""));
            return std::iter::once(format!("{names}{:gap$}{verdict}", "")).chain(below).collect();
        }
        let mut lines = wrap(&reason, span);
        if lines.len() > REASON_LINES {
            let rest = lines.split_off(REASON_LINES - 1).join(" ");
            lines.push(shorten(&rest, span));
        }
        let indent = self.indent();
        let show = |(n, line): (usize, String)| match n {
            0 => format!("{names}{line:<span$}  {verdict}"),
            _ => format!("{:indent$}{line}", ""),
        };
        lines.into_iter().enumerate().map(show).collect()
    }
}

fn number_width(n: usize, short: bool, rows: &[Row<'_>]) -> usize {
    let shown = rows.iter().filter(|row| row.scenario.verdict != Verdict::Skipped).map(|row| (NUMBERS[n].show)(row.scenario));
    shown.map(|number| columns(&number)).fold(NUMBERS[n].title(short).len(), usize::max)
}

/// Its lines; none for no scenarios.
pub(super) fn render(scenarios: &[ScenarioResult], width: usize, color: bool) -> Vec<String> {
    if scenarios.is_empty() {
        return Vec::new();
    }
    let rows: Vec<_> = scenarios.iter().map(Row::new).collect();
    let layout = Layout::new(&rows, width);
    let mut lines = vec![paint::header(&layout.header(), color)];
    for row in &rows {
        match row.scenario.verdict {
            Verdict::Skipped => lines.extend(layout.skipped(row, width, color)),
            _ => lines.push(layout.row(row, color)),
        }
    }
    lines
}
