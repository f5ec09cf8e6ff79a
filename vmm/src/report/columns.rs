//! Text in columns, for tables and for lists: comfy-table without lines, and without an opinion about terminals and colours.
//!
//! Cells come clean and, where colour is allowed, painted; a newline in a cell begins a new line of it.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

/// Between two columns.
const GAP: u16 = 2;

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Left-aligned and never broken.
    Word,
    /// Right-aligned and never broken.
    Number,
    /// Left-aligned; broken into lines if it must be, which are not shorter than this unless all of it is.
    Text(u16),
}

/// Rows of cells, each of which has as many cells as there are columns.
#[derive(Debug)]
pub(crate) struct Columns {
    kinds: Vec<Column>,
    table: Table,
}

impl Columns {
    pub(crate) fn new(kinds: impl IntoIterator<Item = Column>) -> Self {
        let mut table = Table::new();
        // Whether this process has a terminal is none of its business: the caller has said what may be done with colours.
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).force_no_tty();
        Self { kinds: kinds.into_iter().collect(), table }
    }

    pub(crate) fn header(&mut self, cells: Vec<String>) {
        self.table.set_header(cells);
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.table.add_row(cells);
    }

    /// Columns of the terminal that it takes if nothing is broken.
    pub(crate) fn width(&self) -> usize {
        self.sum(|_, widest| widest)
    }

    /// The least that it can do with.
    pub(crate) fn least_width(&self) -> usize {
        self.sum(least)
    }

    fn sum(&self, width: fn(Column, u16) -> u16) -> usize {
        let widths = self.table.column_max_content_widths();
        let columns = self.kinds.iter().zip(widths).map(|(&kind, widest)| usize::from(width(kind, widest)));
        columns.sum::<usize>() + usize::from(GAP) * self.kinds.len().saturating_sub(1)
    }

    /// Its lines, which fit into `width` if the least width does.
    pub(crate) fn lines(mut self, width: usize) -> Vec<String> {
        let widest = self.table.column_max_content_widths();
        // What fits is not for the arrangement to decide, which shares out by averages.
        let fits = self.width() <= width;
        let last = self.kinds.len().saturating_sub(1);
        for (n, (column, &kind)) in self.table.column_iter_mut().zip(&self.kinds).enumerate() {
            let gap = if n == last { 0 } else { GAP };
            column.set_padding((0, gap));
            column.set_constraint(match kind {
                _ if fits => ColumnConstraint::ContentWidth,
                Column::Word | Column::Number => ColumnConstraint::ContentWidth,
                // The padding counts in a boundary.
                Column::Text(_) => ColumnConstraint::LowerBoundary(Width::Fixed(least(kind, widest[n]).saturating_add(gap))),
            });
            column.set_cell_alignment(if kind == Column::Number { CellAlignment::Right } else { CellAlignment::Left });
        }
        self.table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        self.table.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

fn least(kind: Column, widest: u16) -> u16 {
    match kind {
        Column::Word | Column::Number => widest,
        Column::Text(least) => widest.min(least),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str) -> Columns {
        let mut columns = Columns::new([Column::Word, Column::Number, Column::Text(5)]);
        columns.header(["name", "n", "text"].map(str::to_owned).to_vec());
        columns.row(["a", "12", text].map(str::to_owned).to_vec());
        columns
    }

    #[test]
    fn texts_are_broken_and_words_and_numbers_are_not() {
        assert_eq!(sample("one two").lines(usize::MAX), ["name   n  text", "a     12  one two"]);
        assert_eq!(sample("one two").lines(15), ["name   n  text", "a     12  one", "          two"]);
        assert_eq!(sample("one\ntwo").lines(80), ["name   n  text", "a     12  one", "          two"]);
        assert_eq!((sample("one two").width(), sample("one two").least_width()), (17, 15));
        let mut two = Columns::new([Column::Text(4), Column::Text(4), Column::Word]);
        two.row(["one two", "a b", "word"].map(str::to_owned).to_vec());
        let width = two.width();
        assert_eq!(two.lines(width), ["one two  a b  word"]);
        assert!(Columns::new([]).lines(0).iter().all(String::is_empty));
    }

    #[test]
    fn painted_text_takes_the_room_of_its_letters() {
        let painted = sample("\x1b[1mone\x1b[0m two").lines(80);
        assert_eq!(painted, ["name   n  text", "a     12  \x1b[1mone\x1b[0m two"]);
        assert_eq!(sample("\x1b[1mone\x1b[0m two").width(), 17);
    }
}
