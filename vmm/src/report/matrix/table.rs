//! The table: a row for each scenario, and for each kernel a group of columns.
//!
//! When the terminal is narrow, first the headers get short, then columns go, the least telling first, and in the end the kernels
//! stand below each other.

use super::{KernelResult, rows};
use crate::report::{
    ScenarioResult, Verdict,
    columns::{Column, Columns},
    human::{
        paint,
        table::{self, BACKING, OPERATION},
    },
    text::{clean, hanging},
    units,
};

/// Where a scenario did not run.
const NOTHING: &str = "-";

struct Number {
    header: &'static str,
    short: &'static str,
    show: fn(&ScenarioResult) -> String,
}

const NUMBERS: [Number; 2] = [
    Number { header: "operations/s", short: "ops/s", show: |s| units::rate(s.operations_per_second) },
    Number { header: "invalidations", short: "invals", show: |s| units::count(s.invalidations) },
];

/// Groups of columns to try, widest first: which numbers, and whether their headers are short.
const CANDIDATES: [(&[usize], bool); 4] = [(&[0, 1], false), (&[0, 1], true), (&[0], true), (&[], true)];

/// Its lines; none where no scenario has a result.
pub(super) fn render(kernels: &[KernelResult], width: usize, color: bool) -> Vec<String> {
    let with_rows: Vec<&KernelResult> = kernels.iter().filter(|kernel| !kernel.scenarios.is_empty()).collect();
    if with_rows.len() > 1 {
        for &(kept, short) in &CANDIDATES {
            let table = side_by_side(kernels, &with_rows, kept, short, color);
            // Names of scenarios are broken before a column goes, but not before its header gets short.
            if table.width() <= width || short && table.least_width() <= width {
                return table.lines(width);
            }
        }
    }
    let mut lines = Vec::new();
    for kernel in with_rows {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(hanging("kernel ", &kernel.name(), width).into_iter().map(|line| paint::header(&line, color)));
        lines.extend(table::render(&kernel.scenarios, width, color));
    }
    lines
}

fn side_by_side(all: &[KernelResult], kernels: &[&KernelResult], kept: &[usize], short: bool, color: bool) -> Columns {
    let numbers = || kept.iter().map(|&n| &NUMBERS[n]);
    let group = || [Column::Word].into_iter().chain(kept.iter().map(|_| Column::Number));
    let mut columns = Columns::new([OPERATION, BACKING].into_iter().chain(kernels.iter().flat_map(|_| group())));
    // A header of two lines: the kernel's name stands above the first column of its group.
    let mut titles = vec![String::from("\noperation"), String::from("\nbacking")];
    for kernel in kernels {
        titles.push(format!("{}\nverdict", kernel.name()));
        titles.extend(numbers().map(|number| format!("\n{}", if short { number.short } else { number.header })));
    }
    let painted = |title: &String| title.split('\n').map(|line| paint::header(line, color)).collect::<Vec<_>>().join("\n");
    columns.header(titles.iter().map(painted).collect());
    for row in rows(all) {
        let mut cells = vec![clean(row.0), clean(row.1)];
        for kernel in kernels {
            match kernel.scenario(row).filter(|scenario| scenario.verdict != Verdict::Skipped) {
                Some(scenario) => {
                    cells.push(paint::verdict(scenario.verdict, color));
                    cells.extend(numbers().map(|number| (number.show)(scenario)));
                }
                None => cells.extend(group().map(|_| NOTHING.to_owned())),
            }
        }
        columns.row(cells);
    }
    columns
}
