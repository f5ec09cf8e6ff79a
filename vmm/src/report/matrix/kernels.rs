//! A line for each kernel: what it is, how it was run, and what came of it.

use super::KernelResult;
use crate::report::{
    columns::{Column, Columns},
    human::paint,
    text::clean,
    units,
};

struct Field {
    header: &'static str,
    kind: Column,
    show: fn(&KernelResult) -> String,
}

const FIELDS: [Field; 8] = [
    Field { header: "kernel", kind: Column::Text(8), show: KernelResult::name },
    Field { header: "release", kind: Column::Word, show: |kernel| text(kernel.release.as_deref()) },
    Field { header: "emulator", kind: Column::Word, show: emulator },
    Field { header: "MMU", kind: Column::Word, show: |kernel| text(kernel.mmu.as_deref()) },
    Field { header: "boot", kind: Column::Number, show: |kernel| kernel.boot_seconds.map_or("-".to_owned(), units::seconds) },
    Field { header: "total", kind: Column::Number, show: |kernel| units::seconds(kernel.seconds) },
    Field { header: "verdict", kind: Column::Word, show: |_| String::new() },
    Field { header: "origin", kind: Column::Text(24), show: |kernel| text(kernel.origin.as_deref()) },
];
/// Which of them is painted.
const VERDICT: usize = 6;

/// Fields to try, all at first.
const CANDIDATES: [&[usize]; 5] =
    [&[0, 1, 2, 3, 4, 5, 6, 7], &[0, 1, 2, 3, 4, 5, 6], &[0, 1, 3, 4, 5, 6], &[0, 3, 4, 5, 6], &[0, 5, 6]];

pub(super) fn render(kernels: &[KernelResult], width: usize, color: bool) -> Vec<String> {
    let mut tables = CANDIDATES.iter().map(|kept| table(kernels, kept, color)).peekable();
    while let Some(table) = tables.next() {
        if table.least_width() <= width || tables.peek().is_none() {
            return table.lines(width);
        }
    }
    Vec::new()
}

fn table(kernels: &[KernelResult], kept: &[usize], color: bool) -> Columns {
    let mut columns = Columns::new(kept.iter().map(|&n| FIELDS[n].kind));
    columns.header(kept.iter().map(|&n| paint::header(FIELDS[n].header, color)).collect());
    for kernel in kernels {
        let cell = |&n: &usize| match n {
            VERDICT => paint::verdict(kernel.verdict, color),
            n => (FIELDS[n].show)(kernel),
        };
        columns.row(kept.iter().map(cell).collect());
    }
    columns
}

fn text(value: Option<&str>) -> String {
    value.map(clean).filter(|value| !value.is_empty()).unwrap_or_else(|| "-".to_owned())
}

fn emulator(kernel: &KernelResult) -> String {
    match (kernel.emulator.as_str(), kernel.accelerator.as_str()) {
        ("", _) => "-".to_owned(),
        (emulator, accelerator) => clean(&format!("{emulator} {accelerator}")),
    }
}
