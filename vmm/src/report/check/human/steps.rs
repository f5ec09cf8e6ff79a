//! The steps of a counterexample: a row for each, and a column for each thread that takes one.

use super::super::TakenStep;
use crate::report::{
    columns::{Column, Columns},
    human::paint,
    text::clean,
};
use anstyle::{AnsiColor, Style};

/// Steps are not broken into pieces shorter than this; when it would come to that, all threads share one column.
const STEP: u16 = 10;
const CHANGES: u16 = 14;
/// What the memory system does beside the program.
const BESIDE: Style = Style::new().dimmed();
/// The step that fails.
const FAILS: Style = AnsiColor::Red.on_default().bold();

/// The lines, indented; none for no steps.
pub(super) fn render(steps: &[TakenStep], width: usize, color: bool) -> Vec<String> {
    const INDENT: usize = 2;
    if steps.is_empty() {
        return Vec::new();
    }
    let mut threads: Vec<&str> = Vec::new();
    for step in steps {
        if !threads.contains(&step.thread.as_str()) {
            threads.push(&step.thread);
        }
    }
    let width = width - INDENT;
    let mut columns = by_thread(steps, &threads, color);
    if columns.least_width() > width {
        columns = in_turn(steps, color);
    }
    columns.lines(width).into_iter().map(|line| format!("{:INDENT$}{line}", "")).collect()
}

fn by_thread(steps: &[TakenStep], threads: &[&str], color: bool) -> Columns {
    let kinds = [Column::Number, Column::Word].into_iter().chain(threads.iter().map(|_| Column::Text(STEP)));
    let mut columns = Columns::new(kinds.chain([Column::Text(CHANGES)]));
    let titles = ["#", "line"].into_iter().chain(threads.iter().copied()).chain(["what happens"]);
    columns.header(titles.map(|title| paint::header(&clean(title), color)).collect());
    for (number, step) in (1..).zip(steps) {
        let own = |thread: &&str| if *thread == step.thread { text(step, color) } else { String::new() };
        let cells = [mark(number, step), line(step)].into_iter().chain(threads.iter().map(own));
        columns.row(cells.chain([changes(step, color)]).collect());
    }
    columns
}

fn in_turn(steps: &[TakenStep], color: bool) -> Columns {
    let mut columns = Columns::new([Column::Number, Column::Text(6), Column::Text(6), Column::Text(8), Column::Text(5)]);
    let titles = ["#", "line", "thread", "does", "what happens"];
    columns.header(titles.map(|title| paint::header(title, color)).to_vec());
    for (number, step) in (1..).zip(steps) {
        columns.row(vec![mark(number, step), line(step), clean(&step.thread), text(step, color), changes(step, color)]);
    }
    columns
}

/// The number of a step, marked where it is repeated for ever.
fn mark(number: usize, step: &TakenStep) -> String {
    format!("{}{number}", if step.repeats { "↻ " } else { "" })
}

/// The line, with the library text in front if it is in one.
fn line(step: &TakenStep) -> String {
    let library = step.place.library.as_deref().map(|name| {
        let name = name.rsplit('/').next().unwrap_or(name);
        format!("{}:", name.strip_suffix(".nst").unwrap_or(name))
    });
    // What happens beside the program stands nowhere.
    if step.beside { String::new() } else { format!("{}{}", clean(&library.unwrap_or_default()), step.place.line) }
}

fn text(step: &TakenStep, color: bool) -> String {
    let text = clean(&step.step);
    if step.beside { paint::painted(&format!("({text})"), BESIDE, color) } else { text }
}

/// One change to a line: what changes together is to be seen together, and not as a sentence.
fn changes(step: &TakenStep, color: bool) -> String {
    let mut lines: Vec<_> = step.changes.iter().map(|change| clean(change)).collect();
    if step.fails {
        let what = step.failing.as_ref().map(|what| format!(": {}", clean(what))).unwrap_or_default();
        lines.push(format!("{}{what}", paint::painted("fails", FAILS, color)));
    }
    lines.join("\n")
}
