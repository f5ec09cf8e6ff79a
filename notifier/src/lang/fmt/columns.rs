//! Where the comments behind lines stand: in the columns that their author chose, or aligned with their neighbours.

use super::page::Line;
use std::collections::BTreeMap;

/// Blanks between a line and its comment, at least.
const GAP: usize = 2;

/// For each line, the column of the comment behind it.
///
/// A column in which several comments of a text stand was chosen, and stays. The other comments of a run of commented lines join it if
/// they can; otherwise they stand in a column of their own, as close as they can. A comment without neighbours stays as well.
pub(super) fn columns(lines: &[Line<'_>]) -> Vec<usize> {
    // Comments that cannot stay do not count: what stays for their sake now would move the next time.
    let mut in_column: BTreeMap<usize, usize> = BTreeMap::new();
    for piece in lines.chunk_by(neighbours).flat_map(|run| run.chunk_by(below)) {
        if let Some(column) = piece.first().and_then(column).filter(|&column| fit(piece, column, 1)) {
            *in_column.entry(column).or_default() += piece.len();
        }
    }
    let chosen = |piece: &[Line<'_>], alone: bool| {
        let column = piece.first().and_then(column).filter(|&column| fit(piece, column, 1))?;
        let several = in_column.get(&column).is_some_and(|&comments| comments > 1);
        (several || alone && fit(piece, column, GAP)).then_some(column)
    };
    let mut columns = Vec::with_capacity(lines.len());
    for run in lines.chunk_by(neighbours) {
        let alone = run.len() == 1;
        let common = run.chunk_by(below).find_map(|piece| chosen(piece, alone));
        let stays = |piece: &[Line<'_>]| chosen(piece, alone).or(common.filter(|&column| fit(piece, column, GAP)));
        let others = run.chunk_by(below).filter(|piece| stays(piece).is_none()).flatten();
        let close = others.map(Line::width).max().unwrap_or_default() + GAP;
        for piece in run.chunk_by(below) {
            columns.extend(piece.iter().map(|_| stays(piece).unwrap_or(close)));
        }
    }
    columns
}

fn column(line: &Line<'_>) -> Option<usize> {
    line.comment.map(|(_, column)| column)
}

/// All lines leave a gap before a column.
fn fit(lines: &[Line<'_>], column: usize, gap: usize) -> bool {
    lines.iter().all(|line| line.width() + gap <= column)
}

/// The comment of the second line stood below that of the first.
fn below(above: &Line<'_>, line: &Line<'_>) -> bool {
    column(above) == column(line)
}

/// The comments of two lines belong together.
fn neighbours(above: &Line<'_>, line: &Line<'_>) -> bool {
    above.comment.is_some() && line.comment.is_some() && above.indent == line.indent && !line.blank_before
}
